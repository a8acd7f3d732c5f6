"""Recorded calls as plain values, for whoever shows them."""
