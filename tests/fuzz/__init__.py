"""Damaged files through every command that reads files."""
