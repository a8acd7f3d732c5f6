"""Tools in words: those of a turn, and those that lie close on an axis, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

MOST_NAMED = 5
"""So many tools of a turn are named."""

Tool = Mapping[str, Any]
"""With `name`, and `is_error` or `is_unfinished` where it is."""


def state_of(tool: Tool) -> str:
    """How a tool ended, where that was not well."""
    if tool.get("is_error"):
        return "failed"
    return "unfinished" if tool.get("is_unfinished") else ""


def foremost(tools: Sequence[Tool]) -> tuple[list[Tool], str]:
    """The tools to name, in order, and the others in words; what failed is named before others."""
    failed_first = sorted(range(len(tools)), key=lambda place: not state_of(tools[place]))
    chosen = set(failed_first[:MOST_NAMED])
    rest = [tool for place, tool in enumerate(tools) if place not in chosen]
    more = f"{len(rest)} more tool{'' if len(rest) == 1 else 's'}" if rest else ""
    return [tools[place] for place in sorted(chosen)], more + _states(rest)


def bunched(tools: Sequence[Tool], until: Callable[[Sequence[Tool]], float]) -> list[list[Tool]]:
    """Tools by time, with those together whose words would lie upon each other.

    `until` is when the words of a bunch end, on the axis of `at`.
    """
    found: list[list[Tool]] = []
    for tool in tools:
        if found and tool["at"] < until(found[-1]):
            found[-1].append(tool)
        else:
            found.append([tool])
    return found


def in_words(bunch: Sequence[Tool]) -> str:
    """A bunch: `book_table failed`, `find_table +29, 4 failed`."""
    name = str(bunch[0]["name"])
    if len(bunch) == 1:
        return f"{name} {state_of(bunch[0])}".rstrip()
    return f"{name} +{len(bunch) - 1}{_states(bunch)}"


def _states(tools: Sequence[Tool]) -> str:
    states = list(map(state_of, tools))
    return "".join(f", {states.count(s)} {s}" for s in ("failed", "unfinished") if s in states)
