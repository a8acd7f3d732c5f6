"""A scripted speech-to-speech model: it answers every question, and reports its usage in time
or late (after LiveKit has ended the inference's span)."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import Any

from fakes import SAMPLE_RATE, stream_of
from livekit import rtc
from livekit.agents import llm
from livekit.agents.metrics import RealtimeModelMetrics

ANSWERS = ("We open at nine.", "On Sunday we open at ten.")


class ScriptedRealtime(llm.RealtimeModel):
    def __init__(self, *, late_metrics: bool) -> None:
        wanted = {
            "message_truncation": False,
            "turn_detection": True,
            "user_transcription": True,
            "auto_tool_reply_generation": False,
            "audio_output": True,
            "manual_function_calls": False,
        }
        known = inspect.signature(llm.RealtimeCapabilities).parameters
        super().__init__(
            capabilities=llm.RealtimeCapabilities(
                **{key: value for key, value in wanted.items() if key in known}
            )
        )
        self.late_metrics = late_metrics
        self.active: ScriptedRealtimeSession | None = None

    @property
    def model(self) -> str:
        return "gpt-realtime"

    @property
    def provider(self) -> str:
        return "openai"

    def session(self, **_: Any) -> ScriptedRealtimeSession:
        self.active = ScriptedRealtimeSession(self)
        return self.active

    async def aclose(self) -> None: ...

    def hear(self, text: str) -> None:
        assert self.active is not None
        self.active.answer(text)


class ScriptedRealtimeSession(llm.RealtimeSession):
    def __init__(self, model: ScriptedRealtime) -> None:
        super().__init__(model)
        self._model = model
        self._chat_ctx = llm.ChatContext.empty()
        self._tools = llm.ToolContext.empty()
        self._answered = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, question: str) -> None:
        """Transcribe the question, answer it, report the usage."""
        task = asyncio.create_task(self._answer(question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, question: str) -> None:
        number = self._answered
        self._answered += 1
        self.emit(
            "input_audio_transcription_completed",
            llm.InputTranscriptionCompleted(
                item_id=f"user_{number}", transcript=question, is_final=True
            ),
        )
        started = time.time()
        await asyncio.sleep(0.08)
        message = llm.MessageGeneration(
            message_id=f"msg_{number}",
            text_stream=stream_of(ANSWERS[number % 2]),
            audio_stream=stream_of(*[_frame() for _ in range(4)], delay=0.01),
            modalities=asyncio.ensure_future(_soon(["audio", "text"])),
        )
        self.emit(
            "generation_created",
            llm.GenerationCreatedEvent(
                message_stream=stream_of(message),
                function_stream=stream_of(),
                user_initiated=False,
                response_id=f"resp_{number}",
            ),
        )
        await asyncio.sleep(1.2 if self._model.late_metrics else 0.1)
        self.emit("metrics_collected", _metrics(f"resp_{number}", started, self._model))

    @property
    def chat_ctx(self) -> llm.ChatContext:
        return self._chat_ctx

    @property
    def tools(self) -> llm.ToolContext:
        return self._tools

    async def update_instructions(self, instructions: str) -> None: ...

    async def update_chat_ctx(self, chat_ctx: llm.ChatContext) -> None:
        self._chat_ctx = chat_ctx.copy()

    async def update_tools(self, tools: Any) -> None: ...

    def update_options(self, **_: Any) -> None: ...

    def push_audio(self, frame: rtc.AudioFrame) -> None: ...

    def push_video(self, frame: rtc.VideoFrame) -> None: ...

    def generate_reply(self, **_: Any) -> Any:
        raise NotImplementedError

    def commit_audio(self) -> None: ...

    def clear_audio(self) -> None: ...

    def interrupt(self) -> None: ...

    def truncate(self, **_: Any) -> None: ...

    async def aclose(self) -> None: ...


def _metrics(request_id: str, started: float, model: ScriptedRealtime) -> RealtimeModelMetrics:
    details = RealtimeModelMetrics
    return RealtimeModelMetrics(
        request_id=request_id,
        timestamp=started,
        duration=0.3,
        ttft=0.08,
        label="scripted.Realtime",
        input_tokens=120,
        output_tokens=80,
        total_tokens=200,
        tokens_per_second=260.0,
        input_token_details=details.InputTokenDetails(
            audio_tokens=90,
            text_tokens=30,
            image_tokens=0,
            cached_tokens=10,
            cached_tokens_details=details.CachedTokenDetails(
                text_tokens=4, audio_tokens=6, image_tokens=0
            ),
        ),
        output_token_details=details.OutputTokenDetails(
            text_tokens=20, audio_tokens=60, image_tokens=0
        ),
        metadata={"model_name": model.model, "model_provider": model.provider},
    )


def _frame() -> rtc.AudioFrame:
    samples = SAMPLE_RATE // 10
    return rtc.AudioFrame(bytes(2 * samples), SAMPLE_RATE, 1, samples)


async def _soon(value: Any) -> Any:
    return value
