"""How a span survives: from one `write(2)` on the voice loop to a backend that said yes."""
