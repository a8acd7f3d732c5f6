"""How a backend wants it: a pure function from span to span (or None) for each dialect."""
