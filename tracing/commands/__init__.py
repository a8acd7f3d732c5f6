"""What `python -m tracing` does beyond reading: a module for each command that acts or looks."""
