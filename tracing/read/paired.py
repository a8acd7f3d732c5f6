"""The same script on both sides: each of its lines is compared with itself.

Where callers say the same words, what a reply costs depends on the line more than on anything
else; compared line by line, that difference is out of the way. The test is van Elteren's: a
rank-sum test within each line, added up over the lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from math import comb, erfc, prod, sqrt
from typing import Any, NamedTuple

from tracing.calls.totals import LATENCY

SHARE_IN_COMMON = 2 / 3
"""Sides have a script in common where this share of the lines of each is on the other, too."""

_MOST_SPLITS = 20_000
_MOST_SUMS = 200_000
_SAME = 1e-5
"""Sums nearer than this are the same: they are added up of rounded ones."""

Turn = Mapping[str, Any]


class Line(NamedTuple):
    """What a caller said on both sides, and the replies to it."""

    text: str
    number: int
    """The turn's number, on the first call of A."""
    a: list[Turn]
    b: list[Turn]


def common_lines(a: Sequence[Sequence[Turn]], b: Sequence[Sequence[Turn]]) -> list[Line]:
    """The lines that both sides have, in order; empty where they are not of one script.

    A side is its calls, each a list of turns. The same words twice in a call are two lines.
    """
    of_a, of_b = _by_line(a), _by_line(b)
    both = [key for key in of_a if key in of_b]
    if not both or len(both) < SHARE_IN_COMMON * max(len(of_a), len(of_b)):
        return []
    lines = [Line(key[0], of_a[key][0].get("number", 0), of_a[key], of_b[key]) for key in both]
    return sorted(lines, key=lambda line: line.number)


def _by_line(calls: Sequence[Sequence[Turn]]) -> dict[tuple[str, int], list[Turn]]:
    found: dict[tuple[str, int], list[Turn]] = {}
    for turns in calls:
        times: dict[str, int] = {}
        for turn in turns:
            text = " ".join(str(turn.get("user_text", "")).casefold().split())
            if LATENCY in turn and text:
                times[text] = times.get(text, 0) + 1
                found.setdefault((text, times[text]), []).append(turn)
    return found


def within_lines_p(lines: Sequence[Line], value: Callable[[Turn], float]) -> float | None:
    """The two-sided p of van Elteren's test; None for too few replies, whatever they take.

    Exact over every way to divide the replies within the lines where that can be counted, else
    by the normal approximation.
    """
    strata = [
        ([value(turn) for turn in line.a], [value(turn) for turn in line.b]) for line in lines
    ]
    observed, expected, variance = 0.0, 0.0, 0.0
    exact: dict[float, float] | None = {0.0: 1.0}
    for of_a, of_b in strata:
        total = len(of_a) + len(of_b)
        weight = 1 / (total + 1)
        ranks = middle_ranks([*of_a, *of_b])
        observed += weight * sum(ranks[: len(of_a)])
        expected += weight * len(of_a) * (total + 1) / 2
        variance += weight**2 * _variance(ranks, len(of_a), len(of_b))
        exact = _convolved(exact, ranks, len(of_a), weight)
    if 2 / prod(comb(len(of_a) + len(of_b), len(of_a)) for of_a, of_b in strata) > 0.05:
        return None
    distance = abs(observed - expected)
    if exact is None:
        return erfc(distance / sqrt(2 * variance)) if variance else 1.0
    return min(1.0, sum(p for at, p in exact.items() if abs(at - expected) >= distance - _SAME))


def _variance(ranks: Sequence[float], a: int, b: int) -> float:
    """Of a rank sum, ties included."""
    total = a + b
    if total < 2:
        return 0.0
    mean = (total + 1) / 2
    return a * b / (total * (total - 1)) * sum((rank - mean) ** 2 for rank in ranks)


def _convolved(
    sums: Mapping[float, float] | None, ranks: Sequence[float], chosen: int, weight: float
) -> dict[float, float] | None:
    """The chances of sums with one more line; None where they are too many to count."""
    splits = comb(len(ranks), chosen)
    if sums is None or splits > _MOST_SPLITS:
        return None
    of_line: dict[float, float] = {}
    for some in combinations(ranks, chosen):
        at = round(weight * sum(some), 9)
        of_line[at] = of_line.get(at, 0.0) + 1 / splits
    if len(sums) * len(of_line) > _MOST_SUMS:
        return None
    found: dict[float, float] = {}
    for at, chance in sums.items():
        for more, p in of_line.items():
            key = round(at + more, 7)
            found[key] = found.get(key, 0.0) + chance * p
    return found


def middle_ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value from 1; equal values share the middle of their ranks."""
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for rank, value in enumerate(sorted(values), 1):
        first.setdefault(value, rank)
        last[value] = rank
    return [(first[value] + last[value]) / 2 for value in values]
