"""The drainer's process: spans from disk to backends, until each has said yes."""
