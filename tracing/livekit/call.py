"""What is known of one call while it runs: fed with every span, it says what to stamp on it."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from tracing.livekit import names
from tracing.livekit.identity import Identity
from tracing.livekit.latency import account
from tracing.livekit.summary import Summary, as_attributes
from tracing.livekit.turns import Turn, facts, kind
from tracing.span import Attributes, AttributeValue, Span

_MAX_OPEN = 4096
_MAX_STEPS = 512
_MAX_USER_SPANS = 64
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

_KEPT_USER: dict[str, tuple[str, ...]] = {
    names.USER_TURN: (
        names.TRANSCRIPTION_DELAY,
        names.END_OF_TURN_DELAY,
        names.TRANSCRIPT_CONFIDENCE,
        names.EOU_RESUME_COUNT,
    ),
    names.USER_SPEAKING: (names.DETECTION_DELAY,),
    names.ON_USER_TURN_COMPLETED: (),
    names.UPDATE_AGENT: (),
}
"""The same for the user's side and for handoffs, which are no part of an agent's turn."""


class _Session:
    """One `agent_session`: a call has one, rarely more."""

    def __init__(self, span_id: bytes, budget_seconds: float) -> None:
        self.span_id = span_id
        self.summary = Summary(budget_seconds)
        self.user: deque[Span] = deque(maxlen=_MAX_USER_SPANS)
        self.earlier: deque[Span] = deque(maxlen=_MAX_USER_SPANS)
        self.user_has_spoken = False
        self.observed: dict[str, Any] = {}
        self.close_reason: AttributeValue | None = None

    @property
    def session(self) -> _Session:
        return self


class _OpenTurn:
    """One `agent_turn` that has not ended."""

    def __init__(self, session: _Session, number: int) -> None:
        self.session = session
        self.number = number
        self.steps: list[Span] = []
        self.observed: dict[str, AttributeValue] = {}


class Call:
    """The state of one trace; bounded, and cheap enough for the voice loop."""

    def __init__(
        self,
        *,
        session_id: str | Callable[[Attributes], str] | None = None,
        user_id: str | None = None,
        budget_seconds: float = 1.0,
        clock: Callable[[], int] | None = time.time_ns,
    ) -> None:
        self._identity = Identity(session_id, user_id)
        self._budget_seconds = budget_seconds
        self._clock = clock
        self._turns = 0
        self._scopes: dict[bytes, _Session | _OpenTurn] = {}
        self._session: _Session | None = None
        self._loose = _Session(b"", budget_seconds)

    def identity(self) -> Attributes:
        """Return the attributes that go on every span, as far as they are known."""
        return self._identity.attributes

    def set_identity(
        self,
        session_id: str | Callable[[Attributes], str] | None = None,
        user_id: str | None = None,
    ) -> None:
        """Take the application's own identity of the call, before LiveKit's."""
        self._identity.give(session_id, user_id)

    def started(self, span: Span) -> None:
        """Take note of a span that starts."""
        self._identity.learn(span)
        scope = self._scopes.get(span.parent_span_id)
        if span.name == names.AGENT_SESSION:
            scope = self._session = _Session(span.span_id, self._budget_seconds)
        elif span.name == names.AGENT_TURN:
            self._turns += 1
            session = scope.session if scope else self._session or self._loose
            scope = _OpenTurn(session, self._turns)
        if scope is not None:
            self._scopes[span.span_id] = scope
            if len(self._scopes) > _MAX_OPEN:
                self._scopes.pop(next(iter(self._scopes)))

    def ended(self, span: Span) -> Mapping[str, AttributeValue]:
        """Take note of a span that ends; return the attributes to stamp on it."""
        self._identity.learn(span)
        scope = self._scopes.pop(span.span_id, None) or self._session or self._loose
        name = span.name
        if name in _KEPT:
            if isinstance(scope, _OpenTurn) and len(scope.steps) < _MAX_STEPS:
                scope.steps.append(_slim(span, _KEPT[name]))
            _add_usage(scope.session.summary, span)
            return _NOTHING
        if name in _KEPT_USER:
            return self._user_ended(scope.session, span)
        if name == names.AGENT_TURN and isinstance(scope, _OpenTurn):
            return self._turn_ended(scope, span)
        if name == names.SESSION_CLOSE:
            scope.session.close_reason = span.attributes.get(names.CLOSE_REASON)
        elif name == names.AGENT_SESSION:
            return self._session_ended(scope.session, span)
        return _NOTHING

    def _user_ended(self, session: _Session, span: Span) -> Mapping[str, AttributeValue]:
        stamped = _NOTHING
        if span.name == names.USER_SPEAKING and self._clock is not None:
            # The end of speech is back-dated, so it is known only now.
            delay = max(self._clock() - span.end_time_unix_nano, 0) / 1e9
            stamped = {names.DETECTION_DELAY: delay}
            span = span._replace(attributes={**span.attributes, **stamped})
        session.user.append(_slim(span, _KEPT_USER[span.name]))
        return stamped

    def _turn_ended(self, open_turn: _OpenTurn, span: Span) -> Mapping[str, AttributeValue]:
        session = open_turn.session
        turn = Turn(span, open_turn.steps, session.user, session.earlier, open_turn.observed)
        sort = kind(turn, user_has_spoken=session.user_has_spoken)
        stamped = {
            names.TURN_NUMBER: open_turn.number,
            names.TURN_KIND: sort,
            **facts(turn),
            **open_turn.observed,
            **account(turn, sort, session.summary.budget_seconds),
        }
        session.summary.add_turn(stamped)
        self._settle(session, open_turn, span, stamped)
        return stamped

    def _settle(
        self, session: _Session, open_turn: _OpenTurn, span: Span, stamped: Attributes
    ) -> None:
        """Forget the user's side once it is answered; keep the steps that left it unanswered."""
        if stamped[names.TURN_KIND] != "reply":
            return
        session.user_has_spoken = True
        if names.TURN_AGENT_STARTED not in stamped:
            session.earlier.extend(open_turn.steps)
            return
        session.earlier.clear()
        heard = min(
            s.start_time_unix_nano for s in open_turn.steps if s.name == names.AGENT_SPEAKING
        )
        kept = [s for s in session.user if s.start_time_unix_nano >= heard]
        session.user.clear()
        session.user.extend(kept)

    def _session_ended(self, session: _Session, span: Span) -> Mapping[str, AttributeValue]:
        return as_attributes({**self.summary(session, span), **session.observed})

    def summary(self, session: _Session, span: Span) -> dict[str, Any]:
        """Return a session's numbers."""
        found = session.summary.numbers()
        found["duration_seconds"] = span.duration_seconds
        if session.close_reason is not None:
            found["close_reason"] = session.close_reason
        return found


def _slim(span: Span, keys: tuple[str, ...]) -> Span:
    """Return a span with only the attributes that are read again."""
    attributes = span.attributes
    return span._replace(
        attributes={key: attributes[key] for key in keys if key in attributes},
        events=(),
        resource={},
    )


def _add_usage(summary: Summary, span: Span) -> None:
    for key in (names.LLM_METRICS, names.TTS_METRICS, names.REALTIME_METRICS_JSON):
        text = span.attributes.get(key)
        if isinstance(text, str):
            summary.add_usage(_usage(json.loads(text)))


def _usage(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics of one request in the shape of LiveKit's `*ModelUsage`."""
    metadata = measured.get("metadata") or {}
    who = {
        "provider": metadata.get("model_provider") or "",
        "model": metadata.get("model_name") or "",
    }
    if measured["type"] == "tts_metrics":
        fields = ("input_tokens", "output_tokens", "characters_count", "audio_duration")
        return {"type": "tts_usage", **who, **{key: measured[key] for key in fields}}
    if measured["type"] == "llm_metrics":
        return {
            "type": "llm_usage",
            **who,
            "input_tokens": measured["prompt_tokens"],
            "input_cached_tokens": measured["prompt_cached_tokens"],
            "input_cache_creation_tokens": measured.get("cache_creation_tokens", 0),
            "output_tokens": measured["completion_tokens"],
            "output_reasoning_tokens": measured.get("reasoning_tokens", 0),
        }
    return {"type": "llm_usage", **who, **_realtime_usage(measured)}


def _realtime_usage(measured: Mapping[str, Any]) -> dict[str, Any]:
    sent, made = measured["input_token_details"], measured["output_token_details"]
    cached = sent.get("cached_tokens_details") or {}
    return {
        "input_tokens": measured["input_tokens"],
        "input_cached_tokens": sent["cached_tokens"],
        **{f"input_{m}_tokens": sent[f"{m}_tokens"] for m in ("audio", "text", "image")},
        **{
            f"input_cached_{m}_tokens": cached.get(f"{m}_tokens", 0)
            for m in ("audio", "text", "image")
        },
        "output_tokens": measured["output_tokens"],
        **{f"output_{m}_tokens": made[f"{m}_tokens"] for m in ("audio", "text")},
        "session_duration": measured["session_duration"],
    }
