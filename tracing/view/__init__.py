"""Calls in a browser: pages made on this machine, from the store or from files."""
