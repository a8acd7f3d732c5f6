"""What many described calls add up to; pure, and what is unknown is absent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracing.account.summary import BUDGET_SECONDS, UsageKey, named_usage, percentile, usage_key

SHORTEST_PART_SECONDS = 0.005
"""Shorter parts of a latency are not shown, as they would read 0.00."""

HAPPENINGS = {
    "fallbacks": "fallback",
    "retries": "retried request",
    "discarded_generations": "discarded generation",
    "false_interruptions": "false interruption",
    "transcript_corrections": "corrected transcript",
    "user_resumes": "mid-turn pause",
}
"""What a turn and a call count, and the word for one."""

LATENCY = "user_bot_latency_seconds"
HEARD_LATENCY = "heard_latency_seconds"


def overall(calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The numbers of all calls together.

    `calls`, `turns`, `budget_seconds`; `latency`, `first_output` and `heard_latency` (see `spread`,
    latency with `within_budget_share`); `parts`: name to spread; `heard_turns`, and `barge_ins` and
    `barge_in_rate` among them; `mean_transcript_confidence`; `tools`: name to `calls`,
    `failures`, `failure_rate` and spread; `errors`: stage to count; counts such as `fallbacks`;
    `usage`: list of `type`, `provider`, `model` and sums.
    """
    turns = counted_turns(calls)
    found: dict[str, Any] = {
        "calls": len(calls),
        "turns": len(turns),
        "budget_seconds": budget_of(calls[0]) if calls else BUDGET_SECONDS,
        **of_turns(turns, [budget_of(call) for call in calls for _ in counted_turns([call])]),
        "errors": _errors(calls),
        "usage": _usage(calls),
    }
    return {key: value for key, value in found.items() if value not in ({}, [], None)}


def of_turns(turns: Sequence[Mapping[str, Any]], budgets: Sequence[float]) -> dict[str, Any]:
    """The numbers of turns, each with its call's budget."""
    known = [(t[LATENCY], b) for t, b in zip(turns, budgets, strict=True) if LATENCY in t]
    latency = spread([value for value, _ in known])
    if known:
        latency["within_budget_share"] = sum(v <= budget for v, budget in known) / len(known)
    counts = {key: sum(turn.get(key, 0) for turn in turns) for key in HAPPENINGS}
    return {
        "latency": latency,
        "parts": _parts(turns),
        "first_output": spread(_values(turns, "first_output_seconds")),
        "heard_latency": spread(_values(turns, HEARD_LATENCY)),
        **_barge_ins(turns),
        **_confidence(turns),
        "tools": _tools(turns),
        **{key: count for key, count in counts.items() if count},
    }


def counted_turns(calls: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The turns that took place: a discarded preemptive generation is none."""
    turns = (turn for call in calls for turn in call.get("turns", ()))
    return [turn for turn in turns if turn.get("kind") != "discarded"]


def budget_of(call: Mapping[str, Any]) -> float:
    """The latency budget of a call's turns, in seconds."""
    budget = call.get("summary", {}).get("budget_seconds")
    return float(budget) if isinstance(budget, (int, float)) else BUDGET_SECONDS


def spread(values: Sequence[float]) -> dict[str, float]:
    """How values lie: `count`, `p50_seconds`, `p95_seconds`, `max_seconds`; empty for none."""
    if not values:
        return {}
    ordered = sorted(values)
    return {
        "count": len(ordered),
        "p50_seconds": percentile(ordered, 0.5),
        "p95_seconds": percentile(ordered, 0.95),
        "max_seconds": ordered[-1],
    }


def _values(turns: Iterable[Mapping[str, Any]], key: str) -> list[float]:
    return [turn[key] for turn in turns if key in turn]


def _parts(turns: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The spread of each part over the turns that answered somebody."""
    values_by_part: dict[str, list[float]] = {}
    for turn in turns:
        for name, seconds in turn.get("parts", {}).items() if LATENCY in turn else ():
            values_by_part.setdefault(name, []).append(seconds)
    return {name: spread(values) for name, values in values_by_part.items()}


def _barge_ins(turns: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    heard = [turn for turn in turns if "agent_started_speaking_at" in turn]
    if not heard:
        return {}
    barge_ins = sum(bool(turn.get("barged_in")) for turn in heard)
    return {
        "heard_turns": len(heard),
        "barge_ins": barge_ins,
        "barge_in_rate": barge_ins / len(heard),
    }


def _confidence(turns: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    known = _values(turns, "transcript_confidence")
    return {"mean_transcript_confidence": sum(known) / len(known)} if known else {}


def _tools(turns: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    calls_by_tool: dict[str, list[Mapping[str, Any]]] = {}
    for turn in turns:
        for tool in turn.get("tools", ()):
            calls_by_tool.setdefault(tool.get("name", ""), []).append(tool)
    return {name: _tool(calls) for name, calls in sorted(calls_by_tool.items())}


def _tool(calls: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    failures = sum(bool(call.get("is_error")) for call in calls)
    durations = spread(_values(calls, "duration_seconds"))
    durations.pop("count", None)
    return {
        "calls": len(calls),
        "failures": failures,
        "failure_rate": failures / len(calls),
        **durations,
    }


def _errors(calls: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for call in calls:
        for stage, count in call.get("summary", {}).get("errors", {}).items():
            counts[stage] = counts.get(stage, 0) + count
    return counts


def _usage(calls: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    sums: dict[UsageKey, dict[str, float]] = {}
    for call in calls:
        for used in call.get("summary", {}).get("usage", ()):
            key = usage_key(used)
            kept = sums.setdefault(key, {})
            for field, value in used.items():
                if isinstance(value, (int, float)):
                    kept[field] = kept.get(field, 0) + value
    return [{**named_usage(key), **used} for key, used in sorted(sums.items())]
