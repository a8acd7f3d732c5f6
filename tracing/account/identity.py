"""Which call, which caller: the attributes that every span of a call carries."""

from __future__ import annotations

from collections.abc import Callable

from tracing import names, stamps
from tracing.span import Attributes, AttributeValue, Span

_COPIED_BARE = (names.JOB_ID, names.AGENT_NAME, names.ROOM_SID)
_COPIED = (*_COPIED_BARE, *names.ROOM_NAME)
_TECHNICAL = (*_COPIED_BARE, stamps.FIRST_AGENT)

_CALLER_SPANS = frozenset({names.USER_TURN, names.USER_SPEAKING, names.WAIT_FOR_PARTICIPANT})
"""The spans whose participant is the caller; elsewhere it is the agent itself."""

TELLING = _CALLER_SPANS | {
    names.JOB_ENTRYPOINT,
    names.AGENT_SESSION,
    names.ROOM_CONNECT,
    names.START_AGENT_ACTIVITY,
}
"""The spans that say which call it is, or who calls."""


class Identity:
    """What is known so far of a call's identity, as attributes that are rebuilt on change only.

    `pack` makes of attributes the bytes that records carry, once for all spans of the call.
    The session's name is made from the first span and then stays: a backend would file the
    spans under another name as those of another session.
    """

    def __init__(
        self,
        session_id: str | Callable[[Attributes], str] | None = None,
        user_id: str | None = None,
        *,
        pack: Callable[[Attributes], bytes] = lambda attributes: b"",
    ) -> None:
        self._pack = pack
        self.attributes: Attributes = {}
        """All that is known."""
        self.bare: Attributes = {}
        """The same without content: no room's name, no caller, no session named for them."""
        self.packed = self.bare_packed = pack({})
        """Both as records carry them: packed once, not with every span."""
        self.certain: Attributes = {}
        """Of `bare`, what `attributes` says too: without a session that has two names."""
        self._known: dict[str, AttributeValue] = {}
        self._given_session_id = session_id
        self._given_user_id = user_id

    def give(
        self,
        session_id: str | Callable[[Attributes], str] | None = None,
        user_id: str | None = None,
    ) -> None:
        """Take what the application says, which goes before what LiveKit says."""
        if session_id is not None:
            self._given_session_id = session_id
            self._known.pop(stamps.SESSION_ID, None)
        if user_id is not None:
            self._given_user_id = self._known[stamps.USER_ID] = user_id
        self._rebuild(b"")

    def learn(self, span: Span) -> None:
        """Read what a span says of the call: one of `TELLING`, or the first of all."""
        attributes, known = span.attributes, self._known
        found = {
            key: attributes[key] for key in _COPIED if key not in known and attributes.get(key)
        }
        if stamps.FIRST_AGENT not in known and attributes.get(names.AGENT_LABEL):
            found[stamps.FIRST_AGENT] = attributes[names.AGENT_LABEL]
        if stamps.USER_ID not in known and (caller := self._given_user_id or _caller(span)):
            found[stamps.USER_ID] = caller
        if found or stamps.SESSION_ID not in known:
            known.update(found)
            self._rebuild(span.trace_id)

    def _rebuild(self, trace_id: bytes) -> None:
        if stamps.SESSION_ID not in self._known and (trace_id or self._given_session_id):
            given = self._given_session_id
            name = given(dict(self._known)) if callable(given) else given
            self._known[stamps.SESSION_ID] = name or _session_id(self._known, trace_id)
        self.attributes = dict(self._known)
        self._rebuild_bare(trace_id)

    def _rebuild_bare(self, trace_id: bytes) -> None:
        known = {key: self._known[key] for key in _TECHNICAL if key in self._known}
        given = self._given_session_id
        session_id = given if isinstance(given, str) else self.bare.get(stamps.SESSION_ID)
        known[stamps.SESSION_ID] = session_id or _session_id(known, trace_id)
        if self._given_user_id is not None:
            known[stamps.USER_ID] = self._given_user_id
        self.bare = known
        self.certain = {
            key: value for key, value in known.items() if self.attributes.get(key) == value
        }
        self.packed, self.bare_packed = self._pack(self.attributes), self._pack(self.bare)


def _session_id(known: Attributes, trace_id: bytes) -> str:
    """A name by which a person recognises a call: its room and its job where they are known."""
    job, room = names.text(known, names.JOB_ID), names.first(known, names.ROOM_NAME)
    if job:
        return f"{room!s}/{job}" if room else job
    return f"session-{trace_id.hex()[:8]}"


def _caller(span: Span) -> AttributeValue | None:
    """The participant identity of the caller, never the agent's own."""
    if span.name in _CALLER_SPANS:
        return names.first(span.attributes, names.PARTICIPANT_IDENTITY)
    if span.name == names.AGENT_SESSION:
        for event in span.events:
            if event.name == names.EVENT_PARTICIPANT_LINKED:
                return names.first(event.attributes, names.PARTICIPANT_IDENTITY)
    return None
