"""A session and its open turns: what they gather, and what their ends are stamped with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from tracing import names, stamps
from tracing.account.identity import User
from tracing.account.measured import measured
from tracing.account.summary import Summary, as_attributes
from tracing.account.told.prompts import Prompts
from tracing.account.turns.facts import facts_of, kind_of
from tracing.account.turns.latency import account
from tracing.account.turns.turn import (
    LLM_NODES,
    ByName,
    Turn,
    by_name,
    in_order,
    kept,
    merged,
    named,
)
from tracing.account.usage import add_usage
from tracing.span import Attributes, AttributeValue, Event, Span

MAX_TURNS = 64
_FOREVER = 2**63 - 1


class Session:
    """One `agent_session`: a call has one, rarely more. Observers write what events tell."""

    def __init__(
        self,
        budget_seconds: float,
        watchers: Sequence[Watcher] = (),
        open_span: Callable[[bytes], Span | None] = lambda span_id: None,
    ) -> None:
        self.summary = Summary(budget_seconds)
        self.open_span = open_span
        """An open span by its id, as far as it has come."""
        self.prompts = Prompts()
        """What the application named of what its models are asked with."""
        self.user: deque[Span] = deque(maxlen=MAX_TURNS)
        """The user's side since the last answer."""
        self.earlier: ByName = {}
        """The steps of the turns that left the user unanswered."""
        self.running: dict[int, str] = {}
        """The user's turns and hooks that are open, by id: their names, in order."""
        self.open_turns: dict[bytes, OpenTurn] = {}
        self.user_has_spoken = False
        """Aloud; as soon as the end of the speech is known."""
        self.pending: dict[str, AttributeValue] = {}
        """What events told of the user's turn that goes on, as attributes of its reply."""
        self.told_by_turn: dict[bytes, Attributes] = {}
        """The same of user turns that are over and not answered."""
        self.errors: dict[str, int] = {}
        """Errors by stage that events told."""
        self.observed: dict[str, AttributeValue] = {}
        """What events told of the session, as attributes of `agent_session`."""
        self.kinds_by_speech: dict[str, str] = {}
        """What sort of turn a speech will be, where events told before it began."""
        self.close_reason: AttributeValue | None = None
        self.caller: User | None = None
        """Who is at the other end now."""
        self.is_over = False
        """Whether its span has ended, and with it what can be stamped there."""
        self.watchers = list(watchers)
        self.hear: Callable[[Attributes], Attributes] | None = None
        """What was heard of a turn, by its stamps, where the session's sound is listened to."""

    @property
    def session(self) -> Session:
        """Itself, as every scope has one."""
        return self


class OpenTurn:
    """One `agent_turn` that has not ended."""

    def __init__(self, session: Session, number: int, span: Span) -> None:
        self.session = session
        self.caller = session.caller
        """Who was at the other end when it began."""
        self.number = number
        self.span_id = span.span_id
        self.start_time_unix_nano = span.start_time_unix_nano
        self.steps: dict[str, list[Span]] = {}
        self.running: dict[int, str] = {}
        """Its tools that are open, by id."""
        self.above = [turn for turn in session.open_turns.values() if turn.running]
        """The turns whose tools were running when it began, and may have asked for it."""
        self.is_nested = bool(self.above) or _is_in_hook(session)
        self.user_has_spoken = session.user_has_spoken or _has_typed(session)
        self.observed: dict[str, AttributeValue] = {}
        """What events told of this turn, as attributes of `agent_turn`."""


def _is_in_hook(session: Session) -> bool:
    """Whether the user's last turn is at its hook, which may ask for turns of its own."""
    return next(reversed(session.running.values()), "") == names.ON_USER_TURN_COMPLETED


def _has_typed(session: Session) -> bool:
    """Whether a turn that is open has input, which the user typed where nothing was heard."""
    asked = (session.open_span(span_id) for span_id in session.open_turns)
    return any(names.first(turn.attributes, names.USER_INPUT) for turn in asked if turn)


class Aside:
    """Calls of models that are no step of a turn: what a span of `names.ASIDES` has below it."""

    caller: User | None = None

    def __init__(self, session: Session | None, purpose: str) -> None:
        self.session = session
        """The one that it is in; None in none."""
        self.purpose = purpose
        self.running: dict[int, str] = {}


class Watcher(Protocol):
    """What wants to hear of a session's turns, and of its end; called on the voice loop."""

    def turn_ended(self, turn: Turn, stamped: Attributes) -> None:
        """A turn is over, and these are its stamps."""

    def session_ended(self, stamped: Attributes) -> None:
        """The session is over, and this is its summary."""


def end_turn(open_turn: OpenTurn, span: Span) -> Mapping[str, AttributeValue]:
    """The stamps of an `agent_turn` that ends; its session learns of it, and who watches."""
    session = open_turn.session
    session.open_turns.pop(span.span_id, None)
    if names.REALTIME_METRICS_JSON in span.attributes:
        open_turn.steps[names.REALTIME_INFERENCE] = [_inference_of(span)]
        add_usage(session.summary, span)
    observed = {**_recorded(span), **open_turn.observed}
    speech = session.kinds_by_speech.pop(str(span.attributes.get(names.SPEECH_ID)), None)
    if speech is not None:
        observed[stamps.TURN_KIND] = speech
    user = by_name((*session.user, *_still_running(session, span.end_time_unix_nano)))
    turn = Turn(span, in_order(open_turn.steps), user, session.earlier, observed)
    if open_turn.above and turn.last_word is not None:
        turn.earlier = merged(session.earlier, _steps_above(open_turn, turn.last_word))
    open_turn.above = []  # so that no turn keeps all before it
    sort = kind_of(turn, user_has_spoken=open_turn.user_has_spoken, is_nested=open_turn.is_nested)
    if sort == "reply":
        observed.update(_told_of(session, turn))
        observed.update(_counted_already(turn, observed))
    stamped = {
        **facts_of(turn, sort),
        **observed,
        **account(turn, sort, session.summary.budget_seconds),
        stamps.TURN_NUMBER: open_turn.number,
        stamps.TURN_KIND: sort,
    }
    if session.hear is not None:
        stamped.update(session.hear(stamped))
    session.summary.add_turn(stamped)
    for watcher in session.watchers:
        watcher.turn_ended(turn, stamped)
    _settle(session, turn, sort)
    return stamped


def _inference_of(turn: Span) -> Span:
    """The inference of a realtime turn, which before 1.8 is told by the turn itself."""
    told = names.text(turn.attributes, names.REALTIME_METRICS_JSON)
    attributes: dict[str, AttributeValue] = {names.REALTIME_METRICS_JSON: told}
    ttft = measured(told).number("ttft")
    if ttft is not None:
        attributes[names.TIME_TO_FIRST_CHUNK] = ttft
    return turn._replace(name=names.REALTIME_INFERENCE, attributes=attributes, events=())


def _told_of(session: Session, turn: Turn) -> Attributes:
    """What events told of the user's turn that this one answers; once."""
    answered = turn.answered
    if answered is not None:
        return session.told_by_turn.pop(answered.span_id, {})
    told, session.pending = session.pending, {}
    return told


def _counted_already(turn: Turn, told: Attributes) -> Attributes:
    """Where the user's own turn has what its transcription used, as it does once it is over."""
    is_told = any(key.startswith(stamps.TURN_STT) for key in told)
    return {stamps.STT_IS_COUNTED: True} if is_told and turn.answered is not None else {}


def _still_running(session: Session, now: int) -> Iterator[Span]:
    """The user's turns and hooks that are open, as if they ended now."""
    for span_id in session.running:
        span = session.open_span(span_id.to_bytes(8, "big"))
        if span is not None:
            yield span._replace(end_time_unix_nano=now)


def _steps_above(open_turn: OpenTurn, word: int) -> ByName:
    """What the turns above did since the user's last word, until this one began."""
    until, found = open_turn.start_time_unix_nano, []
    still_open = open_turn.session.open_turns
    for above in (turn for turn in open_turn.above if turn.span_id in still_open):
        outer = open_turn.session.open_span(above.span_id)
        steps = [*_leading(above.steps, outer.events if outer else ())]
        steps += _tools_running(above)
        found += [span for span in steps if _runs_in(span, word, until)]
    return by_name(
        span._replace(end_time_unix_nano=min(span.end_time_unix_nano, until))
        for span in found
        if span.name != names.FUNCTION_TOOL or span.start_time_unix_nano >= word
    )


def _runs_in(span: Span, start: int, end: int) -> bool:
    return span.end_time_unix_nano > start and span.start_time_unix_nano <= end


def _tools_running(open_turn: OpenTurn) -> Iterator[Span]:
    for span_id in open_turn.running:
        span = open_turn.session.open_span(span_id.to_bytes(8, "big"))
        if span is not None:
            yield span._replace(end_time_unix_nano=_FOREVER)


def _leading(steps: ByName, events: Iterable[Event]) -> Iterator[Span]:
    """Of a turn's steps those that lead to another's: the LLM's, and the tools."""
    yield from kept(named(steps, *LLM_NODES), events)
    yield from named(steps, names.FUNCTION_TOOL)


def _settle(session: Session, turn: Turn, sort: str) -> None:
    """Forget the user's side once it is answered; keep the steps that left it unanswered."""
    if sort not in ("reply", "tool_follow_up"):
        return
    heard = turn.first_sound
    if heard is None:
        leading = by_name(_leading(turn.steps, turn.span.events))
        session.earlier = (
            {}
            if names.is_true(turn.span.attributes, names.INTERRUPTED)
            else {n: s[-MAX_TURNS:] for n, s in merged(session.earlier, leading).items()}
        )
    if heard is None or sort != "reply":
        return
    session.user_has_spoken = True
    session.earlier = {}
    later = [span for span in session.user if span.start_time_unix_nano >= heard]
    session.user.clear()
    session.user.extend(later)


def end_session(session: Session, span: Span) -> Mapping[str, AttributeValue]:
    """The stamps of an `agent_session` that ends: its summary; who watches hears of it."""
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
    """The stamps that a recorded span already has: events gave some of them."""
    prefix = stamps.CALL if span.name == names.AGENT_SESSION else stamps.TURN
    return {
        key: value
        for key, value in span.attributes.items()
        if key.startswith(prefix) and not key.startswith(stamps.TURN_PART)
    }
