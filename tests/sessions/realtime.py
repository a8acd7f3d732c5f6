"""A scripted speech-to-speech model, with or without ears and a voice of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from livekit import rtc
from livekit.agents import llm
from livekit.agents.metrics import RealtimeModelMetrics

from tests.sessions.scripted import SAMPLE_RATE, Waits


@dataclass
class Answered:
    """What the model answers: `creation` until its response begins, `delay` until it sounds."""

    text: str
    creation: float = 0.1
    delay: float = 0.15
    seconds: float = 0.3
    tools: Sequence[tuple[str, str]] = ()


class FakeRealtime(llm.RealtimeModel):
    """Answers by the last thing that it heard, was told, or got from a tool."""

    model = "fake-realtime"
    provider = "fake"

    def __init__(
        self, script: dict[str, Answered], waits: Waits, *, hears: bool = True, speaks: bool = True
    ) -> None:
        super().__init__(
            capabilities=llm.RealtimeCapabilities(
                message_truncation=False,
                turn_detection=hears,
                user_transcription=hears,
                auto_tool_reply_generation=False,
                audio_output=speaks,
                manual_function_calls=False,
                mutable_chat_context=True,
            )
        )
        self.script, self.waits, self.speaks = script, waits, speaks
        self.heard = ""
        self.running: FakeRealtimeSession | None = None

    def session(self, **_: Any) -> FakeRealtimeSession:
        self.running = FakeRealtimeSession(self)
        return self.running

    async def aclose(self) -> None: ...

    async def hear(
        self, text: str, *, seconds: float = 0.3, transcribed: bool = True, answered: bool = True
    ) -> None:
        """Hear the caller speak, by the model's own ears, and answer as a rule."""
        session = self.running
        assert session is not None
        session.emit("input_speech_started", llm.InputSpeechStartedEvent())
        await asyncio.sleep(seconds)
        session.emit(
            "input_speech_stopped", llm.InputSpeechStoppedEvent(user_transcription_enabled=True)
        )
        self.heard = text
        if transcribed:
            session.transcribe(text)
        if answered:
            await session.respond(user_initiated=False)


class FakeRealtimeSession(llm.RealtimeSession):
    def __init__(self, model: FakeRealtime) -> None:
        super().__init__(model)
        self._fake = model
        self._chat_ctx = llm.ChatContext.empty()
        self._tools = llm.ToolContext.empty()
        self._number = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    def transcribe(self, text: str) -> None:
        """Say what the caller said."""
        self.emit(
            "input_audio_transcription_completed",
            llm.InputTranscriptionCompleted(
                item_id=f"user_{self._number}", transcript=text, is_final=True
            ),
        )

    async def respond(self, *, user_initiated: bool) -> llm.GenerationCreatedEvent:
        """Begin a response, and report its metrics when its audio is made."""
        self._number += 1
        said = self._fake.script[self._fake.heard]
        await self._fake.waits.wait("creation", said.creation)
        created = self._created(said, f"response_{self._number}", user_initiated)
        if not user_initiated:
            self.emit("generation_created", created)
        return created

    def _created(
        self, said: Answered, response_id: str, user_initiated: bool
    ) -> llm.GenerationCreatedEvent:
        started = time.time()
        sounding: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        metrics = asyncio.create_task(self._report(said, response_id, started, sounding))
        self._tasks.add(metrics)
        modalities: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        modalities.set_result(["audio", "text"] if self._fake.speaks else ["text"])
        message = llm.MessageGeneration(
            message_id=f"message_{self._number}",
            text_stream=_texts(said, sounding),
            audio_stream=_audio(said, sounding),
            modalities=modalities,
        )
        calls = [
            llm.FunctionCall(call_id=f"call_{name}", name=name, arguments=arguments)
            for name, arguments in said.tools
        ]
        return llm.GenerationCreatedEvent(
            message_stream=_stream([message] if said.text else []),
            function_stream=_stream(calls, sounding),
            user_initiated=user_initiated,
            response_id=response_id,
        )

    async def _report(
        self, said: Answered, response_id: str, started: float, sounding: asyncio.Future[None]
    ) -> None:
        await self._fake.waits.wait("realtime", said.delay)
        ttft = time.time() - started
        sounding.set_result(None)
        await asyncio.sleep(0.02)
        self.emit("metrics_collected", realtime_metrics(response_id, started, ttft))

    @property
    def chat_ctx(self) -> llm.ChatContext:
        return self._chat_ctx

    @property
    def tools(self) -> llm.ToolContext:
        return self._tools

    async def update_instructions(self, instructions: str) -> None: ...

    async def update_chat_ctx(self, chat_ctx: llm.ChatContext) -> None:
        self._chat_ctx = chat_ctx.copy()
        last = chat_ctx.items[-1] if chat_ctx.items else None
        if isinstance(last, llm.FunctionCallOutput):
            self._fake.heard = last.output
        elif isinstance(last, llm.ChatMessage) and last.role == "user":
            self._fake.heard = last.text_content or ""

    async def update_tools(self, tools: Any) -> None: ...

    def update_options(self, **_: Any) -> None: ...

    def push_audio(self, frame: rtc.AudioFrame) -> None: ...

    def push_video(self, frame: rtc.VideoFrame) -> None: ...

    def generate_reply(
        self, *, instructions: Any = "", **_: Any
    ) -> asyncio.Future[llm.GenerationCreatedEvent]:
        if isinstance(instructions, str) and instructions:
            self._fake.heard = instructions
        return asyncio.ensure_future(self.respond(user_initiated=True))

    def commit_audio(self) -> None: ...

    def clear_audio(self) -> None: ...

    def interrupt(self) -> None: ...

    def truncate(self, **_: Any) -> None: ...

    async def aclose(self) -> None: ...


async def _stream(items: Sequence[Any], after: asyncio.Future[None] | None = None) -> AsyncIterator:
    if after is not None and items:
        await asyncio.shield(after)
    for item in items:
        yield item


async def _texts(said: Answered, sounding: asyncio.Future[None]) -> AsyncIterator[str]:
    await asyncio.shield(sounding)
    yield said.text


async def _audio(said: Answered, sounding: asyncio.Future[None]) -> AsyncIterator[rtc.AudioFrame]:
    await asyncio.shield(sounding)
    samples = int(SAMPLE_RATE * said.seconds)
    yield rtc.AudioFrame(bytes(2 * samples), SAMPLE_RATE, 1, samples)


def realtime_metrics(response_id: str, started: float, ttft: float) -> RealtimeModelMetrics:
    """Metrics in which no field is zero."""
    details = RealtimeModelMetrics
    return RealtimeModelMetrics(
        label="fake.Realtime",
        request_id=response_id,
        timestamp=started,
        duration=0.4,
        session_duration=2.0,
        ttft=ttft,
        cancelled=False,
        input_tokens=120,
        output_tokens=80,
        total_tokens=200,
        tokens_per_second=260.0,
        input_token_details=details.InputTokenDetails(
            audio_tokens=80,
            text_tokens=30,
            image_tokens=10,
            cached_tokens=12,
            cached_tokens_details=details.CachedTokenDetails(
                audio_tokens=5, text_tokens=4, image_tokens=3
            ),
        ),
        output_token_details=details.OutputTokenDetails(
            text_tokens=20, audio_tokens=59, image_tokens=1
        ),
        acquire_time=0.05,
        connection_reused=True,
        metadata={"model_name": "fake-realtime", "model_provider": "fake"},
    )
