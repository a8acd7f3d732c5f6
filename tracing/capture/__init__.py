"""On the voice loop: LiveKit ends a span, and it is on disk."""
