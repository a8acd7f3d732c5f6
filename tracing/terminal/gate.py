"""What a gate found, a line for each check that does not hold or cannot be known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracing.read.gate import Check, Judged
from tracing.terminal.cells import counted, plain


def gate_lines(
    judged: Sequence[Judged], baseline: Mapping[str, Any] | None, calls: int
) -> Iterator[str]:
    """A line for each breach and each unknown; one in all where everything holds."""
    told = [_check_line(one, calls) for one in judged if not one.holds]
    if baseline is not None and baseline.get("is_worse", True):
        told.append(_baseline_line(baseline))
    if told:
        yield from told
        return
    if judged:
        yield f"{counted(len(judged), 'check')} of {counted(calls, 'call')} hold"
    if baseline is not None:
        yield _baseline_line(baseline)


def _check_line(judged: Judged, calls: int) -> str:
    text, found = plain(judged.check.text), judged.found
    if found is None:
        return f"cannot tell {text}: nothing to measure it by in {counted(calls, 'call')}"
    over = counted(found.over, found.of)
    of_calls = "" if found.of == "call" else f" of {counted(calls, 'call')}"
    value = _exact(judged.check, found.value)
    return f"breach of {text}: it is {value}, counted over {over}{of_calls}"


def _exact(check: Check, value: float) -> str:
    """The value in as few digits as show that it is beyond the limit."""
    short = f"{value:.4g}"
    return repr(value) if check.holds(float(short)) else short


def _baseline_line(found: Mapping[str, Any]) -> str:
    name = plain(found["name"])
    sizes = f"{found['turns_a']:,} and {found['turns_b']:,} replies"
    if "lines" in found:
        sizes += f" to {counted(found['lines'], 'line')} of one script"
    sizes += f", {found['calls_a']:,} and {found['calls_b']:,} calls"
    if "is_worse" not in found:
        return f"cannot tell whether replies are slower than in {name}: {sizes} are too few"
    calls = "; too few calls to tell how much calls differ"
    if "calls_p" in found:
        calls = f"; of whole calls p = {found['calls_p']:.2g}"
    evidence = f"({sizes}; p = {found['p']:.2g}{calls})"
    if not found["is_worse"]:
        return f"replies are not slower than in {name} by more than noise {evidence}"
    parts = ", ".join(f"{plain(n)} +{s:.2f} s" for n, s in found["slower_parts"].items())
    return (
        f"breach: replies are {found['shift_seconds']:.2f} s slower than in {name},"
        f" more than noise{': ' if parts else ''}{parts} {evidence}"
    )
