"""Which call, which caller: the attributes that every span of a call carries."""

from __future__ import annotations

from collections.abc import Callable

from tracing.livekit import names
from tracing.span import Attributes, AttributeValue, Span

_COPIED = (names.JOB_ID, names.AGENT_NAME, names.ROOM_SID, *names.ROOM_NAME)


class Identity:
    """What is known so far of a call's identity, as attributes that are rebuilt on change only."""

    def __init__(
        self,
        session_id: str | Callable[[Attributes], str] | None = None,
        user_id: str | None = None,
    ) -> None:
        self._session_id = session_id
        self._user_id = user_id
        self._trace_id = b""
        self._known: dict[str, AttributeValue] = {}
        self.attributes: Attributes = {}

    def give(
        self,
        session_id: str | Callable[[Attributes], str] | None = None,
        user_id: str | None = None,
    ) -> None:
        """Take what the application says, which goes before what LiveKit says."""
        self._session_id = session_id if session_id is not None else self._session_id
        self._user_id = user_id if user_id is not None else self._user_id
        self._rebuild()

    def learn(self, span: Span) -> None:
        """Read what a span that started or ended says of the call."""
        changed = not self._trace_id
        self._trace_id = span.trace_id
        for key in _COPIED:
            value = span.attributes.get(key)
            if value and self._known.get(key) is None:
                self._known[key] = value
                changed = True
        if names.USER_ID not in self._known:
            caller = _caller(span)
            if caller:
                self._known[names.USER_ID] = caller
                changed = True
        if changed:
            self._rebuild()

    def _rebuild(self) -> None:
        known = {key: value for key, value in self._known.items() if key != names.USER_ID}
        user_id = self._user_id or self._known.get(names.USER_ID)
        if user_id:
            known[names.USER_ID] = user_id
        session_id = self._session_id
        if callable(session_id):
            session_id = session_id(known)
        known[names.SESSION_ID] = session_id or _session_id(known, self._trace_id)
        self.attributes = known


def _session_id(known: Attributes, trace_id: bytes) -> str:
    """Name a call so that a person recognises it: its room and its job where they are known."""
    job = known.get(names.JOB_ID)
    room = names.first(known, names.ROOM_NAME)
    if job:
        return f"{room}/{job}" if room else str(job)
    return f"session-{trace_id.hex()[:8]}"


# Spans that tell of the caller; the others' participant is the agent itself.
_CALLER_SPANS = frozenset({names.USER_TURN, names.USER_SPEAKING, names.WAIT_FOR_PARTICIPANT})


def _caller(span: Span) -> AttributeValue | None:
    """Return the participant identity of the caller, never the agent's own."""
    if span.name in _CALLER_SPANS:
        return names.first(span.attributes, names.PARTICIPANT_IDENTITY)
    if span.name == names.AGENT_SESSION:
        for event in span.events:
            if event.name == names.EVENT_PARTICIPANT_LINKED:
                return names.first(event.attributes, names.PARTICIPANT_IDENTITY)
    return None
