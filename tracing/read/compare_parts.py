"""Each part of the latency of two sides, and whether it differs by more than noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, product
from math import comb, erfc, sqrt
from statistics import fmean
from typing import Any

from tracing.calls.parts import group_of, ordered_groups
from tracing.calls.totals import LATENCY
from tracing.read.paired import Line, middle_ranks, within_lines_p
from tracing.read.selection import Side

SIGNIFICANCE = 0.05
ALIKE_SECONDS = 0.01
"""Means nearer than this are alike, whatever a test says."""
SHOWN_SECONDS = 0.004
"""Parts below this on both sides are left out."""

_MOST_SPLITS = 20_000
_PERCENTILES_FROM_CALLS = 20

Turn = Mapping[str, Any]


def compare_parts(a: Side, b: Side, lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The latency and the groups of its parts, in the order of a reply (see `compare`)."""
    of_a, of_b = replies(a.turns), replies(b.turns)
    if not of_a or not of_b:
        return []
    measures: dict[str, Callable[[Turn], float]] = {"latency": lambda turn: float(turn[LATENCY])}
    for group in _groups([*of_a, *of_b]):
        measures[group] = _in_group(group)
    found = []
    for name, value in measures.items():
        means = [fmean(map(value, turns)) for turns in (of_a, of_b)]
        if name != "latency" and max(means) < SHOWN_SECONDS:
            continue
        found.append(
            {
                "name": name,
                "mean_a": means[0],
                "mean_b": means[1],
                "difference": means[1] - means[0],
                **_whisker(a, b, value),
                "p": _p(of_a, of_b, lines, value),
            }
        )
    _correct([row for row in found if row["name"] != "latency"])
    return [_judged(row) for row in found]


def replies(turns: Iterable[Turn]) -> list[Turn]:
    """The turns with a latency."""
    return [turn for turn in turns if LATENCY in turn]


def rank_sum_p(a: Sequence[float], b: Sequence[float]) -> float | None:
    """The two-sided p of the Mann-Whitney rank-sum test; None when no outcome could tell.

    Exact over every way to divide the turns where these are few, else the normal approximation
    with correction for ties. Turns of one call resemble each other, so for few calls a p near
    the bound proves little.
    """
    total = len(a) + len(b)
    splits = comb(total, len(a))
    if 2 / splits > SIGNIFICANCE:
        return None
    ranks = middle_ranks([*a, *b])
    expected = len(a) * (total + 1) / 2
    observed = abs(sum(ranks[: len(a)]) - expected)
    if splits <= _MOST_SPLITS:
        sums = map(sum, combinations(ranks, len(a)))
        return sum(abs(found - expected) >= observed - 1e-9 for found in sums) / splits
    ties = sum(n**3 - n for n in Counter(ranks).values())
    variance = len(a) * len(b) / 12 * (total + 1 - ties / (total * (total - 1)))
    return erfc(max(observed - 0.5, 0) / sqrt(2 * variance)) if variance else 1.0


def _groups(turns: Sequence[Turn]) -> list[str]:
    there = {group_of(name) for turn in turns for name in turn.get("parts", {})}
    order = [name for name in ordered_groups() if name in there]
    return [*order, *sorted(there - set(order))]


def _in_group(group: str) -> Callable[[Turn], float]:
    def value(turn: Turn) -> float:
        parts = turn.get("parts", {}).items()
        return float(sum(seconds for name, seconds in parts if group_of(name) == group))

    return value


def _p(
    a: Sequence[Turn], b: Sequence[Turn], lines: Sequence[Line], value: Callable[[Turn], float]
) -> float | None:
    if lines:
        return within_lines_p(lines, value)
    return rank_sum_p([value(turn) for turn in a], [value(turn) for turn in b])


def _whisker(a: Side, b: Side, value: Callable[[Turn], float]) -> dict[str, float]:
    """How far single calls of both sides are apart: the closest and the farthest pair.

    From 20 calls a side the 5th and the 95th percentile of the pairs.
    """
    means = [
        [fmean(map(value, known)) for turns in side.by_call if (known := replies(turns))]
        for side in (a, b)
    ]
    apart = sorted(of_b - of_a for of_a, of_b in product(*means))
    if not apart:
        return {}
    cut = 0.05 if min(map(len, means)) >= _PERCENTILES_FROM_CALLS else 0.0
    last = len(apart) - 1
    return {"closest": apart[round(cut * last)], "farthest": apart[round((1 - cut) * last)]}


def _correct(rows: Sequence[dict[str, Any]]) -> None:
    """Holm's correction: many parts are tested at once, and one of them is odd by chance."""
    known = sorted((row for row in rows if row["p"] is not None), key=lambda row: float(row["p"]))
    least = 0.0
    for place, row in enumerate(known):
        least = max(least, min(1.0, row["p"] * (len(known) - place)))
        row["p"] = least


def _judged(row: dict[str, Any]) -> dict[str, Any]:
    p = row.pop("p")
    if abs(row["difference"]) < ALIKE_SECONDS:
        verdict = "alike"
    elif p is None:
        verdict = "too few"
    elif p < SIGNIFICANCE:
        verdict = f"{'slower' if row['difference'] > 0 else 'faster'}, more than noise"
    else:
        verdict = "no more than noise may bring"
    return {**row, **({} if p is None else {"p": p}), "verdict": verdict}
