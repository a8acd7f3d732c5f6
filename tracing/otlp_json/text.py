"""Text that any writer takes."""

from __future__ import annotations


def whole(value: str) -> str:
    """The text with half a surrogate pair replaced by a question mark."""
    if value.isascii():
        return value
    return value.encode("utf-8", "replace").decode("utf-8")
