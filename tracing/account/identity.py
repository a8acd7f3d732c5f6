"""Which call, which caller: the attributes that every span of a call carries."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import NamedTuple, TypeAlias

from tracing import names, stamps
from tracing.limits import forget_oldest
from tracing.span import Attributes, AttributeValue, Span

_MAX_USERS = 64
_COPIED_BARE = (names.JOB_ID, names.AGENT_NAME, names.ROOM_SID)
_COPIED = (*_COPIED_BARE, *names.ROOM_NAME)
_TECHNICAL = (*_COPIED_BARE, stamps.FIRST_AGENT)
_NOTHING: Attributes = {}

NameSession: TypeAlias = "Callable[[Attributes], str | None]"
"""The application's own name of a call from what is known of it; None where it has none."""

_CALLER_SPANS = frozenset({names.USER_TURN, names.USER_SPEAKING, names.WAIT_FOR_PARTICIPANT})
"""The spans whose participant is the caller; elsewhere it is the agent itself."""

TELLING = _CALLER_SPANS | {
    names.JOB_ENTRYPOINT,
    names.AGENT_SESSION,
    names.ROOM_CONNECT,
    names.START_AGENT_ACTIVITY,
}
"""The spans that say which call it is, or who calls."""


class User(NamedTuple):
    """Who is at the other end of a session."""

    id: str
    is_given: bool
    """By the application, which may say it where LiveKit's participants are withheld."""


NOBODY = User("", is_given=False)
"""Who is at the other end of a session where that is not known, and it is not the call's own."""


class Known(NamedTuple):
    """What is known of a call and one of its users, as attributes."""

    attributes: Attributes = {}
    """All of it."""
    bare: Attributes = {}
    """The same without content: no room's name, no user, and the session is called by its job's
    id, or by its trace where there is no job, whatever else names it."""
    packed: bytes = b""
    bare_packed: bytes = b""
    """Both as records carry them: packed once, not with every span."""
    certain: Attributes = {}
    """Of `bare`, what `attributes` says too: without a session that has two names."""


class Identity:
    """What is known so far of a call's identity, made into attributes on change only.

    `content_safe` names attributes that carry no content, by the application's word; `mask` is
    for what the application names the call and its users. `pack` makes of attributes the bytes
    that records carry, once for all spans of a user.
    The session's name is made from the first span and then stays: a backend would file the
    spans under another name as those of another session. `user_id` is everybody's.
    """

    def __init__(
        self,
        session_id: str | NameSession | None = None,
        user_id: str | None = None,
        *,
        pack: Callable[[Attributes], bytes] = lambda attributes: b"",
        content_safe: Container[str] = (),
        mask: Callable[[str], str] = str,
    ) -> None:
        self._pack = pack
        self._content_safe = content_safe
        self._mask = mask
        self._given_session_id = session_id
        self.everybody = self.as_given(user_id)
        """The user that the application gave for all calls."""
        self.user = self.everybody
        """The call's own: the first that was given, else the first that was heard of."""
        self._is_named = False
        """Whether the application gave the session's name."""
        self._known: dict[str, AttributeValue] = {}
        self._bare: dict[str, AttributeValue] = {}
        self._by_user: dict[User, Known] = {}
        self.own = Known(packed=pack({}), bare_packed=pack({}))
        """What spans carry that are in no session."""

    @property
    def attributes(self) -> Attributes:
        """All that is known of the call and its own user."""
        return self.own.attributes

    def of(self, user: User | None) -> Known:
        """What the spans of a user carry; where nobody is known, what the call's own do."""
        if user is None or user is self.user:
            return self.own
        known = self._by_user.get(user)
        if known is None:
            known = self._by_user[user] = self._made(user)
            forget_oldest(self._by_user, _MAX_USERS)
        return known

    def give(
        self, session_id: str | NameSession | None = None, user_id: str | None = None
    ) -> User | None:
        """Take what the application says of one session, which goes before what LiveKit says.

        Returns the user that it names.
        """
        if session_id is not None:
            self._given_session_id = session_id
            self._known.pop(stamps.SESSION_ID, None)
        user, own = self.as_given(user_id), self.user
        if user is not None and (own is None or own is self.everybody or not own.is_given):
            self.user = user
        self._rebuild(b"")
        return user

    def tag(self, tags: list[str]) -> None:
        """Take the tags that the application gives the call: spans carry them from now on."""
        self._known[stamps.CALL_TAGS] = [*tags]
        self._rebuild(b"")

    def as_given(self, user_id: str | None) -> User | None:
        """The user that the application names; None where it names none."""
        return User(self._mask(user_id), is_given=True) if user_id else None

    def learn(self, span: Span) -> User | None:
        """Read what a span says of the call: one of `TELLING`, or the first of all.

        Returns the caller that it names.
        """
        attributes, known = span.attributes, self._known
        found = {
            key: told
            for key in _COPIED
            if key not in known and (told := names.text(attributes, key))
        }
        label = names.text(attributes, names.AGENT_LABEL)
        if label and stamps.FIRST_AGENT not in known:
            found[stamps.FIRST_AGENT] = label
        caller = _caller(span)
        user = User(caller, is_given=False) if caller else None
        is_first = self.user is None and user is not None
        if is_first or user == self.user:
            self.user = user = self.user or user
        if found or is_first or stamps.SESSION_ID not in known:
            known.update(found)
            self._rebuild(span.trace_id, attributes)
        return user

    def _rebuild(self, trace_id: bytes, said: Attributes = _NOTHING) -> None:
        known, given = self._known, self._given_session_id
        if stamps.SESSION_ID not in known and (trace_id or given):
            if callable(given):
                # With what is said to be empty, as an agent's name is by default.
                empty = {key: said[key] for key in _COPIED if key in said}
                given = given({**empty, **known})
            self._is_named = bool(given)
            named = self._mask(given) if given else _session_id(known, trace_id)
            known[stamps.SESSION_ID] = named
        self._rebuild_bare(trace_id)
        self._by_user.clear()
        self.own = self._made(self.user)

    def _rebuild_bare(self, trace_id: bytes) -> None:
        safe, known = self._content_safe, self._known
        bare = {key: value for key, value in known.items() if key in _TECHNICAL or key in safe}
        if not self._is_named:  # but by its room
            bare.pop(stamps.SESSION_ID, None)
        named = self._bare.get(stamps.SESSION_ID) or _session_id(bare, trace_id)
        self._bare = {stamps.SESSION_ID: named, **bare}

    def _made(self, user: User | None) -> Known:
        attributes, bare = dict(self._known), dict(self._bare)
        if user is not None and user.id:
            attributes[stamps.USER_ID] = user.id
            if user.is_given and stamps.USER_ID in self._content_safe:
                bare[stamps.USER_ID] = user.id
        return Known(
            attributes=attributes,
            bare=bare,
            packed=self._pack(attributes),
            bare_packed=self._pack(bare),
            certain={key: value for key, value in bare.items() if attributes.get(key) == value},
        )


def _session_id(known: Attributes, trace_id: bytes) -> str:
    """A name by which a person recognises a call: its room and its job where they are known."""
    job, room = names.text(known, names.JOB_ID), names.first(known, names.ROOM_NAME)
    if job:
        return f"{room!s}/{job}" if room else job
    return f"session-{trace_id.hex()[:8]}"


def _caller(span: Span) -> str:
    """The participant identity of the caller, never the agent's own; empty where none is told."""
    if span.name in _CALLER_SPANS:
        return _participant(span.attributes)
    if span.name == names.AGENT_SESSION:
        for event in span.events:
            if event.name == names.EVENT_PARTICIPANT_LINKED:
                return _participant(event.attributes)
    return ""


def _participant(attributes: Attributes) -> str:
    return names.first(attributes, names.PARTICIPANT_IDENTITY) or ""
