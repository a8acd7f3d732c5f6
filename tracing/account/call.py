"""What is known of one call while it runs: fed with every span, it says what to stamp on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, TypeAlias

from tracing import names, stamps
from tracing.account.identity import NOBODY, TELLING, Identity, Known, NameSession, User
from tracing.account.neighbours import CONCERNED, Neighbours
from tracing.account.open_span import OpenSpan
from tracing.account.session import (
    MAX_TURNS,
    Aside,
    OpenTurn,
    Session,
    Watcher,
    end_session,
    end_turn,
)
from tracing.account.summary import BUDGET_SECONDS, Summary, as_attributes, of_root
from tracing.account.told.prompts import Prompt, Prompts
from tracing.account.told.telephone import of_telephone
from tracing.account.told.words import Words
from tracing.account.usage import add_usage
from tracing.limits import forget_oldest, settled_at
from tracing.safe_text import get_logger
from tracing.span import EARLIEST, Attributes, AttributeValue, Span, as_number

logger = get_logger(__name__)

_MAX_STEPS = 64
_BACK_DATED_NANOS = 5_000_000
_NOTHING: Mapping[str, AttributeValue] = {}

_KEPT: dict[str, tuple[str, ...]] = {
    names.AGENT_SPEAKING: (),
    names.LLM_NODE: (names.TTFT,),
    names.LLM_REQUEST: (names.TIME_TO_FIRST_CHUNK, names.LLM_METRICS, names.FALLBACK_RECOVERY),
    names.LLM_REQUEST_RUN: (names.RETRY_COUNT,),
    names.LLM_FALLBACK_ADAPTER: (names.FALLBACK_INDEX,),
    names.TTS_NODE: (names.TTFB,),
    names.TTS_REQUEST: (names.TTS_METRICS, names.FALLBACK_RECOVERY),
    names.TTS_REQUEST_RUN: (names.RETRY_COUNT,),
    names.TTS_FALLBACK_ADAPTER: (names.FALLBACK_INDEX, names.TTS_METRICS),
    names.FUNCTION_TOOL: (names.TOOL_ID, names.TOOL_NAME, names.TOOL_IS_ERROR),
    names.REALTIME_INFERENCE: (names.TIME_TO_FIRST_CHUNK, names.REALTIME_METRICS_JSON),
    names.REALTIME_METRICS: (names.REALTIME_METRICS_JSON,),
}
"""The spans inside a turn that tell of it, and the few attributes that are read again."""

_WITH_USAGE = frozenset(
    name
    for name, keys in _KEPT.items()
    if {names.LLM_METRICS, names.TTS_METRICS, names.REALTIME_METRICS_JSON}.intersection(keys)
)
"""Of these, the ones that say what a model used."""

_KEPT_USER = frozenset(
    {
        names.USER_TURN,
        names.USER_SPEAKING,
        names.EOU_WAIT,
        names.ON_USER_TURN_COMPLETED,
        names.UPDATE_AGENT,
    }
)
"""The same for the user's side and for handoffs, which are no part of an agent's turn."""


Scope: TypeAlias = "Session | OpenTurn | Aside"
"""What a span is in."""


class Call:
    """The state of one trace; bounded, and cheap enough for the voice loop.

    With `settle_seconds` the application's names come too late that long after the first session
    began: spans have left with others, and the call keeps those.
    """

    def __init__(
        self,
        *,
        session_id: str | NameSession | None = None,
        user_id: str | None = None,
        budget_seconds: float = BUDGET_SECONDS,
        clock: Callable[[], int] | None = time.time_ns,
        watchers: Sequence[Watcher] = (),
        open_span: Callable[[bytes], Span | None] = lambda span_id: None,
        rebuild_inputs: bool = False,
        settle_seconds: float | None = None,
        pack: Callable[[Attributes], bytes] = lambda attributes: b"",
        content_safe: Container[str] = (),
        mask: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        self._watchers = watchers
        self._neighbours = Neighbours(open_span=open_span, rebuild_inputs=rebuild_inputs)
        self.opened = self._neighbours.opened
        """Takes note of a span that starts and tells nothing of its call: no session, no turn."""
        self.identity = Identity(
            session_id, user_id, pack=pack, content_safe=content_safe, mask=mask
        )
        """Which call it is, as far as it is known."""
        self.words = Words(mask, self.identity.tag)
        """What the application says of it."""
        self.shown = ""
        """What had been said when the call's beginning was last written; "" where nothing was."""
        self.is_withheld = False
        """Whether its content is withheld, from the moment on that somebody demanded it."""
        self._budget_seconds = budget_seconds
        self._clock = clock
        self.is_call = False
        """Whether something of LiveKit's began: a trace of others alone is none."""
        self._settle_seconds = settle_seconds
        self._began = self._session_began = 0
        """In nanoseconds since the Unix epoch; 0 until then."""
        self._turns = 0
        self._open_span = open_span
        self._sessions = 0
        self._unknown: User | None = None
        """Who is at the other end of a session that has not told: of the only one the call's."""
        self._prompt: Prompt | None = None
        """What was named for the first agent of the next session."""
        self._session = self._new_session()
        self._session.is_over = True  # none has begun
        self._afterwards = Summary()
        self._told_of_session: Attributes = _NOTHING

    def _new_session(self) -> Session:
        session = Session(self._budget_seconds, self._watchers, self._open_span)
        session.caller = self.identity.everybody
        session.prompts = Prompts(self._prompt)
        self._prompt = None
        return session

    @property
    def is_open(self) -> bool:
        """Whether a span of it is open."""
        return bool(self._neighbours.open)

    def set_identity(
        self,
        session_id: str | None = None,
        user_id: str | None = None,
        session: Session | None = None,
    ) -> None:
        """Take the application's own name of the call and, for one of its sessions, the user."""
        session = session or self._session
        if self.is_settled:
            self._name_late(session_id, user_id, session)
            return
        user = self.identity.give(session_id, user_id)
        if user is not None:
            session.caller = user

    @property
    def is_settled(self) -> bool:
        """Whether spans may have left with the names that the call has now."""
        if self._settle_seconds is None or self._clock is None or not self._began:
            return False
        at = settled_at(self._began, self._session_began, self._settle_seconds)
        return self._clock() >= at

    def _name_late(self, session_id: str | None, user_id: str | None, session: Session) -> None:
        """Keep the names that spans have left with: a later session has a user of its own."""
        own, user = self.identity.user, self.identity.as_given(user_id)
        if user is not None and own is None:
            session.caller = self.identity.give(user_id=user_id)
        elif user is not None and self._sessions > 1:
            session.caller = user
        elif user is not None and user != own:
            logger.warning("user_id= came too late: the call's spans have left with another")
        if session_id and self.identity.attributes.get(stamps.SESSION_ID) != session_id:
            logger.warning("session_id= came too late: the call's spans have left with another")

    @property
    def utterances(self) -> int:
        """How much was said so far: a number that grows with it."""
        return self._neighbours.utterances

    @property
    def user_was_heard(self) -> bool:
        """Whether the user has said or typed something."""
        return self._neighbours.user_was_heard

    def use_prompt(self, prompt: Prompt, span_id: bytes) -> None:
        """Take the prompt of the calls to a model that follow in the session of an open span."""
        session = self.session(span_id)
        if session.is_over:
            self._prompt = prompt
        else:
            session.prompts.current = prompt

    def conversation(self) -> str:
        """What was said so far, as `stamps.CONVERSATION`."""
        return self._neighbours.conversation()

    def identity_in(self, scope: Scope | None) -> Known:
        """What every span in a session or a turn carries; in neither, what the call's own do."""
        session = scope.session if scope is not None else None
        if scope is None or session is None:
            return self.identity.own
        return self.identity.of(scope.caller or session.caller or self._unknown)

    def session(self, span_id: bytes) -> Session:
        """The session that an open span is in, else the latest one."""
        scope = self.scope(as_number(span_id))
        return (scope.session if scope is not None else None) or self._session

    def turn(self, span_id: bytes) -> OpenTurn | None:
        """The turn that an open span is in."""
        scope = self.scope(as_number(span_id))
        return scope if isinstance(scope, OpenTurn) else None

    def scope(self, span_id: int) -> Scope | None:
        """The session or the turn that an open span is in, or what goes on beside them."""
        opened = self._neighbours.open.get(span_id)
        return opened.scope if opened is not None else None

    def started(self, span: Span) -> None:
        """Take note of a span that starts, and of what it tells of its call."""
        span_id, parent_id = as_number(span.span_id), as_number(span.parent_span_id)
        opened = self.opened(span_id, parent_id, span.name, span.attributes)
        if span.name in TELLING or not self.identity.attributes:
            self._learn(span, opened, is_news=True)
        self.is_call = self.is_call or span.scope_name == names.SCOPE
        if span.name in names.BEGIN_CALLS:
            self._began = self._began or span.start_time_unix_nano
        if span.name == names.AGENT_SESSION:
            self._session_began = self._session_began or span.start_time_unix_nano
            self._unknown = NOBODY if self._sessions else None
            self._sessions += 1
            opened.scope = self._session = self._new_session()
        elif span.name == names.AGENT_TURN:
            self._turns += 1
            session = self.session(span.parent_span_id)
            opened.scope = session.open_turns[span.span_id] = OpenTurn(session, self._turns, span)
            forget_oldest(session.open_turns, MAX_TURNS)

    def ended(self, span: Span, span_id: int | None = None) -> Mapping[str, AttributeValue]:
        """Take note of a span that ends; return the attributes to stamp on it.

        `span_id` is its id as a number, for who has it at hand.
        """
        name, stamped = span.name, _NOTHING
        if span.start_time_unix_nano < EARLIEST:  # what has no start is an instant
            span = span._replace(start_time_unix_nano=span.end_time_unix_nano)
        opened = self._neighbours.open.pop(span_id or as_number(span.span_id), None)
        if name in TELLING or not self.identity.attributes:
            self._learn(span, opened, is_news=name == names.USER_SPEAKING)
        know = _KNOWN_BY.get(name)
        if know is not None:
            scope = opened.scope if opened is not None else None
            stamped = know(self, scope or self._session, span)
        if opened is None:
            return stamped
        if span.scope_name != names.SCOPE:
            stamped = {**stamped, **self._foreign_ended(span, opened)}
        if name == names.JOB_ENTRYPOINT or not span.parent_span_id:
            summary = of_root(self._told_of_session) if name != names.AGENT_SESSION else _NOTHING
            stamped = {**summary, **stamped, **self.words.at_end(span.attributes)}
        if opened.shown_parent:
            stamped = {**stamped, **shown_parent(opened)}
        if not (name in CONCERNED or span.status_code or not span.parent_span_id):
            return stamped  # as for most
        told = self._neighbours.ended(span, opened, stamped)
        return {**told, **stamped} if told else stamped

    def _foreign_ended(self, span: Span, opened: OpenSpan) -> Attributes:
        if not self.is_call:
            return {stamps.OUTSIDE_CALLS: True}
        return self._neighbours.foreign_ended(span, opened)

    def place(self, span_id: int) -> Attributes:
        """What an open span's place in the call is, as far as its parent does not say."""
        opened = self._neighbours.open.get(span_id)
        return shown_parent(opened) if opened is not None and opened.shown_parent else _NOTHING

    def _learn(self, span: Span, opened: OpenSpan | None, *, is_news: bool) -> None:
        """Read what a span says of the call, and of who is at the other end of its session.

        That may change while the session lasts: whoever speaks next is its user from then on.
        A `user_turn` names who began it, and others may go on in it.
        """
        user, scope = self.identity.learn(span), opened.scope if opened is not None else None
        session = scope.session if scope is not None else None
        if user is None or session is None:
            return
        if session.caller is None or (is_news and not session.caller.is_given):
            session.caller = user

    def _step_ended(self, scope: Scope, span: Span) -> Mapping[str, AttributeValue]:
        if scope.running:
            scope.running.pop(as_number(span.span_id), None)
        if isinstance(scope, OpenTurn):
            kept = scope.steps.setdefault(span.name, [])
            if len(kept) < _MAX_STEPS:
                kept.append(_slim(span, _KEPT[span.name]))
        if span.name in _WITH_USAGE:
            session = scope.session or self._session
            summary = self._afterwards if session.is_over else session.summary
            add_usage(summary, span, scope.purpose if isinstance(scope, Aside) else "")
        return _NOTHING

    def _job_ended(self, scope: Scope, span: Span) -> Mapping[str, AttributeValue]:
        """Stamp what was used in no session, such as by judges after its end."""
        used = self._afterwards.numbers().get("usage")
        return as_attributes({"usage": used}) if used else _NOTHING

    def _turn_ended(self, scope: Scope, span: Span) -> Mapping[str, AttributeValue]:
        return end_turn(scope, span) if isinstance(scope, OpenTurn) else _NOTHING

    def _close_ended(self, scope: Scope, span: Span) -> Mapping[str, AttributeValue]:
        session = scope.session or self._session
        session.close_reason = names.text(span.attributes, names.CLOSE_REASON) or None
        return _NOTHING

    def _session_ended(self, scope: Scope, span: Span) -> Mapping[str, AttributeValue]:
        session = scope.session or self._session
        session.is_over = True
        stamped = {**of_telephone(span.attributes), **end_session(session, span)}
        self._told_of_session = stamped
        return stamped

    def _user_ended(self, scope: Scope, span: Span) -> Mapping[str, AttributeValue]:
        session, stamped, name = scope.session or self._session, _NOTHING, span.name
        session.running.pop(as_number(span.span_id), None)
        if name == names.USER_SPEAKING and self._clock is not None:
            # The end of speech is back-dated, by a VAD of our own: now is when it became known.
            delay = self._clock() - span.end_time_unix_nano
            if delay > _BACK_DATED_NANOS:
                stamped = {stamps.DETECTION_DELAY: delay / 1e9}
                span = span._replace(attributes={**span.attributes, **stamped})
        elif name == names.USER_TURN and session.pending:
            stamped, session.pending = session.pending, {}
            session.told_by_turn[span.span_id] = stamped
            forget_oldest(session.told_by_turn, MAX_TURNS)
        session.user_has_spoken = session.user_has_spoken or name == names.USER_SPEAKING
        session.user.append(span)
        return stamped


_KNOWN_BY: Mapping[str, Callable[[Call, Scope, Span], Mapping[str, AttributeValue]]] = {
    **dict.fromkeys(_KEPT, Call._step_ended),
    **dict.fromkeys(_KEPT_USER, Call._user_ended),
    names.AGENT_TURN: Call._turn_ended,
    names.SESSION_CLOSE: Call._close_ended,
    names.AGENT_SESSION: Call._session_ended,
    names.JOB_ENTRYPOINT: Call._job_ended,
}
"""The spans that a call learns from when they end; for all others it has nothing to do."""


def shown_parent(opened: OpenSpan) -> Attributes:
    """The stamp of a span whose parent is seen only where it went wrong."""
    return {stamps.SHOWN_PARENT: f"{opened.shown_parent:016x}"}


def _slim(span: Span, keys: tuple[str, ...]) -> Span:
    """A span with only the attributes that are read again."""
    found = span.attributes
    kept = {key: found[key] for key in keys if key in found}
    return span._replace(attributes=kept, events=(), links=())
