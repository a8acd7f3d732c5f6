"""The embedded backend: calls in one SQLite file, and the reports read from it."""
