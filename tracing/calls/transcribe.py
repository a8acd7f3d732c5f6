"""A recorded call as a conversation: who said what when, with tools and handoffs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tracing import names, stamps
from tracing.account.said import asked_by, only_asked
from tracing.calls.tree import (
    Tree,
    agent_said,
    is_discarded,
    is_unfinished,
    known,
    unanswered,
    user_said,
)
from tracing.span import Span

Entry = dict[str, Any]


class Line(NamedTuple):
    """Something that was said."""

    number: int
    """The agent's turn in which it was said, or which follows it."""
    at_seconds: float
    """Since the start of the call."""
    text: str


def transcribe(tree: Tree) -> dict[str, Any]:
    """The conversation of one call as a JSON object.

    - `trace_id`, `session_id`, `user_id`, `started_at` (ISO 8601, UTC).
    - `entries`, by time, each with `at_seconds` (since the start of the call) and `kind`:
      `user` and `agent` with `text`, `turn` and, of the agent, `interrupted` and
      `user_bot_latency_seconds`; `tool` with `name`, `arguments`, `output`, `is_error`,
      `duration_seconds`, or `is_unfinished` (its process ended first); `handoff` with
      `from` and `to`.

    What is unknown or withheld is absent; so is what was generated and never spoken.
    """
    turns = tree.named(names.AGENT_TURN)
    found = [
        *_user_entries(tree),
        *(entry for turn in turns for entry in _agent_entries(turn, tree.inside(turn))),
        *map(_handoff, tree.named(names.UPDATE_AGENT)),
    ]
    found.sort(key=lambda entry: entry["at_seconds"])
    for entry in found:
        entry["at_seconds"] = (entry["at_seconds"] - tree.start_time_unix_nano) / 1e9
    head = known({**tree.identity, "started_at": tree.started_at})
    return {**head, "entries": [known(entry) for entry in found]}


def said_lines(transcript: Mapping[str, Any]) -> list[Line]:
    """What was said in a transcribed call, by time."""
    found, number = [], 1
    for entry in transcript["entries"]:
        turn = entry.get("turn")
        number = turn if isinstance(turn, int) else number
        if text := entry.get("text"):
            following = number + (entry["kind"] == "user")
            found.append(Line(following, max(0.0, entry["at_seconds"]), str(text)))
    return found


def _user_entries(tree: Tree) -> Iterator[Entry]:
    """What the user said, as it was transcribed, and what only a turn's input tells."""
    heard = user_said(tree.named(names.USER_TURN))
    asked = [asked_by(turn) for turn in tree.named(names.AGENT_TURN) if not is_discarded(turn)]
    in_vain = unanswered(tree.named(names.AGENT_SESSION), heard)
    for at, text in (*heard, *only_asked(asked, heard), *in_vain):
        yield {"at_seconds": at, "kind": "user", "text": text}


def _agent_entries(turn: Span, inside: Sequence[Span]) -> Iterator[Entry]:
    """A turn's tools, and what was spoken before, between and after them."""
    if is_discarded(turn):
        return
    yield from (_tool(span) for span in inside if span.name == names.FUNCTION_TOOL)
    entries: list[Entry] = [
        {
            "at_seconds": at,
            "kind": "agent",
            "text": text.strip(),
            "turn": turn.attributes.get(stamps.TURN_NUMBER),
        }
        for at, text in agent_said(turn, inside)
        if text.strip()
    ]
    if entries:
        entries[0]["user_bot_latency_seconds"] = turn.attributes.get(stamps.TURN_LATENCY)
        entries[-1]["interrupted"] = turn.attributes.get(stamps.TURN_WAS_INTERRUPTED) or None
    yield from entries


def _tool(span: Span) -> Entry:
    attributes = span.attributes
    return {
        "at_seconds": span.start_time_unix_nano,
        "kind": "tool",
        "name": names.text(attributes, names.TOOL_NAME),
        "arguments": _text(span, names.TOOL_ARGUMENTS),
        "output": _text(span, names.TOOL_OUTPUT),
        "is_error": attributes.get(names.TOOL_IS_ERROR) or None,
        "duration_seconds": None if span.is_open or is_unfinished(span) else span.duration_seconds,
        "is_unfinished": is_unfinished(span) or None,
    }


def _handoff(span: Span) -> Entry:
    return {
        "at_seconds": span.start_time_unix_nano,
        "kind": "handoff",
        "from": span.attributes.get(names.PREVIOUS_AGENT_LABEL),
        "to": span.attributes.get(names.AGENT_LABEL),
    }


def _text(span: Span, keys: tuple[str, ...]) -> str | None:
    value = names.first(span.attributes, keys)
    return (value.strip() or None) if isinstance(value, str) else None
