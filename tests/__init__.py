"""Tests of the package; files mirror its modules."""
