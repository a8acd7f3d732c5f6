"""Two sets of turns side by side, and whether their latencies differ by more than noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from math import comb, erfc, sqrt
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracing.read.selection import Side
from tracing.read.totals import LATENCY, of_turns
from tracing.terminal.cells import (
    BAD,
    GOOD,
    HAPPENINGS,
    SHORTEST_PART_SECONDS,
    TITLE,
    counted,
    new_table,
    plain,
    seconds,
    share,
)

SIGNIFICANCE = 0.05
_MOST_SPLITS = 20_000
_TOKENS = ("llm_input_tokens", "llm_output_tokens")


def compare(a: Side, b: Side) -> dict[str, Any]:
    """Both sides' numbers, B minus A where both are known, and the test of the latencies.

    `a` and `b`: `selector`, `calls`, `turns`, and what `numbers.of_turns` knows, counts as
    `..._per_turn`; `difference`: the same numbers, flat; `test`: `turns_a`, `turns_b` (those with a
    latency), `p` (absent when they are too few to tell) and `verdict`.
    """
    latencies = [[turn[LATENCY] for turn in side.turns if LATENCY in turn] for side in (a, b)]
    numbers_a, numbers_b = _numbers(a), _numbers(b)
    flat_a, flat_b = dict(_flat(numbers_a)), dict(_flat(numbers_b))
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


def print_comparison(compared: Mapping[str, Any], console: Console) -> None:
    """Print both sides as columns, the difference beside them, and what it is worth."""
    a, b, test = compared["a"], compared["b"], compared["test"]
    for letter, side in (("A", a), ("B", b)):
        console.print(
            Text.assemble(
                (f"{letter}: {plain(side['selector'])}", TITLE),
                f" · {counted(side['calls'], 'call')}, {counted(side['turns'], 'turn')}",
            )
        )
    console.print()
    console.print(_table(compared))
    console.print()
    turns = f"n = {test['turns_a']} and {test['turns_b']} turns"
    p = f", p = {test['p']:.2g}" if "p" in test else ""
    console.print(Text(f"Latency: {_saving(compared)}{test['verdict']} ({turns}{p})."))


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


def _flat(numbers: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in numbers.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
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


def _saving(compared: Mapping[str, Any]) -> str:
    difference = compared["difference"].get("latency.p50_seconds")
    if difference is None:
        return ""
    if abs(difference) < SHORTEST_PART_SECONDS:
        return "the medians are alike, "
    direction = "faster" if difference < 0 else "slower"
    return f"B is {seconds(abs(difference))} {direction} at the median, "


def _table(compared: Mapping[str, Any]) -> Table:
    table = new_table("", ">A", ">B", ">B - A")
    flat_a, flat_b = dict(_flat(compared["a"])), dict(_flat(compared["b"]))
    for key in sorted({**flat_a, **flat_b}, key=_place):
        row = _row_of(key)
        if row is None or _is_short(key, flat_a, flat_b):
            continue
        label, shown, less_is_better = row
        difference = compared["difference"].get(key)
        table.add_row(
            Text(label),
            *(shown(side[key]) if key in side else "" for side in (flat_a, flat_b)),
            _difference(difference, shown, less_is_better),
        )
    return table


_Row = tuple[str, Callable[[float], str], bool]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _hundredths(value: float) -> str:
    return f"{value:.2f}"


_ROWS: dict[str, _Row] = {
    "latency.count": ("turns with a latency", _number, False),
    "latency.p50_seconds": ("latency p50", seconds, True),
    "latency.p95_seconds": ("latency p95", seconds, True),
    "latency.mean_seconds": ("latency mean", seconds, True),
    "latency.within_budget_share": ("within the budget", share, False),
    "first_output.p50_seconds": ("first output p50", seconds, True),
    "barge_in_rate": ("barge-in rate", share, True),
    "false_interruptions_per_turn": ("false interruptions per turn", _hundredths, True),
    "fallbacks_per_turn": ("fallbacks per turn", _hundredths, True),
    "retries_per_turn": ("retried requests per turn", _hundredths, True),
    "discarded_generations_per_turn": ("discarded generations per turn", _hundredths, True),
    "mean_transcript_confidence": ("transcript confidence", _hundredths, False),
    "transcript_corrections_per_turn": ("corrected transcripts per turn", _hundredths, True),
    "user_resumes_per_turn": ("mid-turn pauses per turn", _hundredths, True),
    "llm_input_tokens_per_turn": ("input tokens per turn", _number, True),
    "llm_output_tokens_per_turn": ("output tokens per turn", _number, True),
}


def _place(key: str) -> int:
    """Where a row stands: parts below the latency, tools at the end."""
    if key.startswith("parts."):
        key = "latency.within_budget_share"
    return list(_ROWS).index(key) if key in _ROWS else len(_ROWS)


def _row_of(key: str) -> _Row | None:
    """How a flat key is shown, or None for one that is not."""
    group, _, rest = key.partition(".")
    name, _, number = rest.rpartition(".")
    if group == "parts" and number == "p50_seconds":
        return f"  {plain(name)} p50", seconds, True
    if group == "tools" and number == "p50_seconds":
        return f"tool {plain(name)} p50", seconds, True
    if group == "tools" and number == "failure_rate":
        return f"tool {plain(name)} failures", share, True
    return _ROWS.get(key)


def _is_short(key: str, *sides: Mapping[str, float]) -> bool:
    """Whether a part is too short on both sides to show."""
    longest = max(side.get(key, 0) for side in sides)
    return key.startswith("parts.") and longest < SHORTEST_PART_SECONDS


def _difference(value: float | None, shown: Callable[[float], str], less_is_better: bool) -> Text:
    if value is None:
        return Text()
    text = shown(value)
    if not any(digit in text for digit in "123456789"):
        return Text(text.lstrip("-"))
    is_better = (value < 0) == less_is_better
    signed = (text if value < 0 else f"+{text}").replace("%", " pp")
    return Text(signed, style="" if shown is _number else GOOD if is_better else BAD)
