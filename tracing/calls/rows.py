"""A described call as a row of a list: its turns in a strip, its numbers, what happened in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracing import names, stamps
from tracing.calls.application import in_words
from tracing.calls.silence import unanswered
from tracing.calls.telephone import caller_of
from tracing.calls.totals import LATENCY, budget_of, counted_turns, of_turns
from tracing.calls.tree import is_unfinished, known
from tracing.calls.why import sums
from tracing.span import Span

FLAGS = {
    "open": "in progress",
    "over": "p95 over budget",
    "tool-failed": "tool failed",
    "error": "errors",
    "barge-in": "barge-ins",
    "fallback": "fallback",
    "died": "died",
    "realtime": "realtime",
    "text": "text",
    "withheld": "withheld",
}
"""What a list can be narrowed to, and how it is called."""

DIED = "process_died"

_CHANGED = stamps.CALL_CHANGED_OPTIONS.rpartition(".")[2]


def call_row(call: Mapping[str, Any], spans: Sequence[Span]) -> dict[str, Any]:
    """A call's row.

    `trace_id`, `session_id`, `user_id`, `caller` (in words), `agent` (all that spoke, by arrows),
    `started_at`, `duration_seconds`, `budget_seconds`, `options`, `models` (those used); `said`:
    what the application said, as `NAME=VALUE`; `turns`: their number; `strip`: of each turn
    `latency` or `first_output`, and `over`, `failed`, `barged_in` where it was; `waits`: of the
    replies `within` and `over` the budget, where there are any, how many `replies`, and the sums
    of their `parts` by group; `latency` (see `totals.spread`), `tool_calls`, `tool_failures`,
    `barge_ins`, `errors`, `unanswered` (turns); `flags`: keys of `FLAGS`; `close_reason`; `doing`
    while it lasts, or as it died.
    """
    turns = counted_turns([call])
    budget = budget_of(call)
    numbers = of_turns(turns, [budget] * len(turns))
    tools = [tool for turn in turns for tool in turn.get("tools", ())]
    row = {
        **{key: call.get(key) for key in ("trace_id", "session_id", "user_id", "started_at")},
        "agent": agents_of(call, spans),
        "caller": caller_of(call) or None,
        "duration_seconds": call.get("duration_seconds"),
        "budget_seconds": budget,
        "options": call.get("summary", {}).get("options"),
        "models": sorted({str(u["model"]) for u in _usage(call) if u.get("model")}) or None,
        "said": in_words(call) or None,
        "turns": len(turns),
        "strip": [_column(turn, budget) for turn in turns],
        "waits": _waits(turns, budget),
        "latency": numbers["latency"] or None,
        "barge_ins": numbers.get("barge_ins") or None,
        "heard_turns": numbers.get("heard_turns"),
        "tool_calls": len(tools) or None,
        "tool_failures": sum(bool(tool.get("is_error")) for tool in tools) or None,
        "errors": _errors(call) or None,
        "fallbacks": numbers.get("fallbacks"),
        "close_reason": call.get("summary", {}).get("close_reason"),
        "died": death_of(spans),
        "is_open": any(span.is_open for span in spans) or None,
        "unanswered": _unanswered(call, spans),
        "doing": doing(spans),
        "is_realtime": any(span.name == names.REALTIME_INFERENCE for span in spans) or None,
        "is_text": (bool(turns) and _SOUND.isdisjoint(span.name for span in spans)) or None,
        "is_withheld": is_withheld(call) or None,
    }
    row["flags"] = list(_flags(row))
    return known(row)


def chosen_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """A session's options, without the list of those that were changed, which repeats them."""
    return {name: value for name, value in (options or {}).items() if name != _CHANGED}


def agents_of(call: Mapping[str, Any], spans: Sequence[Span]) -> str | None:
    """The agents that had the call, in order: `host → chef`."""
    found = [str(call["agent"])] if call.get("agent") else []
    for span in spans:
        if span.name == names.UPDATE_AGENT:
            after = names.text(span.attributes, names.AGENT_LABEL)
            before = names.text(span.attributes, names.PREVIOUS_AGENT_LABEL)
            found += [label for label in (before, after) if label and label not in found[-1:]]
    return " → ".join(found) or None


def is_withheld(call: Mapping[str, Any]) -> bool:
    """Whether turns that were spoken tell nothing of what was said."""
    turns = [turn for turn in call.get("turns", ()) if "agent_started_speaking_at" in turn]
    return bool(turns) and not any("agent_text" in t or "user_text" in t for t in turns)


def doing(spans: Sequence[Span]) -> str | None:
    """What the call is doing, by its latest open span; of a killed one, what it was doing."""
    for span in reversed(spans):
        if (span.is_open or is_unfinished(span)) and span.name in _DOING:
            return _DOING[span.name]
    return None


_SOUND = frozenset(
    {names.USER_SPEAKING, names.TTS_NODE, names.TTS_REQUEST, names.REALTIME_INFERENCE}
)
"""Without one of these there was no sound."""

_DOING = {
    names.USER_TURN: "caller speaking",
    names.AGENT_TURN: "agent answering",
    names.AGENT_SESSION: "listening",
    names.JOB_ENTRYPOINT: "starting",
}


def _usage(call: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = call.get("summary", {}).get("usage", ())
    return found


def _errors(call: Mapping[str, Any]) -> int:
    """Failed attempts of models; tools that failed are counted by themselves."""
    counts = call.get("summary", {}).get("errors", {})
    return sum(count for stage, count in counts.items() if stage != "tool")


def _unanswered(call: Mapping[str, Any], spans: Sequence[Span]) -> int | None:
    """How many turns brought no answer; None for none, and while one may still come."""
    if any(span.is_open for span in spans):
        return None
    turns = [turn for turn in call.get("turns", ()) if turn.get("kind") != "discarded"]
    return len(unanswered(turns)) or None


def _waits(turns: Sequence[Mapping[str, Any]], budget_seconds: float) -> dict[str, Any]:
    replies = [turn for turn in turns if LATENCY in turn]
    sides = {
        "within": [turn for turn in replies if turn[LATENCY] <= budget_seconds],
        "over": [turn for turn in replies if turn[LATENCY] > budget_seconds],
    }
    return {
        name: {"replies": len(side), "parts": sums(side)} for name, side in sides.items() if side
    }


def _column(turn: Mapping[str, Any], budget_seconds: float) -> dict[str, Any]:
    latency = turn.get(LATENCY)
    return known(
        {
            "latency": latency,
            "first_output": turn.get("first_output_seconds") if latency is None else None,
            "over": (latency is not None and latency > budget_seconds) or None,
            "failed": any(tool.get("is_error") for tool in turn.get("tools", ())) or None,
            "barged_in": turn.get("barged_in") or None,
        }
    )


def death_of(spans: Sequence[Span]) -> str | None:
    """What the recovery of a dead process' call said on its root."""
    roots = [span for span in spans if not span.parent_span_id.strip(b"\0")]
    for span in roots or spans[:1]:
        if span.attributes.get(names.ERROR_TYPE) == DIED:
            return names.text(span.attributes, stamps.RECOVERED_REASON) or DIED
    return None


def _flags(row: Mapping[str, Any]) -> list[str]:
    latency = row.get("latency") or {}
    found = {
        "open": row["is_open"] and not row["died"],
        "over": latency.get("p95_seconds", 0) > row["budget_seconds"],
        "tool-failed": row["tool_failures"],
        "error": row["errors"],
        "barge-in": row["barge_ins"],
        "fallback": row["fallbacks"],
        "died": row["died"],
        "realtime": row["is_realtime"],
        "text": row["is_text"],
        "withheld": row["is_withheld"],
    }
    return [key for key, value in found.items() if value]
