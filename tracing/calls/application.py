"""What the application said of a recorded call, read off its root."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracing import names, stamps
from tracing.account.measured import json_list
from tracing.span import Attributes, Span

ABOUT_KEYS = ("tags", "metadata", "outcome", "outcome_reason", "scores")
"""The keys of what `about` finds."""


def about(spans: Sequence[Span]) -> dict[str, Any]:
    """The call's `tags`, `metadata`, `outcome`, `outcome_reason` and `scores`, where there are any.

    `scores` have `name`, `value`, `time` (seconds since the Unix epoch) and `comment`.
    """
    found: dict[str, Any] = {}
    for attributes in _telling(spans):
        metadata = {
            key[len(stamps.CALL_METADATA) :]: value
            for key, value in attributes.items()
            if key.startswith(stamps.CALL_METADATA)
        }
        scores = [one for one in json_list(attributes.get(stamps.CALL_SCORES)) if _is_score(one)]
        tags = attributes.get(stamps.CALL_TAGS)
        told = {
            "tags": [str(tag) for tag in tags] if isinstance(tags, (list, tuple)) else None,
            "metadata": metadata,
            "outcome": names.text(attributes, stamps.CALL_OUTCOME),
            "outcome_reason": names.text(attributes, stamps.CALL_OUTCOME_REASON),
            "scores": scores,
        }
        found.update({key: value for key, value in told.items() if value})
    return found


def in_words(call: Mapping[str, Any]) -> list[str]:
    """What a described call can be found by, as `NAME=VALUE`: tags, outcome, metadata."""
    said = [f"tag={tag}" for tag in call.get("tags", ())]
    if outcome := call.get("outcome"):
        said.append(f"outcome={outcome}")
    return said + [f"{name}={as_text(value)}" for name, value in call.get("metadata", {}).items()]


def as_text(value: object) -> str:
    """A value as a person writes it."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(as_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _telling(spans: Sequence[Span]) -> Iterator[Attributes]:
    """The attributes of the spans that can tell: those below none that is recorded, the call's own
    root last."""
    ids = {span.span_id for span in spans}
    tops = [
        span
        for span in spans
        if span.name == names.JOB_ENTRYPOINT or span.parent_span_id not in ids
    ]
    tops.sort(key=lambda span: span.name in names.BEGIN_CALLS)
    yield from (span.attributes for span in tops)


def _is_score(one: object) -> bool:
    return isinstance(one, dict) and "name" in one and "value" in one
