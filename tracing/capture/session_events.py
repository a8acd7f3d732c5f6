"""What only a session's events know, written where its spans are stamped from.

Everything works without it, with less: playback latency, speech-to-text and voice activity
metrics, tokens per second, false interruptions, and what the models of a call used are told by
events alone.
"""

from __future__ import annotations

import functools
import re
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession, get_job_context
from opentelemetry import trace

from tracing import names, stamps
from tracing.account.call import Call
from tracing.account.session import OpenTurn, Session, Watcher
from tracing.account.told.event_metrics import PLACES, add_metrics, usage_of
from tracing.account.turns.turn import names_in
from tracing.capture.current import current_capture
from tracing.capture.redaction import without_words
from tracing.capture.session_options import options_of
from tracing.capture.told.telephone import Telephone
from tracing.limits import OncePerMinute
from tracing.safe_text import get_logger
from tracing.span import Attributes, AttributeValue
from tracing.store.reports import file_name

logger = get_logger(__name__)

_MESSAGE_METRICS = {
    "llm_node_ttft": stamps.TURN_TTFT,
    "llm_node_tps": stamps.TURN_TPS,
    "llm_node_ttfs": stamps.TURN_TTFS,
    "tts_node_ttfb": stamps.TURN_TTFB,
    "playback_latency": stamps.TURN_PLAYBACK_LATENCY,
}
"""Of the assistant's `ChatMessage.metrics`, what is on no span or only on a node's."""

_ADAPTER_EVENTS = (
    ("llm", "llm_availability_changed"),
    ("llm", "realtime_availability_changed"),
    ("stt", "stt_availability_changed"),
    ("tts", "tts_availability_changed"),
)
_WORD = re.compile(r"\w+")


class SessionObserver:
    """The handlers of one session; they never raise, and each takes microseconds."""

    def __init__(
        self,
        session: AgentSession[Any],
        session_id: str | None,
        user_id: str | None,
        budget_seconds: float | None,
        watchers: Sequence[Watcher],
        hear: Callable[[Attributes], Attributes] | None = None,
    ) -> None:
        self._session = weakref.ref(session)
        self._job = get_job_context(required=False)
        self._session_id = session_id
        self._user_id = user_id
        self._budget_seconds = budget_seconds
        self._watchers = watchers
        self._hear = hear
        self._call: Call | None = None
        self._adopted: Session | None = None
        self._seen: trace.Span | None = None
        self._attached: list[tuple[Any, str, Callable[[Any], None]]] = []
        self._words: list[str] = []
        self._user_started = 0.0
        self._user_texts: list[tuple[float, str]] = []
        """What a realtime model heard and no turn answers yet, by when the user began."""
        self._complaint = OncePerMinute()
        self._telephone: Telephone | None = None

    def listen(self, session: AgentSession[Any]) -> None:
        """Subscribe to the session's events."""
        handlers: dict[Any, Callable[[Any], None]] = {
            "agent_state_changed": self._on_agent_state,
            "user_state_changed": self._on_user_state,
            "user_input_transcribed": self._on_transcript,
            "user_transcription_timeout": self._on_transcription_timeout,
            "conversation_item_added": self._on_item,
            "agent_false_interruption": self._on_false_interruption,
            "overlapping_speech": self._on_overlap,
            "function_tools_executed": self._on_tools_executed,
            "tool_execution_updated": self._on_tool,
            "error": self._on_error,
            "close": self._on_close,
        }
        for event, handler in handlers.items():
            session.on(event, self._guarded(handler))
        # Deprecated for what today's events carry; these metrics come no other way. The
        # session's own `on` would warn the user of our use of it.
        on_metrics = self._guarded(self._on_metrics)
        rtc.EventEmitter.on(session, "metrics_collected", on_metrics)  # type: ignore[arg-type]
        if isinstance(room := getattr(self._job, "room", None), rtc.EventEmitter):
            self._telephone = Telephone(room, self._span, self._tell, self._guarded)
            self._telephone.listen()
        self._state()

    def _guarded(self, handler: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(handler)
        def guarded(*told: Any) -> None:
            try:
                handler(*told)
            except Exception as error:
                self._complain(error)

        return guarded

    def _complain(self, error: Exception) -> None:
        if not self._complaint.is_due():
            return
        capture, told = current_capture(), without_words(error)
        if capture is not None and self._call is not None:
            told = capture.processor.redaction.told(error, withhold=self._is_withheld())
        logger.error("an event of the session could not be recorded", exc_info=told)

    def _is_withheld(self) -> bool:
        """Whether the session's call withholds content, or the session or its job demands it."""
        capture, call = current_capture(), self._call
        return (call is not None and call.is_withheld) or (
            capture is not None
            and capture.processor.withholding.is_demanded_by(self._job, self._session())
        )

    def _span(self) -> trace.Span:
        """The session's span while it is open; no span at all otherwise."""
        session: Any = self._session()
        if not hasattr(session, "_session_span"):  # another LiveKit version
            return trace.get_current_span()
        return session._session_span or trace.INVALID_SPAN

    def _state(self) -> Session | None:
        """What is known of the session; on first sight tell it who watches."""
        span = self._span()
        if span is self._seen:
            return self._adopted
        capture, trace_id = current_capture(), span.get_span_context().trace_id
        call = capture.processor.call(trace_id) if capture is not None else None
        if call is None:
            return None
        state = call.session(_id(span))
        if state is not self._adopted:
            self._adopt(call, state)
        self._seen = span
        return state

    def _adopt(self, call: Call, state: Session) -> None:
        self._call, self._adopted, capture = call, state, current_capture()
        if capture is not None and not call.is_withheld and self._is_withheld():
            capture.processor.withhold(call)
        state.watchers.extend(self._watchers)
        state.hear = self._hear
        if self._budget_seconds is not None:
            state.summary.budget_seconds = self._budget_seconds
        if self._session_id is not None or self._user_id is not None:
            call.set_identity(self._session_id, self._user_id, state)
        self._attach_adapters()

    def _turn(self) -> OpenTurn | None:
        """The turn whose span is current, else the latest that is open."""
        state = self._state()
        if state is None:
            return None
        return self._current_turn() or next(reversed(state.open_turns.values()), None)

    def _current_turn(self) -> OpenTurn | None:
        """The turn whose span is current."""
        if self._state() is None or self._call is None:
            return None
        return self._call.turn(_id(trace.get_current_span()))

    def _on_agent_state(self, event: Any) -> None:
        self._state()
        if event.new_state == "speaking":
            self._give_user_text()

    def _on_user_state(self, event: Any) -> None:
        if event.new_state == "speaking":
            self._user_started = event.created_at

    def _on_transcript(self, event: Any) -> None:
        """Count the words that the speech-to-text takes back."""
        state, words = self._state(), _WORD.findall(event.transcript.lower())
        if state is None or not words:
            return
        if words[: len(self._words)] != self._words:
            _add(state.pending, stamps.TURN_CORRECTIONS)
        self._words = [] if event.is_final else words

    def _on_transcription_timeout(self, event: Any) -> None:
        state = self._state()
        if state is not None:
            _add(state.observed, stamps.CALL + "transcription_timeouts")

    def _on_item(self, event: Any) -> None:
        item = event.item
        if item.type == "agent_handoff":
            self._attach_adapters()
        elif item.type == "message" and item.role == "assistant":
            self._give_user_text()
            self._on_assistant_message(item)
        elif item.type == "message" and item.role == "user":
            self._on_user_message(item)

    def _on_assistant_message(self, message: Any) -> None:
        turn = self._turn()
        if turn is None:
            return
        for field, attribute in _MESSAGE_METRICS.items():
            value = message.metrics.get(field)
            if value is not None and attribute not in turn.observed:
                turn.observed[attribute] = value

    def _on_user_message(self, message: Any) -> None:
        turn, state = self._current_turn(), self._state()
        if state is not None:
            state.user_has_spoken = True
        if turn is not None:  # a pipeline's, whose text is on the turn
            turn.observed[stamps.TURN_KIND] = "reply"
            for field, attribute in _USER_METRICS.items():
                if (value := message.metrics.get(field)) is not None:
                    turn.observed[attribute] = value
        elif message.text_content:
            began = message.metrics.get("started_speaking_at") or self._user_started
            self._user_texts.append((began or message.created_at, message.text_content))
            self._give_user_text()

    def _give_user_text(self) -> None:
        """Put a realtime model's transcript of the user on the turn that answers it.

        The transcript may come before the turn or during it, but never before the user spoke.
        """
        turn, capture = self._turn(), current_capture()
        if not self._user_texts or turn is None or capture is None:
            return
        span = capture.processor.open_span(int.from_bytes(turn.span_id, "big"))
        if span is None or turn.start_time_unix_nano < self._user_started * 1e9:
            return
        if not any(name in (span.attributes or ()) for name in names.USER_INPUT):
            # On the span itself, so that whatever withholds content sees it.
            span.set_attribute(names.USER_INPUT[0], " ".join(text for _, text in self._user_texts))
        self._user_texts.clear()

    def _on_false_interruption(self, event: Any) -> None:
        turn, state = self._turn(), self._state()
        if turn is not None:
            _add(turn.observed, stamps.TURN_FALSE_INTERRUPTIONS)
        elif state is not None:
            _add(state.observed, stamps.CALL + "false_interruptions")

    def _on_overlap(self, event: Any) -> None:
        turn = self._turn()
        if turn is not None and not event.is_interruption:
            _add(turn.observed, stamps.TURN_BACKCHANNELS)

    def _on_tool(self, event: Any) -> None:
        update, state = event.update, self._state()
        if update.type == "tool_reply_updated" and update.status == "scheduled" and state:
            state.kinds_by_speech[update.speech_id] = "tool_follow_up"

    def _on_tools_executed(self, event: Any) -> None:
        """Note the calls that could not run: no such tool, or arguments that do not parse."""
        turn = self._current_turn()
        if turn is None:
            return
        ran = {
            span.attributes.get(names.TOOL_ID) for span in turn.steps.get(names.FUNCTION_TOOL, ())
        }
        calls = zip(event.function_calls, event.function_call_outputs, strict=False)
        refused = [
            call.name
            for call, output in calls
            if call.call_id not in ran and (output is None or output.is_error)
        ]
        if refused and (capture := current_capture()) is not None:
            refused = capture.processor.redaction.document(refused)  # a model made them up
            known = names_in(turn.observed.get(stamps.TURN_REFUSED_TOOLS))
            turn.observed[stamps.TURN_REFUSED_TOOLS] = [*known, *refused]

    def _on_error(self, event: Any) -> None:
        """Count the errors of stages that leave none on a span; apart those that LiveKit mends."""
        state = self._state()
        stage = str(getattr(event.error, "type", "")).removesuffix("_error")
        if state is None or stage in ("", "llm", "tts"):
            return
        stage = "realtime" if stage.startswith("realtime") else stage
        if getattr(event.error, "recoverable", False):
            _add(state.observed, stamps.CALL_RECOVERABLE_ERRORS + stage)
            _add(state.pending, stamps.TURN_RECOVERABLE_ERRORS + stage)
            return
        state.errors[stage] = state.errors.get(stage, 0) + 1
        _add(state.pending, stamps.TURN_ERRORS + stage)

    def _on_metrics(self, event: Any) -> None:
        metrics = event.metrics
        place = PLACES.get(metrics.type)
        state = self._state() if place is not None else None
        if state is None or place is None:
            return
        if place.prefix.startswith(stamps.CALL):
            add_metrics(metrics, state.observed)
        elif place.prefix == stamps.TURN_INTERRUPTION and (turn := self._turn()) is not None:
            add_metrics(metrics, turn.observed)
        else:
            add_metrics(metrics, state.pending)

    def _on_availability(self, kind: str, event: Any) -> None:
        state = self._state()
        if state is None:
            return
        self._span().add_event(
            "availability_changed", {"component": kind, "available": bool(event.available)}
        )
        if not event.available:
            _add(state.observed, f"{stamps.CALL}unavailable.{kind}")
            if kind == "stt":  # the others' fallbacks are on their spans
                _add(state.pending, stamps.TURN_FALLBACKS)

    def _attach_adapters(self) -> None:
        """Listen to the fallback adapters of the session and of its current agent."""
        session = self._session()
        known = [component for component, _, _ in self._attached]
        for owner in (session, getattr(session, "_agent", None)):
            for kind, event in _ADAPTER_EVENTS:
                component = getattr(owner, kind, None)
                if isinstance(component, rtc.EventEmitter) and component not in known:
                    handler = self._guarded(functools.partial(self._on_availability, kind))
                    component.on(event, handler)
                    self._attached.append((component, event, handler))

    def _detach_adapters(self) -> None:
        """Leave the adapters alone, which may serve other sessions."""
        for component, event, handler in self._attached:
            component.off(event, handler)
        self._attached.clear()

    def _tell(self, key: str, value: AttributeValue) -> None:
        if (state := self._state()) is not None:
            state.observed[key] = value

    def _on_close(self, event: Any) -> None:
        self._detach_adapters()
        if self._telephone is not None:
            self._telephone.leave()
        self._leave_unanswered()
        state, session = self._state(), self._session()
        if state is None or session is None:
            return
        state.close_reason = event.reason.value
        used = [usage_of(usage) for usage in session.usage.model_usage]
        if used:
            state.summary.replace_usage(used)
        state.observed.update(options_of(session))
        state.observed.update(self._write_report(session))

    def _leave_unanswered(self) -> None:
        """Put what the user said and no turn answered on the session's span, as events of it."""
        for began, text in self._user_texts:
            said = {names.USER_TRANSCRIPT[0]: text}
            self._span().add_event(stamps.EVENT_UNANSWERED, said, round(began * 1e9))
        self._user_texts.clear()

    def _write_report(self, session: AgentSession[Any]) -> Attributes:
        """Write LiveKit's report where there is a local store, and say on the span which it is."""
        capture, span, job = current_capture(), self._span(), self._job
        if job is None or capture is None or capture.reports is None or not span.is_recording():
            return {}
        context = span.get_span_context()
        trace_id = capture.processor.roots.recorded_trace_id(context.trace_id)
        name = file_name(trace_id, context.span_id.to_bytes(8, "big"))
        report = job.make_session_report(session)
        capture.reports.write(name, report, withhold=self._is_withheld())
        return {stamps.CALL_REPORT: name}


_USER_METRICS = {
    "started_speaking_at": stamps.TURN_USER_STARTED,
    "stopped_speaking_at": stamps.TURN_USER_STOPPED,
}
"""Of the user's `ChatMessage.metrics`, what is on the user's spans only."""


def _id(span: trace.Span) -> bytes:
    return span.get_span_context().span_id.to_bytes(8, "big")


def _add(counts: dict[str, AttributeValue], key: str) -> None:
    counts[key] = int(str(counts.get(key, 0))) + 1
