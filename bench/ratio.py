"""Ours against the better of the others in the same run: how many times better, and if enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .harness import Line, show

OURS = "ours"


@dataclass(frozen=True)
class Goal:
    """What ours has to be of the better of the others."""

    words: str
    times: float
    """How many times better that is."""
    is_cost: bool = True
    """Whether less is better, as of time; more is, as of speed."""


def compare(label: str, values: Mapping[str, float], goal: Goal) -> Line:
    """The others' numbers, ours, and how many times better than the better of them ours is."""
    others = [value for name, value in values.items() if name != OURS]
    times = times_better(others, values[OURS], is_cost=goal.is_cost)
    numbers = (*others, values[OURS], times)
    return Line((label,), numbers, goal.words, met=times >= goal.times)


def times_better(others: Sequence[float], ours: float, *, is_cost: bool) -> float:
    """How many times; NaN where a number is missing or is none that a ratio can be of."""
    if not others or not all(0 < value < math.inf for value in (*others, ours)):
        return math.nan
    return min(others) / ours if is_cost else ours / max(others)


def show_ratios(title: str, others: Sequence[str], lines: Sequence[Line]) -> bool:
    """Print the comparisons with the others; whether ours is as much better as it has to be."""
    return show(title, ("", *others, OURS, "times better"), lines, digits=2)
