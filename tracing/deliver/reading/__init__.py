"""A spool as one backend reads it: segment by segment, nothing of a call before its names."""
