"""What Langfuse takes more of than spans that ended: calls ahead of their end, recordings."""
