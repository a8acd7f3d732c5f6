"""The spans of one call for its readers: stamped and by start, and what is below each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

from tracing import names, stamps
from tracing.account.restamp import as_unfinished, first_heard_of, is_stamped, restamp
from tracing.account.said import (
    Said,
    said_by_agent,
    said_by_user,
    said_in_vain,
    unheard,
    when_spoken,
)
from tracing.calls.heard import is_heard, with_heard
from tracing.span import Span


class Tree:
    """One call's spans, of each the version that ended where there are several.

    None that recovery closed has failed: that its process died is told by its attributes.
    """

    def __init__(self, spans: Iterable[Span]) -> None:
        latest = [as_unfinished(span) for span in _latest(spans)]
        heard = [span for span in latest if is_heard(span)]
        told = [span for span in latest if not is_heard(span)] or latest
        stamped = told if is_stamped(told) else restamp(told)
        self.spans = sorted(with_heard(stamped, heard), key=_start)
        """All of them, with their stamps, by start."""
        self._children: dict[bytes, list[Span]] = {}
        for span in self.spans:
            self._children.setdefault(span.parent_span_id, []).append(span)
        self.start_time_unix_nano = first_heard_of(self.spans)
        """When the call began; 0 where no span tells it."""

    @property
    def started_at(self) -> str | None:
        """The same in ISO 8601, UTC; None where no span tells it."""
        if not self.start_time_unix_nano:
            return None
        return datetime.fromtimestamp(self.start_time_unix_nano / 1e9, timezone.utc).isoformat()

    @property
    def identity(self) -> dict[str, Any]:
        """Which call it is, by the last of its names, and whose: its first user's."""
        users = self.users
        return {
            "trace_id": self.spans[0].trace_id.hex(),
            "session_id": names.first_text(reversed(self.spans), stamps.SESSION_ID),
            "user_id": users[0] if users else None,
            "user_ids": users if len(users) > 1 else None,
        }

    @cached_property
    def users(self) -> list[str]:
        """Everybody who was at the other end, in the order in which they came."""
        carried = (names.text(span.attributes, stamps.USER_ID) for span in self.spans)
        return [user for user in dict.fromkeys(carried) if user]

    def named(self, name: str) -> list[Span]:
        """The spans of a name, by start."""
        return [span for span in self.spans if span.name == name]

    def inside(self, root: Span) -> list[Span]:
        """What ran below a span, by start; spans that say they are below each other count once."""
        found, level = {root.span_id: root}, [root]
        while level:
            below = [child for span in level for child in self._children.get(span.span_id, ())]
            level = [child for child in below if child.span_id not in found]
            found.update({child.span_id: child for child in level})
        del found[root.span_id]
        return sorted(found.values(), key=_start)


def agent_said(turn: Span, inside: Sequence[Span]) -> list[Said]:
    """What was said in a turn, by what ran inside it; each with the time when it was heard."""
    steps = [
        (step.start_time_unix_nano, str(names.first(step.attributes, names.RESPONSE_TEXT) or ""))
        for step in inside
        if step.name == names.LLM_NODE
    ]
    speaking = [span.start_time_unix_nano for span in inside if span.name == names.AGENT_SPEAKING]
    start = turn.start_time_unix_nano
    said = said_by_agent(turn.attributes, start, steps, turn.events, speaking)
    return when_spoken(said, speaking)


def user_said(user_turns: Sequence[Span]) -> list[Said]:
    """What was heard of the user, each with the start of its turn."""
    texts = ((turn, said_by_user(turn.attributes).strip()) for turn in user_turns)
    return [(turn.start_time_unix_nano, text) for turn, text in texts if text]


def unanswered(sessions: Sequence[Span], heard: Sequence[Said]) -> list[Said]:
    """What only events tell that the user said."""
    return unheard([said for one in sessions for said in said_in_vain(one)], heard)


def is_discarded(turn: Span) -> bool:
    """Whether an `agent_turn` was a generation that nothing followed."""
    return turn.attributes.get(stamps.TURN_KIND) == "discarded"


def is_unfinished(span: Span) -> bool:
    """Whether recovery closed a span: its process ended before it did."""
    return stamps.RECOVERED_REASON in span.attributes


def known(described: Mapping[str, Any]) -> dict[str, Any]:
    """What is not None."""
    return {key: value for key, value in described.items() if value is not None}


def _latest(spans: Iterable[Span]) -> list[Span]:
    latest: dict[bytes, Span] = {}
    for span in spans:
        if span.span_id not in latest or not span.is_open:
            latest[span.span_id] = span
    return list(latest.values())


def _start(span: Span) -> int:
    return span.start_time_unix_nano
