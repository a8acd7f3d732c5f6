"""How a backend wants a span: for each dialect a pure function from span to span, or to None."""
