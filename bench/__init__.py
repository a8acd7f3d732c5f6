"""Benchmarks: each module prints its table, `python -m bench` prints them all."""
