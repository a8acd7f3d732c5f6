"""What is published, used as its users use it: outside of this repository."""
