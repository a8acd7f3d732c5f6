"""Calls to models that other instrumentations record too."""
