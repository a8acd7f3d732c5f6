"""For Langfuse: calls ahead of their end, recordings, and its own SDK in the same process."""
