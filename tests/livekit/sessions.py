"""Real AgentSessions whose models and caller are scripted, and the spans they leave."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession, telemetry
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

import tracing.capture.session_events as observing
from tests.livekit.scripted import (
    Caller,
    FakeLLM,
    FakeSpeaker,
    FakeSTT,
    FakeTTS,
    FakeVAD,
    Said,
    SilentInput,
    Stalls,
    Waits,
)
from tracing.account.call import Call
from tracing.capture.convert import SpanConverter
from tracing.span import Span


class Recorder(SpanProcessor):
    """Keeps every span, bare and stamped by its call, as the real processor would write it."""

    def __init__(self) -> None:
        self.withholds_content = False
        self.bare: list[Span] = []
        self.stamped: list[Span] = []
        self.calls: dict[bytes, Call] = {}
        self._open: dict[int, Any] = {}
        self._converter = SpanConverter()

    def call(self, trace_id: int) -> Call | None:
        """Return the call of a trace."""
        return self.calls.get(trace_id.to_bytes(16, "big"))

    def open_span(self, span_id: int) -> Any:
        """Return a span that has not ended."""
        return self._open.get(span_id)

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        started = self._converter.convert(span)
        self._open[span.context.span_id] = span
        self.calls.setdefault(started.trace_id, Call()).started(started)

    def on_end(self, span: ReadableSpan) -> None:
        ended = self._converter.convert(span)
        if self.withholds_content:
            kept = {k: v for k, v in ended.attributes.items() if ".pii." not in k}
            ended = ended._replace(attributes=kept)
        self._open.pop(int.from_bytes(ended.span_id, "big"), None)
        call = self.calls[ended.trace_id]
        stamps = call.ended(ended)
        self.bare.append(ended)
        attributes = {**call.identity.attributes, **ended.attributes, **stamps}
        self.stamped.append(ended._replace(attributes=attributes))

    def named(self, name: str) -> list[Span]:
        """Return the stamped spans of a name, in the order in which they started."""
        found = (span for span in self.stamped if span.name == name)
        return sorted(found, key=lambda span: span.start_time_unix_nano)


@contextlib.contextmanager
def recording(recorder: Recorder | None = None) -> Iterator[Recorder]:
    """Send LiveKit's spans to a recorder; one that is given gets them already."""
    if recorder is not None:
        yield recorder
        return
    recorder = Recorder()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(recorder)
    telemetry.set_tracer_provider(provider)
    try:
        yield recorder
    finally:
        provider.shutdown()


@dataclass
class Studio:
    """One session in the making: its fakes, and the caller who talks to it."""

    session: AgentSession
    caller: Caller
    waits: Waits
    recorder: Recorder

    async def until_heard(self, text: str, timeout: float = 10.0) -> None:
        """Wait until the agent has said something to its end."""
        await self.until(lambda: self._said(text) and self._is_quiet(), timeout)

    async def until(self, condition: Callable[[], bool], timeout: float = 10.0) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "the session never came to that"
            await asyncio.sleep(0.005)

    def _said(self, text: str) -> bool:
        said = (i for i in self.session.history.items if i.type == "message")
        return any(text in (i.text_content or "") for i in said if i.role == "assistant")

    def _is_quiet(self) -> bool:
        return self.session.agent_state not in ("thinking", "speaking")


@contextlib.asynccontextmanager
async def studio(
    agent: Agent,
    script: dict[str, Said],
    *,
    tts_delay: float = 0.1,
    tts_seconds: float = 0.3,
    tts_failures: int = 0,
    playout_delay: float = 0.02,
    endpointing: float = 0.4,
    prepare: Callable[[AgentSession, Recorder], Any] | None = None,
    audio: bool = True,
    recorder: Recorder | None = None,
    **options: Any,
) -> AsyncIterator[Studio]:
    """Run a session with a voice pipeline; closed, and its spans recorded, on the way out."""
    waits = Waits()
    ears, scribe = FakeVAD(), FakeSTT()
    turn_handling = {
        "turn_detection": "realtime_llm" if options.pop("realtime", False) else "vad",
        "endpointing": {"min_delay": endpointing, "max_delay": 3.0},
        "interruption": {"mode": "vad", "min_duration": 0.05},
        **options.pop("turn_handling", {}),
    }
    models: dict[str, Any] = {"llm": FakeLLM(script, waits)}
    if audio:
        voice = FakeTTS(tts_delay, tts_seconds, waits, tts_failures)
        models |= {"stt": scribe, "vad": ears, "tts": voice}
    with recording(recorder) as recorder:
        session: AgentSession = AgentSession(
            **{**models, **options},
            turn_handling=turn_handling,
            aec_warmup_duration=None,
            session_close_transcript_timeout=0.0,
        )
        if audio:
            session.input.audio = SilentInput()
            session.output.audio = FakeSpeaker(playout_delay, waits)
        if prepare is not None:
            prepare(session, recorder)
        stalls = asyncio.create_task(Stalls.watch())
        await session.start(agent)
        try:
            yield Studio(session, Caller(ears, scribe, waits), waits, recorder)
        finally:
            await session.aclose()
            stalls.cancel()


def watched(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    """Return what lets a studio's session be observed, its spans going to the recorder."""

    def prepare(session: AgentSession, recorder: Recorder) -> None:
        monkeypatch.setattr(observing, "_current_processor", lambda: recorder)
        observing.observe(session, **options)

    return prepare
