"""The embedded backend: calls in one SQLite file, and LiveKit's reports beside it."""
