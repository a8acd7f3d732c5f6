"""Calls in the terminal, by Rich."""
