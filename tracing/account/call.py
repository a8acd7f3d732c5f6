"""What is known of one call while it runs: fed with every span, it says what to stamp on it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from tracing import names, stamps
from tracing.account.identity import TELLING, Identity
from tracing.account.latency import account
from tracing.account.neighbours import TOLD, Story
from tracing.account.summary import Summary, as_attributes
from tracing.account.turn import ByName, Turn, by_name, facts, in_order, kind, parsed
from tracing.account.usage import add_usage
from tracing.span import Attributes, AttributeValue, Span, as_number

_MAX_STEPS = 64
_MAX_TURNS = 64
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
    names.FUNCTION_TOOL: (names.TOOL_NAME, names.TOOL_IS_ERROR),
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


class Session:
    """One `agent_session`: a call has one, rarely more. Observers write what events tell."""

    def __init__(self, budget_seconds: float, watchers: Sequence[Watcher] = ()) -> None:
        self.summary = Summary(budget_seconds)
        self.user: deque[Span] = deque(maxlen=_MAX_TURNS)
        """The user's side since the last answer."""
        self.earlier: ByName = {}
        """The steps of the turn that left the user unanswered."""
        self.open_turns: dict[bytes, OpenTurn] = {}
        self.user_has_spoken = False
        self.pending: dict[str, AttributeValue] = {}
        """What events told of the user's turn that goes on, as attributes of its reply."""
        self.told: dict[bytes, Attributes] = {}
        """The same of user turns that are over and not answered."""
        self.errors: dict[str, int] = {}
        """Errors by stage that events told."""
        self.observed: dict[str, AttributeValue] = {}
        """What events told of the session, as attributes of `agent_session`."""
        self.kinds_by_speech: dict[str, str] = {}
        """What sort of turn a speech will be, where events told before it began."""
        self.close_reason: AttributeValue | None = None
        self.watchers = list(watchers)

    @property
    def session(self) -> Session:
        """Itself, as every scope has one."""
        return self


class OpenTurn:
    """One `agent_turn` that has not ended."""

    def __init__(self, session: Session, number: int, span: Span) -> None:
        self.session = session
        self.number = number
        self.span_id = span.span_id
        self.start_time_unix_nano = span.start_time_unix_nano
        self.steps: dict[str, list[Span]] = {}
        self.observed: dict[str, AttributeValue] = {}
        """What events told of this turn, as attributes of `agent_turn`."""


class Watcher(Protocol):
    """What wants to hear of a session's turns, and of its end; called on the voice loop."""

    def turn_ended(self, turn: Turn, stamped: Attributes) -> None:
        """A turn is over, and these are its stamps."""

    def session_ended(self, stamped: Attributes) -> None:
        """The session is over, and this is its summary."""


class Call:
    """The state of one trace; bounded, and cheap enough for the voice loop."""

    def __init__(
        self,
        *,
        session_id: str | Callable[[Attributes], str] | None = None,
        user_id: str | None = None,
        budget_seconds: float = 1.0,
        clock: Callable[[], int] | None = time.time_ns,
        watchers: Sequence[Watcher] = (),
        attributes_of: Callable[[bytes], Attributes] = lambda span_id: _NOTHING,
        rebuild_inputs: bool = False,
    ) -> None:
        self._watchers = watchers
        self._story = Story(attributes_of=attributes_of, rebuild_inputs=rebuild_inputs)
        self.opened = self._story.opened
        """Takes note of a span that starts and tells nothing of its call: no session, no turn."""
        self.identity = Identity(session_id, user_id)
        """The attributes that go on every span, as far as they are known."""
        self._budget_seconds = budget_seconds
        self._clock = clock
        self._turns = 0
        self._session = Session(budget_seconds, watchers)

    def set_identity(
        self,
        session_id: str | Callable[[Attributes], str] | None = None,
        user_id: str | None = None,
    ) -> None:
        """Take the application's own identity of the call, before LiveKit's."""
        self.identity.give(session_id, user_id)

    def session(self, span_id: bytes) -> Session:
        """Return the session that an open span is in, else the latest one."""
        scope = self._scope(span_id)
        return scope.session if scope is not None else self._session

    def turn(self, span_id: bytes) -> OpenTurn | None:
        """Return the turn that an open span is in."""
        scope = self._scope(span_id)
        return scope if isinstance(scope, OpenTurn) else None

    def _scope(self, span_id: bytes) -> Session | OpenTurn | None:
        opened = self._story.open.get(as_number(span_id))
        return opened.scope if opened is not None else None

    def started(self, span: Span) -> None:
        """Take note of a span that starts, and of what it tells of its call."""
        if span.name in TELLING or not self.identity.attributes:
            self.identity.learn(span)
        span_id, parent_id = as_number(span.span_id), as_number(span.parent_span_id)
        opened = self.opened(span_id, parent_id, span.name, span.attributes)
        if span.name == names.AGENT_SESSION:
            opened.scope = self._session = Session(self._budget_seconds, self._watchers)
        elif span.name == names.AGENT_TURN:
            self._turns += 1
            session = self.session(span.parent_span_id)
            opened.scope = session.open_turns[span.span_id] = OpenTurn(session, self._turns, span)
            _bound(session.open_turns, _MAX_TURNS)

    def ended(self, span: Span, span_id: int | None = None) -> Mapping[str, AttributeValue]:
        """Take note of a span that ends; return the attributes to stamp on it.

        `span_id` is its id as a number, for who has it at hand.
        """
        name, stamped = span.name, _NOTHING
        if name in TELLING or not self.identity.attributes:
            self.identity.learn(span)
        opened = self._story.open.pop(span_id or as_number(span.span_id), None)
        know = _KNOWN_BY.get(name)
        if know is not None:
            scope = opened.scope if opened is not None else None
            stamped = know(self, scope or self._session, span)
        if opened is None or not (name in TOLD or span.status_code or not span.parent_span_id):
            return stamped  # as for most
        told = self._story.ended(span, opened, stamped)
        return {**told, **stamped} if told else stamped

    def _step_ended(self, scope: Session | OpenTurn, span: Span) -> Mapping[str, AttributeValue]:
        if isinstance(scope, OpenTurn):
            kept = scope.steps.setdefault(span.name, [])
            if len(kept) < _MAX_STEPS:
                kept.append(_slim(span, _KEPT[span.name]))
        if span.name in _WITH_USAGE:
            add_usage(scope.session.summary, span)
        return _NOTHING

    def _turn_ended(self, scope: Session | OpenTurn, span: Span) -> Mapping[str, AttributeValue]:
        return _turn_ended(scope, span) if isinstance(scope, OpenTurn) else _NOTHING

    def _close_ended(self, scope: Session | OpenTurn, span: Span) -> Mapping[str, AttributeValue]:
        scope.session.close_reason = span.attributes.get(names.CLOSE_REASON)
        return _NOTHING

    def _session_ended(self, scope: Session | OpenTurn, span: Span) -> Mapping[str, AttributeValue]:
        return _session_ended(scope.session, span)

    def _user_ended(self, scope: Session | OpenTurn, span: Span) -> Mapping[str, AttributeValue]:
        session, stamped, name = scope.session, _NOTHING, span.name
        if name == names.USER_SPEAKING and self._clock is not None:
            # The end of speech is back-dated, by a VAD of our own: now is when it became known.
            delay = self._clock() - span.end_time_unix_nano
            if delay > _BACK_DATED_NANOS:
                stamped = {stamps.DETECTION_DELAY: delay / 1e9}
                span = span._replace(attributes={**span.attributes, **stamped})
        elif name == names.USER_TURN and session.pending:
            stamped, session.pending = session.pending, {}
            session.told[span.span_id] = stamped
            _bound(session.told, _MAX_TURNS)
        session.user.append(span)
        return stamped


_KNOWN_BY: Mapping[
    str, Callable[[Call, Session | OpenTurn, Span], Mapping[str, AttributeValue]]
] = {
    **dict.fromkeys(_KEPT, Call._step_ended),
    **dict.fromkeys(_KEPT_USER, Call._user_ended),
    names.AGENT_TURN: Call._turn_ended,
    names.SESSION_CLOSE: Call._close_ended,
    names.AGENT_SESSION: Call._session_ended,
}
"""The spans that a call learns from when they end; for all others it has nothing to do."""


def _turn_ended(open_turn: OpenTurn, span: Span) -> Mapping[str, AttributeValue]:
    session = open_turn.session
    session.open_turns.pop(span.span_id, None)
    if names.REALTIME_METRICS_JSON in span.attributes:
        open_turn.steps[names.REALTIME_INFERENCE] = [_inference_of(span)]
        add_usage(session.summary, span)
    observed = {**_recorded(span), **open_turn.observed}
    speech = session.kinds_by_speech.pop(str(span.attributes.get(names.SPEECH_ID)), None)
    if speech is not None:
        observed[stamps.TURN_KIND] = speech
    turn = Turn(span, in_order(open_turn.steps), by_name(session.user), session.earlier, observed)
    sort = kind(turn, user_has_spoken=session.user_has_spoken)
    if sort == "reply":
        observed.update(_told(session, turn))
    stamped = {
        **facts(turn),
        **observed,
        **account(turn, sort, session.summary.budget_seconds),
        stamps.TURN_NUMBER: open_turn.number,
        stamps.TURN_KIND: sort,
    }
    session.summary.add_turn(stamped)
    for watcher in session.watchers:
        watcher.turn_ended(turn, stamped)
    _settle(session, turn, sort)
    return stamped


def _inference_of(turn: Span) -> Span:
    """Return the inference of a realtime turn, which before 1.8 is told by the turn itself."""
    told = names.text(turn.attributes, names.REALTIME_METRICS_JSON)
    attributes: dict[str, AttributeValue] = {names.REALTIME_METRICS_JSON: told}
    ttft = parsed(told)["ttft"]
    if ttft >= 0:
        attributes[names.TIME_TO_FIRST_CHUNK] = ttft
    return turn._replace(name=names.REALTIME_INFERENCE, attributes=attributes, events=())


def _told(session: Session, turn: Turn) -> Attributes:
    """Return what events told of the user's turn that this one answers; once."""
    answered = turn.answered
    if answered is not None:
        return session.told.pop(answered.span_id, {})
    told, session.pending = session.pending, {}
    return told


def _settle(session: Session, turn: Turn, sort: str) -> None:
    """Forget the user's side once it is answered; keep the steps that left it unanswered."""
    if sort != "reply":
        return
    session.user_has_spoken = True
    heard = turn.first_sound
    if heard is None:
        session.earlier = {} if turn.span.attributes.get(names.INTERRUPTED) else turn.steps
        return
    session.earlier = {}
    kept = [span for span in session.user if span.start_time_unix_nano >= heard]
    session.user.clear()
    session.user.extend(kept)


def _session_ended(session: Session, span: Span) -> Mapping[str, AttributeValue]:
    numbers = session.summary.numbers()
    for stage, count in session.errors.items():
        errors = numbers.setdefault("errors", {})
        errors[stage] = max(count, errors.get(stage, 0))
    numbers["duration_seconds"] = span.duration_seconds
    if session.close_reason is not None:
        numbers["close_reason"] = session.close_reason
    stamped = {**as_attributes(numbers), **_recorded(span), **session.observed}
    for watcher in session.watchers:
        watcher.session_ended(stamped)
    return stamped


def _recorded(span: Span) -> dict[str, AttributeValue]:
    """Return the stamps that a recorded span already has: events gave some of them."""
    prefix = stamps.CALL if span.name == names.AGENT_SESSION else stamps.TURN
    return {
        key: value
        for key, value in span.attributes.items()
        if key.startswith(prefix) and not key.startswith(stamps.TURN_PART)
    }


def _bound(kept: dict[Any, Any], size: int) -> None:
    """Forget the oldest of what grew beyond its bound."""
    if len(kept) > size:
        del kept[next(iter(kept))]


def _slim(span: Span, keys: tuple[str, ...]) -> Span:
    """Return a span with only the attributes that are read again."""
    found = span.attributes
    # Not by `_replace`, which takes three times as long.
    return Span(
        span.trace_id,
        span.span_id,
        span.parent_span_id,
        span.name,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        {key: found[key] for key in keys if key in found},
        status_code=span.status_code,
        status_message=span.status_message,
    )
