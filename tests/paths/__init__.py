"""The README's ways in, from a clean checkout, with uv and with pip."""
