"""Every number of a report under the name that a check gives it, and what it was counted over."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tracing.calls.totals import HAPPENINGS, counted_turns, overall

Call = Mapping[str, Any]

SPREAD = ("p50", "p95", "max")
STAGES = ("llm", "tts", "realtime", "stt", "tool")
"""What can fail in a turn."""

NAMES = {
    "p50": "latency of half of the replies, in seconds",
    "p95": "latency of 95 % of the replies, in seconds",
    "max": "latency of the slowest reply, in seconds",
    "within_budget_share": "share of the replies within their call's budget",
    "barge_in_rate": "share of the heard turns into which the caller spoke",
    "barge_ins": "heard turns into which the caller spoke",
    "tool_failure_rate": "share of the tool calls that failed",
    "tool_failures": "tool calls that failed",
    "tool_calls": "tool calls",
    "mean_transcript_confidence": "how sure the speech recognition was, from 0 to 1",
    "first_output.p50": "time to the first sound where nobody had spoken, in seconds",
    "first_output.p95": "the same, of 95 %",
    "first_output.max": "the same, of the slowest",
    **{name: f"{word}s" for name, word in HAPPENINGS.items()},
    "calls": "calls",
    "turns": "turns that took place",
    "replies": "turns with a latency",
    "heard_turns": "turns of which something was heard",
}
"""What a check can name, and what it is."""

FAMILIES = {
    "parts.PART": (SPREAD, "one part of the latency, in seconds"),
    "tools.TOOL": (
        ("failure_rate", "failures", "calls", *SPREAD),
        "one tool; its time in seconds",
    ),
    "errors": (STAGES, "failed attempts of a stage"),
    "usage.MODEL": ((), "what a model used, as `report --json` has it"),
}
"""Names with a part that the calls bring, how they end, and what they are."""

_ONLY_OBSERVED = frozenset({"false_interruptions", "transcript_corrections"})
"""What is told by session events alone, so that without `observe` none is no finding."""


class Measured(NamedTuple):
    """A number, and how many of what it was counted over: `42`, `turn`."""

    value: float
    over: int
    of: str


def measured(calls: Sequence[Call]) -> dict[str, Measured]:
    """The numbers of these calls by name; what they cannot tell is absent."""
    numbers = overall(calls)
    turns = counted_turns(calls)
    return {
        "calls": Measured(len(calls), len(calls), "call"),
        "turns": Measured(len(turns), len(calls), "call"),
        **dict(_latency(numbers)),
        **dict(_spread("first_output.", numbers.get("first_output", {}), "turn")),
        **dict(_heard(numbers)),
        **dict(_confidence(numbers, turns)),
        **dict(_tools(numbers.get("tools", {}), len(turns))),
        **dict(_happenings(numbers, calls)),
        **{
            f"errors.{stage}": Measured(numbers.get("errors", {}).get(stage, 0), len(calls), "call")
            for stage in STAGES
        },
        **_usage(numbers.get("usage", ()), len(calls)),
    }


def is_name(text: str) -> bool:
    """Whether a check can name it, whether or not these calls tell it."""
    return text in NAMES or any(pattern.fullmatch(text) for pattern in _PATTERNS)


def known_names() -> list[str]:
    """All that can be named, families in one word each."""
    families = (f"{name}.{'|'.join(ends) or 'FIELD'}" for name, (ends, _) in FAMILIES.items())
    return [*NAMES, *families]


_PATTERNS = [
    re.compile(
        re.escape(family.partition(".")[0])
        + (r"\..+" if "." in family else "")
        + rf"\.(?:{'|'.join(ends) or '[a-z_]+'})",
        re.DOTALL,
    )
    for family, (ends, _) in FAMILIES.items()
]


def _spread(
    prefix: str, found: Mapping[str, float], of: str, count: int = 0
) -> Iterator[tuple[str, Measured]]:
    """The three numbers of a spread (see `totals.spread`), each over its count."""
    for name in SPREAD:
        if (value := found.get(f"{name}_seconds")) is not None:
            yield prefix + name, Measured(value, int(found.get("count", count)), of)


def _latency(numbers: Mapping[str, Any]) -> Iterator[tuple[str, Measured]]:
    latency = numbers.get("latency", {})
    yield from _spread("", latency, "answered turn")
    if latency:
        count = latency["count"]
        yield (
            "within_budget_share",
            Measured(latency["within_budget_share"], count, "answered turn"),
        )
        yield "replies", Measured(count, numbers["turns"], "turn")
    for part, found in numbers.get("parts", {}).items():
        yield from _spread(f"parts.{part}.", found, "answered turn")


def _heard(numbers: Mapping[str, Any]) -> Iterator[tuple[str, Measured]]:
    if heard := numbers.get("heard_turns"):
        yield "heard_turns", Measured(heard, numbers["turns"], "turn")
        for name in ("barge_ins", "barge_in_rate"):
            yield name, Measured(numbers[name], heard, "heard turn")


def _confidence(
    numbers: Mapping[str, Any], turns: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, Measured]]:
    name = "mean_transcript_confidence"
    if name in numbers:
        sure = sum("transcript_confidence" in turn for turn in turns)
        yield name, Measured(numbers[name], sure, "transcript")


def _tools(tools: Mapping[str, Mapping[str, Any]], turns: int) -> Iterator[tuple[str, Measured]]:
    """Each tool's numbers, and those of all together."""
    for name, tool in tools.items():
        for key in ("calls", "failures", "failure_rate"):
            yield f"tools.{name}.{key}", Measured(tool[key], tool["calls"], "tool call")
        yield from _spread(f"tools.{name}.", tool, "tool call", tool["calls"])
    called = sum(tool["calls"] for tool in tools.values())
    failed = sum(tool["failures"] for tool in tools.values())
    if turns:
        yield "tool_calls", Measured(called, turns, "turn")
        yield "tool_failures", Measured(failed, turns, "turn")
    if called:
        yield "tool_failure_rate", Measured(failed / called, called, "tool call")


def _happenings(
    numbers: Mapping[str, Any], calls: Sequence[Call]
) -> Iterator[tuple[str, Measured]]:
    """Counts of what happens in turns: none in some turns is 0, in no turn unknown."""
    observed = [call for call in calls if "options" in call.get("summary", {})]
    for name in HAPPENINGS:
        over = len(counted_turns(observed if name in _ONLY_OBSERVED else calls))
        if over or name in numbers:
            yield name, Measured(numbers.get(name, 0), over, "turn")


def _usage(used: Sequence[Mapping[str, Any]], calls: int) -> dict[str, Measured]:
    """What each model used, whatever for."""
    sums: dict[str, float] = {}
    for one in used:
        for field, value in one.items():
            if isinstance(value, (int, float)):
                name = f"usage.{one['model']}.{field}"
                sums[name] = sums.get(name, 0) + value
    return {name: Measured(value, calls, "call") for name, value in sums.items()}
