"""Two sets of turns side by side, and which of their differences are more than noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from tracing.calls.application import as_text
from tracing.calls.rows import chosen_options
from tracing.calls.totals import HAPPENINGS, LATENCY, of_turns
from tracing.read.compare_parts import SIGNIFICANCE, compare_parts, rank_sum_p, replies
from tracing.read.paired import Line, common_lines, within_lines_p
from tracing.read.selection import Side
from tracing.read.shift import shift

_TOKENS = ("llm_input_tokens", "llm_output_tokens")


def compare(a: Side, b: Side) -> dict[str, Any]:
    """Both sides' numbers, B minus A where both are known, and the tests of the latencies.

    `a` and `b`: `selector`, `calls`, `turns`, and what `totals.of_turns` knows, counts as
    `..._per_turn`; `difference`: the same numbers, flat; `test`: `turns_a`, `turns_b` (those with a
    latency) and `verdict`; where they are enough to tell, `p` and `shift_seconds` (how much later
    the replies of B come, see `shift`), and where both sides ran the same script `is_paired` and
    `unpaired_p`. `parts`: a list, of the latency and each group of its parts, with `name`,
    `mean_a`, `mean_b`, `difference`, `closest` and `farthest` (of pairs of calls), `p` (Holm's
    correction for the parts) and `verdict`; `lines`: what was said on both sides with the mean
    latencies; `options`: those that differ. Seconds throughout.
    """
    replies_a, replies_b = replies(a.turns), replies(b.turns)
    lines = common_lines(a.by_call, b.by_call)
    numbers_a, numbers_b = _numbers(a), _numbers(b)
    flat_a, flat_b = dict(flat(numbers_a)), dict(flat(numbers_b))
    unpaired = rank_sum_p([t[LATENCY] for t in replies_a], [t[LATENCY] for t in replies_b])
    found = within_lines_p(lines, _latency) if lines else unpaired
    test: dict[str, Any] = {"turns_a": len(replies_a), "turns_b": len(replies_b)}
    if found is not None:
        strata = [(line.a, line.b) for line in lines] or [(replies_a, replies_b)]
        test.update(p=found, shift_seconds=shift(strata, _latency))
    if lines:
        test["is_paired"] = True
        test.update({} if unpaired is None else {"unpaired_p": unpaired})
    return {
        "a": numbers_a,
        "b": numbers_b,
        "difference": {key: flat_b[key] - flat_a[key] for key in flat_a if key in flat_b},
        "test": {**test, "verdict": _verdict(found)},
        "parts": compare_parts(a, b, lines),
        "lines": [_described(line) for line in lines],
        "options": _options(a, b),
    }


def _latency(turn: Mapping[str, Any]) -> float:
    return float(turn[LATENCY])


def _described(line: Line) -> dict[str, Any]:
    latencies = [[_latency(turn) for turn in side] for side in (line.a, line.b)]
    means = [fmean(side) for side in latencies]
    return {
        "number": line.number,
        "user_text": str(line.a[0].get("user_text", "")),
        "a": latencies[0],
        "b": latencies[1],
        "mean_a": means[0],
        "mean_b": means[1],
        "difference": means[1] - means[0],
    }


def _options(a: Side, b: Side) -> dict[str, list[str]]:
    """The options that differ between the sides, with the values of each."""
    sides = [[chosen_options(options) for options in side.options] for side in (a, b)]
    values = {
        name: [
            sorted({as_text(options[name]) for options in of_side if name in options})
            for of_side in sides
        ]
        for name in sorted({name for of_side in sides for options in of_side for name in options})
    }
    return {
        name: [", ".join(of_a), ", ".join(of_b)]
        for name, (of_a, of_b) in values.items()
        if of_a != of_b
    }


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


def _verdict(p: float | None) -> str:
    if p is None:
        return "too few turns to tell a difference from noise"
    return "more than noise" if p < SIGNIFICANCE else "no more than noise may bring"
