"""Spans from disk to backends, until each has said yes: the drainer, and what keeps it at work."""
