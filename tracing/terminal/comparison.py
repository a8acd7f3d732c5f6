"""Two sides of a comparison as columns, the difference beside them, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracing.calls.totals import SHORTEST_PART_SECONDS
from tracing.read.compare import flat
from tracing.terminal.cells import BAD, GOOD, TITLE, counted, new_table, plain, seconds, share


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
    flat_a, flat_b = dict(flat(compared["a"])), dict(flat(compared["b"]))
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
    "heard_latency.p50_seconds": ("heard latency p50", seconds, True),
    "heard_latency.p95_seconds": ("heard latency p95", seconds, True),
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
