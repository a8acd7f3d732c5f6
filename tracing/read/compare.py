"""Two sets of turns side by side, and whether their latencies differ by more than noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import comb, erfc, sqrt
from typing import Any

from tracing.read.selection import Side
from tracing.read.totals import HAPPENINGS, LATENCY, of_turns

SIGNIFICANCE = 0.05
_MOST_SPLITS = 20_000
_TOKENS = ("llm_input_tokens", "llm_output_tokens")


def compare(a: Side, b: Side) -> dict[str, Any]:
    """Both sides' numbers, B minus A where both are known, and the test of the latencies.

    `a` and `b`: `selector`, `calls`, `turns`, and what `totals.of_turns` knows, counts as
    `..._per_turn`; `difference`: the same numbers, flat; `test`: `turns_a`, `turns_b` (those with a
    latency), `p` (absent when they are too few to tell) and `verdict`.
    """
    latencies = [[turn[LATENCY] for turn in side.turns if LATENCY in turn] for side in (a, b)]
    numbers_a, numbers_b = _numbers(a), _numbers(b)
    flat_a, flat_b = dict(flat(numbers_a)), dict(flat(numbers_b))
    found = rank_sum_p(*latencies)
    test = {"turns_a": len(latencies[0]), "turns_b": len(latencies[1])}
    return {
        "a": numbers_a,
        "b": numbers_b,
        "difference": {key: flat_b[key] - flat_a[key] for key in flat_a if key in flat_b},
        "test": {
            **test,
            **({} if found is None else {"p": found}),
            "verdict": _verdict(found),
        },
    }


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
    ranks = _ranks([*a, *b])
    expected = len(a) * (total + 1) / 2
    observed = abs(sum(ranks[: len(a)]) - expected)
    if splits <= _MOST_SPLITS:
        sums = map(sum, combinations(ranks, len(a)))
        return sum(abs(found - expected) >= observed - 1e-9 for found in sums) / splits
    ties = sum(n**3 - n for n in Counter(ranks).values())
    variance = len(a) * len(b) / 12 * (total + 1 - ties / (total * (total - 1)))
    return erfc(max(observed - 0.5, 0) / sqrt(2 * variance)) if variance else 1.0


def _numbers(side: Side) -> dict[str, Any]:
    found = {key: value for key, value in of_turns(side.turns, side.budgets).items() if value}
    latencies = [turn[LATENCY] for turn in side.turns if LATENCY in turn]
    if latencies:
        found["latency"]["mean_seconds"] = sum(latencies) / len(latencies)
    for key in HAPPENINGS:
        if key in found:
            found[f"{key}_per_turn"] = found.pop(key) / len(side.turns)
    for key in _TOKENS:
        tokens = [turn[key] for turn in side.turns if key in turn]
        if tokens:
            found[f"{key}_per_turn"] = sum(tokens) / len(tokens)
    return {"selector": side.selector, "calls": side.calls, "turns": len(side.turns), **found}


def flat(numbers: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a nested mapping, under its dotted name."""
    for key, value in numbers.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)):
            yield prefix + key, value


def _ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value from 1; equal values share the middle of their ranks."""
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for rank, value in enumerate(sorted(values), 1):
        first.setdefault(value, rank)
        last[value] = rank
    return [(first[value] + last[value]) / 2 for value in values]


def _verdict(p: float | None) -> str:
    if p is None:
        return "too few turns to tell a difference from noise"
    return "more than noise" if p < SIGNIFICANCE else "no more than noise may bring"
