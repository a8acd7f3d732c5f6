"""The conversation as the trace's input and output: what was said, and what came of it in words."""

from __future__ import annotations

import json

from tracing import names, stamps
from tracing.dialects.messages import Message, dumps
from tracing.span import Attributes, AttributeValue, Span

_AGENT_FIRST = "(the agent spoke first)"
_NOTHING_SAID = "(nothing was said)"


def sides(span: Span) -> dict[str, AttributeValue]:
    """Both, under the names of all versions; of the call's root, which may have a remote parent."""
    recorded = span.attributes.get(stamps.CONVERSATION)
    if isinstance(recorded, str):
        given, answered = _split(recorded, span.attributes)
    elif _was_silent(span):
        given, answered = _NOTHING_SAID, _unanswered(span.attributes)
    else:
        return {}
    return {
        f"langfuse.{whose}.{side}": value if isinstance(value, str) else dumps(value)
        for side, value in (("input", given), ("output", answered))
        if value
        for whose in ("observation", "trace")
    }


def _split(recorded: str, attributes: Attributes) -> tuple[str | list[Message], str | Message]:
    """All that was said before the last answer, and that answer."""
    try:
        said = json.loads(recorded)
        is_answered = bool(said) and said[-1]["role"] == "assistant"
    except (LookupError, TypeError, ValueError, RecursionError):
        return recorded, ""
    if is_answered:
        return said[:-1] or _AGENT_FIRST, said[-1]
    return said, _unanswered(attributes)


def _was_silent(span: Span) -> bool:
    """Whether a root tells of a session in which there was no turn; withheld words are not told."""
    turns = _told(span.attributes, "turns")
    is_root = not span.parent_span_id or span.name == names.JOB_ENTRYPOINT
    return is_root and turns == 0 and not isinstance(turns, bool)


def _unanswered(attributes: Attributes) -> str:
    """That nobody answered, and which errors there were; nothing of a call that goes on."""
    if _told(attributes, "turns") is None:
        return ""
    stages = [
        key.rpartition(".")[2]
        for key in attributes
        if key.startswith((stamps.CALL_ERRORS, f"{stamps.ROOT_SUMMARY}errors."))
    ]
    failed = f"errors of {', '.join(sorted(stages))}" if stages else ""
    closed = "closed by an error" if _told(attributes, "close_reason") == "error" else ""
    return f"({'; '.join(filter(None, ('not answered', closed, failed)))})"


def _told(attributes: Attributes, key: str) -> AttributeValue | None:
    """One of the call's numbers, from the session where that is the root, else from the root."""
    return attributes.get(stamps.CALL + key, attributes.get(stamps.ROOT_SUMMARY + key))
