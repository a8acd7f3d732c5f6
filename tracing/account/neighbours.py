"""What a span can only know from others of its call: the conversation, attempts, errors below.

`tracing.stamps` says what each stamp means. Fed with every span that starts and ends;
bounded, and a microsecond for an ordinary span.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tracing import names, stamps
from tracing.account.foreign.model_calls import ModelCalls
from tracing.account.open_span import OpenSpan
from tracing.account.rewrites import RebuiltInputs
from tracing.account.said import (
    Asked,
    Said,
    asked_by,
    only_asked,
    said_by_agent,
    said_by_user,
    said_in_vain,
    unheard,
    when_spoken,
)
from tracing.account.session import Aside
from tracing.account.told.prompts import link_to
from tracing.limits import forget_oldest
from tracing.span import STATUS_ERROR, Attributes, AttributeValue, Span, as_number

_MAX_OPEN = 4096
_MAX_MESSAGES = 1000
_MAX_INFERENCES = 32
_MAX_FALLBACKS = 256
_MAX_INNER = 1024
_MAX_RUNNING = 64
_NOTHING: Attributes = {}
_STT_ERRORS = stamps.TURN_ERRORS + "stt"


class Neighbours:
    """The open spans of one call, and what those that ended said; asked as spans start and end.

    `open_span` gives an open span by its id, redacted as on disk;
    `rebuild_inputs` makes LiveKit's input deltas whole again.
    """

    def __init__(
        self, *, open_span: Callable[[bytes], Span | None], rebuild_inputs: bool = False
    ) -> None:
        self._open_span = open_span
        self._inputs = RebuiltInputs() if rebuild_inputs else None
        self.open: dict[int, OpenSpan] = {}
        """The call's open spans by id, as a number: nothing is converted for it; bounded."""
        self._model_calls = ModelCalls(open_span, self.open)
        self._user_turns = 0
        self._open_user_turns = 0
        self._messages: list[tuple[int, str, str]] = []
        self._asked: list[Asked] = []
        """What each `agent_turn` was asked: typed, unless it was heard."""
        self._in_vain: list[Said] = []
        """What events tell that no turn answered."""
        self._inner: dict[int, int] = {}
        """What is shown above each of `names.INNER`, by its id: it may end before those below."""
        self._fallbacks: dict[int, None] = {}
        """Fallback adapters and their runs, which may end before the requests below them begin."""
        self._inferences: dict[bytes, dict[str, AttributeValue]] = {}
        self._close: tuple[int, OpenSpan] | None = None
        """The latest `session_close`, by its id; it began, and may have ended."""

    def opened(
        self, span_id: int, parent_span_id: int, name: str, attributes: Attributes
    ) -> OpenSpan:
        """Take note of a span that starts; of its attributes no content is read."""
        opened = self.open[span_id] = OpenSpan()
        parent = self.open.get(parent_span_id)
        if parent is not None:
            opened.parent, opened.scope, opened.request = parent, parent.scope, parent.request
        forget_oldest(self.open, _MAX_OPEN)
        above = self._inner.get(parent_span_id, 0)
        if above:
            opened.shown_parent = above
        if name in names.INNER and parent_span_id:
            self._inner[span_id] = above or parent_span_id
            forget_oldest(self._inner, _MAX_INNER)
        begin = _ON_START.get(name)
        if begin is not None:
            begin(self, opened, name, span_id, parent_span_id, attributes)
        return opened

    def ended(self, span: Span, opened: OpenSpan, stamped: Attributes) -> Attributes:
        """What others tell of a span that ends, which is no longer among the open ones.

        That is nothing but for `CONCERNED`, a root, or a span that failed. `stamped` is what its
        call knows.
        """
        found: dict[str, AttributeValue] = {}
        if span.status_code == STATUS_ERROR:
            _fail_above(opened)
            if opened.failed_below:
                found[stamps.ERROR_IS_BELOW] = True
        tell = _ON_END.get(span.name)
        if tell is not None:
            found.update(tell(self, span, opened, stamped))
        if not span.parent_span_id and self.utterances:
            found[stamps.CONVERSATION] = self.conversation()
        return found

    def foreign_ended(self, span: Span, opened: OpenSpan) -> Attributes:
        """What is told of a span of another instrumentation that ends."""
        return self._model_calls.ended(span, opened)

    def _attributes_of(self, span_id: bytes) -> Attributes:
        span = self._open_span(span_id)
        return span.attributes if span is not None else _NOTHING

    def _begin_aside(self, opened: OpenSpan, name: str, *place: object) -> None:
        session = opened.scope.session if opened.scope is not None else None
        opened.scope = Aside(session, name)

    def _begin_user_turn(self, opened: OpenSpan, name: str, span_id: int, *more: object) -> None:
        self._user_turns += 1
        self._open_user_turns += 1
        opened.number = self._user_turns
        self._begin_running(opened, name, span_id)

    def _begin_running(self, opened: OpenSpan, name: str, span_id: int, *more: object) -> None:
        """Tell the session or turn of what it is told of again while it runs."""
        if opened.scope is not None:
            opened.scope.running[span_id] = name
            forget_oldest(opened.scope.running, _MAX_RUNNING)

    def _begin_hook(self, opened: OpenSpan, *place: Any) -> None:
        self._begin_running(opened, *place)
        if opened.scope is not None:
            opened.scope.session.user_has_spoken = True

    def _begin_close(self, opened: OpenSpan, name: str, span_id: int, *more: object) -> None:
        self._close = span_id, opened

    def _begin_adapter(self, opened: OpenSpan, name: str, span_id: int, *more: object) -> None:
        self._fallbacks[span_id] = None
        forget_oldest(self._fallbacks, _MAX_FALLBACKS)

    def _begin_run(
        self, opened: OpenSpan, name: str, span_id: int, parent_id: int, *more: object
    ) -> None:
        if parent_id in self._fallbacks:
            self._begin_adapter(opened, name, span_id)

    def _begin_agent(
        self, opened: OpenSpan, name: str, span_id: int, parent_id: int, attributes: Attributes
    ) -> None:
        session = opened.scope.session if opened.scope is not None else None
        if session is not None:
            prompts, label = session.prompts, names.text(attributes, names.AGENT_LABEL)
            is_new = name == names.START_AGENT_ACTIVITY
            (prompts.agent_starts if is_new else prompts.agent_resumes)(label)

    def _begin_model_call(self, opened: OpenSpan, *place: object) -> None:
        """Note the prompt of the agent; a judge, or whoever else asks beside it, has none."""
        scope = opened.scope
        if scope is not None and not isinstance(scope, Aside):
            opened.prompt = scope.session.prompts.current

    def _begin_request(
        self, opened: OpenSpan, name: str, span_id: int, parent_id: int, attributes: Attributes
    ) -> None:
        opened.is_probe = names.is_true(attributes, names.FALLBACK_RECOVERY)
        if name == names.LLM_REQUEST:
            self._begin_model_call(opened)
            if opened.is_probe:  # which few need to see
                self._inner[span_id] = opened.shown_parent or parent_id
            opened.request, opened.span_id = opened, span_id
            opened.is_preemptive = self._open_user_turns > 0

    def _user_turn(self, span: Span, opened: OpenSpan, stamped: Attributes) -> Attributes:
        self._open_user_turns -= 1
        text = said_by_user(stamped, span.attributes)
        if text:
            self._say(span.start_time_unix_nano, "user", text)
        elif self._stt_failed(span, opened, stamped):
            return {stamps.TURN_NUMBER: opened.number, stamps.TURN_ERROR: names.STT_ERROR}
        return {stamps.TURN_NUMBER: opened.number}

    def _stt_failed(self, span: Span, opened: OpenSpan, stamped: Attributes) -> bool:
        """Whether a user's turn without a text, as far as is known at its end, had no STT."""
        if names.END_OF_TURN_DELAY in span.attributes:  # transcribed, and withheld
            return False
        told = _STT_ERRORS in stamped or _STT_ERRORS in span.attributes
        return told or self._closes_for(opened) == names.STT_ERROR

    def _closes_for(self, opened: OpenSpan) -> str:
        """The type of the error for which the session of a span closes, or closed."""
        span_id, close = self._close or (0, None)
        if close is None or close.scope is not opened.scope:
            return ""
        if close.error_type is not None:
            return close.error_type
        return names.text(self._attributes_of(span_id.to_bytes(8, "big")), names.EXCEPTION_TYPE)

    def _session(self, span: Span, opened: OpenSpan, stamped: Attributes) -> Attributes:
        self._in_vain += said_in_vain(span)
        return _NOTHING

    def _speaking(self, span: Span, opened: OpenSpan, stamped: Attributes) -> Attributes:
        if opened.parent is not None and len(opened.parent.speaking) < _MAX_MESSAGES:
            opened.parent.speaking = (*opened.parent.speaking, span.start_time_unix_nano)
        return _NOTHING

    def _session_close(self, span: Span, opened: OpenSpan, stamped: Attributes) -> Attributes:
        opened.error_type = names.text(span.attributes, names.EXCEPTION_TYPE)
        return _NOTHING

    def _agent_turn(self, span: Span, opened: OpenSpan, stamped: Attributes) -> Attributes:
        if stamped.get(stamps.TURN_KIND) == "discarded":
            return _NOTHING
        asked = said_by_user(stamped, span.attributes)
        if asked and len(self._asked) < _MAX_MESSAGES:
            self._asked.append(asked_by(span._replace(attributes={**span.attributes, **stamped})))
        start, speaking = span.start_time_unix_nano, opened.speaking
        said = said_by_agent(span.attributes, start, opened.steps, span.events, speaking)
        for at, text in when_spoken(said, speaking):
            self._say(at, "assistant", text)
        return {stamps.TURN_AGENT_TEXT: _joined(said)} if said else _NOTHING

    def _llm_node(self, span: Span, opened: OpenSpan, stamped: Attributes) -> Attributes:
        if opened.parent is not None and len(opened.parent.steps) < _MAX_MESSAGES:
            text = str(names.first(span.attributes, names.RESPONSE_TEXT) or "")
            opened.parent.steps = (*opened.parent.steps, (span.start_time_unix_nano, text))
        return _NOTHING

    def _request(self, span: Span, opened: OpenSpan, stamped: Attributes) -> Attributes:
        found: dict[str, AttributeValue] = {**link_to(opened.prompt)}
        if span.name == names.LLM_REQUEST:
            found.update(self._model_calls.request_ended(span, opened))
        if self._fallbacks and as_number(span.parent_span_id) in self._fallbacks:
            found[stamps.IS_FALLBACK] = True
        if opened.is_preemptive:
            found[stamps.IS_PREEMPTIVE] = True
        if self._inputs is not None and span.name == names.LLM_REQUEST:
            found.update(self._inputs.ended(span))
        return found

    def _run(self, span: Span, opened: OpenSpan, stamped: Attributes) -> Attributes:
        is_probe = opened.parent is not None and opened.parent.is_probe
        return {stamps.IS_PROBE: True} if is_probe else _NOTHING

    def _inference(self, span: Span, opened: OpenSpan, stamped: Attributes) -> Attributes:
        turn = self._attributes_of(span.parent_span_id)
        steps = opened.parent.steps if opened.parent is not None else ()
        texts = {
            stamps.TURN_USER_TEXT: said_by_user(turn),
            stamps.TURN_AGENT_TEXT: _joined(said_by_agent(turn, 0, steps)),
        }
        told = {key: text for key, text in texts.items() if text}
        found: dict[str, AttributeValue] = {**link_to(opened.prompt), **told}
        self._inferences[span.span_id] = {
            **found,
            stamps.INFERENCE_PARENT: span.parent_span_id.hex(),
            stamps.INFERENCE_START: span.start_time_unix_nano,
            stamps.INFERENCE_END: span.end_time_unix_nano,
        }
        forget_oldest(self._inferences, _MAX_INFERENCES)
        return found

    def _late_metrics(self, span: Span, opened: OpenSpan, stamped: Attributes) -> Attributes:
        return self._inferences.get(span.parent_span_id, _NOTHING)

    def _say(self, time_unix_nano: int, role: str, text: str) -> None:
        if len(self._messages) < _MAX_MESSAGES:
            self._messages.append((time_unix_nano, role, text))

    @property
    def utterances(self) -> int:
        """How much was said so far: a number that grows with it."""
        return len(self._messages) + len(self._asked) + len(self._in_vain)

    @property
    def user_was_heard(self) -> bool:
        """Whether the user has said or typed something."""
        said = any(role == "user" for _, role, _ in self._messages.copy())
        return said or any(one.text for one in self._asked.copy())

    def conversation(self) -> str:
        """All that was said, in order; what a user turn shows was not typed as well."""
        heard = [(at, text) for at, role, text in self._messages if role == "user"]
        told = [*only_asked(self._asked, heard), *unheard(self._in_vain, heard)]
        messages = [*((at, "user", text) for at, text in told), *self._messages]
        messages.sort(key=lambda message: message[0])
        return json.dumps(
            [{"role": role, "content": text} for _, role, text in messages], ensure_ascii=False
        )


_AtStart = Callable[[Neighbours, OpenSpan, str, int, int, Attributes], None]

_ON_START: dict[str, _AtStart] = {
    **dict.fromkeys(names.ASIDES, Neighbours._begin_aside),
    names.USER_TURN: Neighbours._begin_user_turn,
    names.ON_USER_TURN_COMPLETED: Neighbours._begin_hook,
    names.FUNCTION_TOOL: Neighbours._begin_running,
    names.SESSION_CLOSE: Neighbours._begin_close,
    names.LLM_FALLBACK_ADAPTER: Neighbours._begin_adapter,
    names.TTS_FALLBACK_ADAPTER: Neighbours._begin_adapter,
    names.LLM_REQUEST_RUN: Neighbours._begin_run,
    names.TTS_REQUEST_RUN: Neighbours._begin_run,
    names.LLM_REQUEST: Neighbours._begin_request,
    names.REALTIME_INFERENCE: Neighbours._begin_model_call,
    names.START_AGENT_ACTIVITY: Neighbours._begin_agent,
    names.RESUME_AGENT_ACTIVITY: Neighbours._begin_agent,
    names.TTS_REQUEST: Neighbours._begin_request,
}

_AtEnd = Callable[[Neighbours, Span, OpenSpan, Attributes], Mapping[str, AttributeValue]]

_ON_END: dict[str, _AtEnd] = {
    names.USER_TURN: Neighbours._user_turn,
    names.SESSION_CLOSE: Neighbours._session_close,
    names.AGENT_SESSION: Neighbours._session,
    names.AGENT_TURN: Neighbours._agent_turn,
    names.AGENT_SPEAKING: Neighbours._speaking,
    names.LLM_NODE: Neighbours._llm_node,
    names.LLM_REQUEST: Neighbours._request,
    names.TTS_REQUEST: Neighbours._request,
    names.LLM_REQUEST_RUN: Neighbours._run,
    names.REALTIME_INFERENCE: Neighbours._inference,
    names.REALTIME_METRICS: Neighbours._late_metrics,
}

CONCERNED = frozenset(_ON_END)
"""The spans of which others tell something however they end."""


def _fail_above(failed: OpenSpan) -> None:
    above = failed.parent
    while above is not None and not above.failed_below:
        above.failed_below = True
        above = above.parent


def _joined(said: Sequence[Said]) -> str:
    return "\n".join(text for _, text in said)
