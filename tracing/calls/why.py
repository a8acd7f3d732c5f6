"""Why callers waited, in few words and by fixed rules: which replies, and which of their parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from tracing.calls.parts import base_of, group_of
from tracing.calls.totals import LATENCY, budget_of, counted_turns

WORTH_NAMING_SECONDS = 0.05
"""A part is a reason from this much above the call's median of it."""

_TURNS_NAMED = 6
_PARTS_NAMED = 2


def why(call: Mapping[str, Any]) -> dict[str, Any]:
    """The replies of a described call over its budget, and what took longer in them than usual.

    `replies`, `over`: numbers of replies; `budget_seconds`; `turns`: of each over the budget
    `number`, `latency`, `excess` (part to seconds above the call's median of it, the largest two);
    instead, above six such turns, `parts`: what they had more in the mean than the others.
    """
    replies = [turn for turn in counted_turns([call]) if LATENCY in turn]
    budget = budget_of(call)
    over = [turn for turn in replies if turn[LATENCY] > budget]
    found: dict[str, Any] = {"replies": len(replies), "over": len(over), "budget_seconds": budget}
    if len(over) > _TURNS_NAMED:
        within = [turn for turn in replies if turn[LATENCY] <= budget]
        found["parts"] = differences(means(within), means(over))
    else:
        usual = medians(replies)
        found["turns"] = [
            {
                "number": turn.get("number"),
                "latency": turn[LATENCY],
                "excess": _largest(excess(turn.get("parts", {}), usual)),
            }
            for turn in over
        ]
    return found


def medians(turns: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The median of each part over replies, 0 where a reply has none of it; seconds."""
    replies = [turn.get("parts", {}) for turn in turns if LATENCY in turn]
    by_base = [_by_base(parts) for parts in replies]
    return {
        name: median(parts.get(name, 0.0) for parts in by_base)
        for name in {name for parts in by_base for name in parts}
    }


def excess(parts: Mapping[str, float], usual: Mapping[str, float]) -> dict[str, float]:
    """How much longer than usual each part took, in seconds; may be negative."""
    return {name: value - usual.get(name, 0.0) for name, value in _by_base(parts).items()}


def means(turns: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each group of parts over replies: means add up to the mean latency."""
    return {name: value / len(turns) for name, value in sums(turns).items()}


def sums(turns: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The sum of each group of parts over replies."""
    found: dict[str, float] = {}
    for turn in turns:
        for part, value in turn.get("parts", {}).items():
            group = group_of(part)
            found[group] = found.get(group, 0.0) + value
    return found


def differences(
    usual: Mapping[str, float], slow: Mapping[str, float], most: int = 3
) -> dict[str, float]:
    """By how much the means of slow replies are above the usual ones, the largest first."""
    return _largest({name: value - usual.get(name, 0.0) for name, value in slow.items()}, most)


def mean_latency(turns: Sequence[Mapping[str, Any]]) -> float | None:
    """In seconds; None without a reply."""
    return fmean(turn[LATENCY] for turn in turns) if turns else None


def _by_base(parts: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in parts.items():
        found[base_of(name)] = found.get(base_of(name), 0.0) + value
    return found


def _largest(found: Mapping[str, float], most: int = _PARTS_NAMED) -> dict[str, float]:
    worth = [pair for pair in found.items() if pair[1] >= WORTH_NAMING_SECONDS]
    return dict(sorted(worth, key=lambda pair: -pair[1])[:most])
