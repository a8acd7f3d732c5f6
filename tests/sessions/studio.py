"""Real AgentSessions whose models and caller are scripted, and the spans they leave."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livekit.agents import Agent, AgentSession, telemetry
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from tests.sessions.scripted import (
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
from tests.sessions.virtual import VirtualLoop
from tests.sessions.walk import walk
from tracing.account.call import Call
from tracing.capture.convert import SpanConverter
from tracing.capture.current import Capture, register
from tracing.capture.logged.failed_tools import know_failed_tools
from tracing.capture.processor import TracingProcessor
from tracing.capture.redaction import Redaction
from tracing.capture.withholding import Withholding
from tracing.observing import observe
from tracing.span import Span
from tracing.spool.losses import Ledger
from tracing.spool.records import END, read_records


class Recorder:
    """The real processor, whose frames are kept in memory and read back; and every span bare."""

    def __init__(self, *, content: bool = True) -> None:
        self.content = content
        self.bare: list[Span] = []
        """What LiveKit ended, before anything is stamped or withheld."""
        self.ledger = Ledger(Path("nowhere"))
        withholding = Withholding(always=not content)
        make_call = functools.partial(Call, clock=lambda: time.time_ns())
        self.processor = TracingProcessor(
            Redaction(self.ledger), self.ledger, make_call=make_call, withholding=withholding
        )
        self.processor.append = self._append
        self._frames: list[bytes] = []

    def _append(self, frame: bytes) -> None:
        self._frames.append(frame)

    @property
    def stamped(self) -> list[Span]:
        """The spans as they are written, in the order in which they ended."""
        records = read_records(b"".join(self._frames))
        return [record.span for record in records if record.kind == END and record.span]

    def below(self, span_id: bytes) -> list[Span]:
        """A stamped span and all below it, in the order in which they ended."""
        stamped = self.stamped
        inside, size = {span_id}, 0
        while size < len(inside):
            size = len(inside)
            inside |= {span.span_id for span in stamped if span.parent_span_id in inside}
        return [span for span in stamped if span.span_id in inside]

    def named(self, name: str) -> list[Span]:
        """The stamped spans of a name, in the order in which they started."""
        found = (span for span in self.stamped if span.name == name)
        return sorted(found, key=lambda span: span.start_time_unix_nano)


class _Bare(SpanProcessor):
    """Keeps spans as they end."""

    def __init__(self, kept: list[Span]) -> None:
        self._kept = kept
        self._converter = SpanConverter()

    def on_end(self, span: ReadableSpan) -> None:
        self._kept.append(self._converter.convert(span))


@contextlib.contextmanager
def recording(recorder: Recorder | None = None) -> Iterator[Recorder]:
    """Send LiveKit's spans to a recorder, and what `observe` tells to its processor.

    One that is given gets both already.
    """
    if recorder is not None:
        yield recorder
        return
    recorder = Recorder()
    with attached(recorder):
        yield recorder


@contextlib.contextmanager
def attached(recorder: Recorder) -> Iterator[None]:
    """What `setup_tracer` does for a processor, with nothing behind it."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(_Bare(recorder.bare))
    provider.add_span_processor(recorder.processor)
    telemetry.set_tracer_provider(provider)
    register(Capture(recorder.processor))
    know_failed_tools()
    try:
        yield
    finally:
        register(None)
        provider.shutdown()
        assert recorder.ledger.counts == {}


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
    """Run a session with a voice pipeline; on the way out closed, recorded, and walked over."""
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
        root = session._session_span.get_span_context().span_id.to_bytes(8, "big")
        try:
            yield Studio(session, Caller(ears, scribe, waits), waits, recorder)
        finally:
            await session.aclose()
            stalls.cancel()
        if recorder.content:
            walk(
                recorder.below(root),
                session.history.items,
                Stalls.between,
                times_tell_the_order=not isinstance(asyncio.get_running_loop(), VirtualLoop),
            )


def observed(**options: Any) -> Callable[[AgentSession, Recorder], None]:
    """What makes a studio's session an observed one."""
    return lambda session, recorder: observe(session, **options)
