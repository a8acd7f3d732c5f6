"""A session in numbers, added up from its turns as they end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from tracing import stamps
from tracing.account.measured import json_list
from tracing.span import Attributes, AttributeValue

BUDGET_SECONDS = 1.0
"""The latency that most turns should keep within, where nobody names another."""

_MAX_LATENCIES = 10_000

UsageKey: TypeAlias = tuple[str, str, str, str]
"""What tells one sum of usage from another: type, provider, model, and purpose, which is empty
for the steps of turns."""

_COUNTED = {
    stamps.TURN_TOOL_CALLS: "tool_calls",
    stamps.TURN_TOOL_FAILURES: "tool_failures",
    stamps.TURN_RETRIES: "retries",
    stamps.TURN_FALLBACKS: "fallbacks",
    stamps.TURN_DISCARDED: "discarded_generations",
    stamps.TURN_FALSE_INTERRUPTIONS: "false_interruptions",
}
"""Numbers of a turn that a session adds up."""


_NOT_OF_ROOT = frozenset({stamps.CALL_USAGE, stamps.CALL_REPORT})


class Summary:
    """What the turns of a session add up to; bounded, however long the session."""

    def __init__(self, budget_seconds: float = BUDGET_SECONDS) -> None:
        self.budget_seconds = budget_seconds
        self._turns = 0
        self._heard = 0
        self._barge_ins = 0
        self._latencies: list[float] = []
        self._counts: dict[str, int] = {}
        self._errors: dict[str, int] = {}
        self._usage: dict[UsageKey, dict[str, Any]] = {}

    def add_turn(self, stamped: Attributes) -> None:
        """Count a turn by its stamps."""
        if stamped.get(stamps.TURN_KIND) == "discarded":
            return
        self._turns += 1
        self._heard += stamps.TURN_AGENT_STARTED in stamped
        self._barge_ins += bool(stamped.get(stamps.TURN_BARGED_IN))
        latency = stamped.get(stamps.TURN_LATENCY)
        if isinstance(latency, float) and len(self._latencies) < _MAX_LATENCIES:
            self._latencies.append(latency)
        for key, name in _COUNTED.items():
            if key in stamped:
                _add(self._counts, name, stamped[key])
        for key in [key for key in stamped if key.startswith(stamps.TURN_ERRORS)]:
            _add(self._errors, key[len(stamps.TURN_ERRORS) :], stamped[key])

    def add_usage(self, used: Mapping[str, Any]) -> None:
        """Add usage in the shape of LiveKit's `*ModelUsage`, under its type, provider and model.

        Where it was for something beside the turns, its `purpose` says for what.
        """
        key = usage_key(used)
        kept = self._usage.setdefault(key, {})
        for field, value in used.items():
            if isinstance(value, (int, float)) and value:
                kept[field] = kept.get(field, 0) + value

    def replace_usage(self, used: Sequence[Mapping[str, Any]]) -> None:
        """Take the usage that LiveKit itself added up, which knows of every model.

        Of one that was asked beside the turns it is unknown how often that is in there: once,
        twice or not at all. So of such a model what its spans told stays.
        """
        asked_beside = {key[:3] for key in self._usage if key[3]}
        self._usage = {key: kept for key, kept in self._usage.items() if key[:3] in asked_beside}
        for usage in used:
            if usage_key(usage)[:3] not in asked_beside:
                self.add_usage(usage)

    def numbers(self) -> dict[str, Any]:
        """The summary; what is unknown is absent."""
        found: dict[str, Any] = {"turns": self._turns, "budget_seconds": self.budget_seconds}
        if self._heard:
            found["barge_ins"] = self._barge_ins
            found["barge_in_rate"] = self._barge_ins / self._heard
        found.update(_spread(self._latencies, self.budget_seconds))
        found.update(self._counts)
        if self._counts.get("tool_calls"):
            failed = self._counts.get("tool_failures", 0)
            found["tool_failure_rate"] = failed / self._counts["tool_calls"]
        if self._errors:
            found["errors"] = dict(self._errors)
        if self._usage:
            found["usage"] = [{**named_usage(key), **used} for key, used in self._usage.items()]
        return found


def usage_key(used: Mapping[str, Any]) -> UsageKey:
    """Which sum it belongs to."""
    kind, provider, model, purpose = (
        str(used.get(name, "")) for name in ("type", "provider", "model", "purpose")
    )
    return kind, provider, model, purpose


def named_usage(key: UsageKey) -> dict[str, str]:
    """A sum's key as a part of it."""
    named = {"type": key[0], "provider": key[1], "model": key[2]}
    return {**named, "purpose": key[3]} if key[3] else named


def _add(counts: dict[str, int], key: str, value: AttributeValue) -> None:
    if isinstance(value, int) and value:
        counts[key] = counts.get(key, 0) + value


def _spread(latencies: Sequence[float], budget_seconds: float) -> dict[str, float]:
    if not latencies:
        return {}
    ordered = sorted(latencies)
    within = sum(value <= budget_seconds for value in ordered)
    return {
        "latency_p50_seconds": percentile(ordered, 0.5),
        "latency_p95_seconds": percentile(ordered, 0.95),
        "latency_max_seconds": ordered[-1],
        "within_budget_share": within / len(ordered),
    }


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which a share of the ordered values lies, between neighbours."""
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def as_attributes(numbers: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """A summary as attributes: one each, `errors` and `options` flat, `usage` as JSON."""
    flat: dict[str, AttributeValue] = {}
    for key, value in numbers.items():
        if isinstance(value, Mapping):
            flat.update({f"{stamps.CALL}{key}.{inner}": v for inner, v in value.items()})
        elif isinstance(value, list):
            flat[stamps.CALL + key] = json.dumps(value)
        else:
            flat[stamps.CALL + key] = value
    return flat


def of_root(stamped: Attributes) -> dict[str, AttributeValue]:
    """A session's summary as attributes of the root above it."""
    return {
        stamps.ROOT_SUMMARY + key[len(stamps.CALL) :]: value
        for key, value in stamped.items()
        if key.startswith((stamps.CALL_ERRORS, stamps.CALL_CHANGED_OPTIONS, stamps.CALL_SIP))
        or (key.startswith(stamps.CALL) and key.count(".") == 1 and key not in _NOT_OF_ROOT)
    }


def from_attributes(attributes: Attributes) -> dict[str, Any]:
    """The summary that `as_attributes` wrote."""
    found: dict[str, Any] = {}
    groups: dict[str, dict[str, AttributeValue]] = {}
    for key, value in attributes.items():
        if key.startswith(stamps.CALL):
            outer, _, inner = key[len(stamps.CALL) :].partition(".")
            if inner:
                groups.setdefault(outer, {})[inner] = value
            else:
                found[outer] = value
    used = [one for one in json_list(found.pop("usage", None)) if isinstance(one, dict)]
    errors = {k: n for k, n in groups.pop("errors", {}).items() if isinstance(n, int)}
    found.pop("errors", None)
    listed = {"errors": errors, "usage": used}
    return {**found, **groups, **{key: known for key, known in listed.items() if known}}
