"""LiveKit's metrics as it leaves them on spans: JSON of which each number stands alone.

A limit on the length of attributes cuts it, and a later LiveKit may name things otherwise: what
cannot be read is unknown, and the rest is known all the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

LARGEST = 2.0**53
"""Beyond it a count or a duration is none."""


class Measured:
    """The metrics of one request."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = found

    def __bool__(self) -> bool:
        return bool(self._found)

    def count(self, key: str) -> int:
        """A count; 0 where it is unknown."""
        value = self._found.get(key)
        return value if isinstance(value, int) and is_number(value) and value > 0 else 0

    def number(self, key: str) -> float | None:
        """A measurement that is not below zero, which LiveKit writes where nothing came."""
        value = self._found.get(key)
        if not isinstance(value, (int, float)) or not is_number(value):
            return None
        return float(value) if value >= 0 else None

    def text(self, key: str) -> str:
        """A text; empty where it is unknown."""
        value = self._found.get(key)
        return value if isinstance(value, str) else ""

    def is_true(self, key: str) -> bool:
        """A flag; False where it is unknown."""
        return self._found.get(key) is True

    def part(self, key: str) -> Measured:
        """An object inside; one that knows nothing where there is none."""
        value = self._found.get(key)
        return Measured(value) if isinstance(value, dict) else NOTHING


NOTHING = Measured({})


def is_number(value: float) -> bool:
    """Whether a number is one that a measurement may be: no yes or no, and nothing endless."""
    return not isinstance(value, bool) and abs(value) <= LARGEST


@lru_cache(maxsize=256)
def measured(text: str) -> Measured:
    """What a request's JSON tells, which several readers of one turn want."""
    return Measured(json_object(text))


def json_object(text: object) -> Mapping[str, Any]:
    """A JSON object; an empty one for whatever is none."""
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def json_list(text: object) -> list[Any]:
    """A JSON list; an empty one for whatever is none."""
    try:
        found = json.loads(text) if isinstance(text, str) else []
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []
