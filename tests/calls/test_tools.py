"""Tools in words, however many there are."""

from __future__ import annotations

from typing import Any

import pytest

from tracing.calls.tools import bunched, foremost, in_words


def tools(states: str) -> list[dict[str, Any]]:
    """A tool a letter and a second: `.` went well, `x` failed, `u` is unfinished."""
    state = {"x": {"is_error": True}, "u": {"is_unfinished": True}, ".": {}}
    return [{"name": f"t{at}", "at": at, **state[one]} for at, one in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "named", "more"),
    [
        ("", "", ""),
        (".....", "t0 t1 t2 t3 t4", ""),
        ("......", "t0 t1 t2 t3 t4", "1 more tool"),
        (".......x.u", "t0 t1 t2 t7 t9", "5 more tools"),
        ("xxxxxxx.u", "t0 t1 t2 t3 t4", "4 more tools, 2 failed, 1 unfinished"),
    ],
)
def test_the_foremost_tools_are_named(states: str, named: str, more: str) -> None:
    """In the order of the call; who failed is not among the others while there is room."""
    found, rest = foremost(tools(states))
    assert (" ".join(str(tool["name"]) for tool in found), rest) == (named, more)


@pytest.mark.parametrize(
    ("states", "seconds", "words"),
    [
        ("", 1, []),
        ("...", 1, ["t0", "t1", "t2"]),
        (".x.", 1, ["t0", "t1 failed", "t2"]),
        ("....", 2, ["t0 +1", "t2 +1"]),
        (".xux", 4, ["t0 +3, 2 failed, 1 unfinished"]),
    ],
)
def test_close_tools_share_their_words(states: str, seconds: float, words: list[str]) -> None:
    """From where the words of the last ones end, others have their own."""
    found = bunched(tools(states), lambda bunch: float(bunch[0]["at"]) + seconds)
    assert list(map(in_words, found)) == words
