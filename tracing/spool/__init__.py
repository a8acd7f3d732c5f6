"""How a span survives its process: the files it is in until it is delivered."""
