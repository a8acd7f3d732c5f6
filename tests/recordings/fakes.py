"""Scripted models and a scripted caller, so that a real AgentSession runs offline.

They work with livekit-agents 1.5 to 1.8 and are deliberately small: each says what it was
told to say, after the delay it was told to wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectionError, llm, stt, tts, utils, vad
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.voice import io

SAMPLE_RATE = 16000


@dataclass
class Reply:
    """What the model answers once."""

    text: str = ""
    tool: str = ""
    arguments: str = "{}"
    error: str = ""
    """Raise a connection error with this message; one entry per attempt."""
    ttft: float = 0.05
    per_word: float = 0.005
    prompt_tokens: int = 100
    completion_tokens: int = 20
    cached_tokens: int = 0


class ScriptedLLM(llm.LLM):
    """Answers with its replies in order."""

    def __init__(self, *replies: Reply, model: str = "gpt-4o-mini", provider: str = "openai"):
        super().__init__()
        self.replies = list(replies)
        self._model, self._provider = model, provider

    @property
    def model(self) -> str:
        return self._model

    @property
    def provider(self) -> str:
        return self._provider

    def chat(self, *, chat_ctx, tools=None, conn_options=DEFAULT_API_CONNECT_OPTIONS, **_: Any):
        return ScriptedLLMStream(
            self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options
        )


class ScriptedLLMStream(llm.LLMStream):
    async def _run(self) -> None:
        reply = self._llm.replies.pop(0) if self._llm.replies else Reply(text="Anything else?")
        await asyncio.sleep(reply.ttft)
        if reply.error:
            raise APIConnectionError(reply.error, retryable=True)
        for word in reply.text.split(" ") if reply.text else []:
            self._send(llm.ChoiceDelta(role="assistant", content=word + " "))
            await asyncio.sleep(reply.per_word)
        if reply.tool:
            call = llm.FunctionToolCall(
                name=reply.tool, arguments=reply.arguments, call_id=f"call_{reply.tool}"
            )
            self._send(llm.ChoiceDelta(role="assistant", tool_calls=[call]))
        usage = llm.CompletionUsage(
            completion_tokens=reply.completion_tokens,
            prompt_tokens=reply.prompt_tokens,
            prompt_cached_tokens=reply.cached_tokens,
            total_tokens=reply.prompt_tokens + reply.completion_tokens,
        )
        self._event_ch.send_nowait(llm.ChatChunk(id="resp_1", usage=usage))

    def _send(self, delta: llm.ChoiceDelta) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id="resp_1", delta=delta))


class ScriptedTTS(tts.TTS):
    """Speaks one second of silence per 40 characters; fails while `errors` lasts."""

    def __init__(self, *, errors: int = 0, model: str = "sonic-2", provider: str = "cartesia"):
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True),
            sample_rate=SAMPLE_RATE,
            num_channels=1,
        )
        self.errors = errors
        self._model, self._provider = model, provider

    @property
    def model(self) -> str:
        return self._model

    @property
    def provider(self) -> str:
        return self._provider

    def synthesize(self, text, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(self, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return ScriptedTTSStream(tts=self, conn_options=conn_options)


class ScriptedTTSStream(tts.SynthesizeStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id="tts_1",
            sample_rate=SAMPLE_RATE,
            num_channels=1,
            mime_type="audio/pcm",
            stream=True,
        )
        text = ""
        async for chunk in self._input_ch:
            if isinstance(chunk, str):
                text += chunk
        if not text.strip():
            return
        self._mark_started()
        await asyncio.sleep(0.04)
        if self._tts.errors > 0:
            self._tts.errors -= 1
            raise APIConnectionError("voice service unavailable", retryable=True)
        output_emitter.start_segment(segment_id="seg_1")
        output_emitter.push(bytes(2 * int(SAMPLE_RATE * max(len(text), 8) / 40)))
        output_emitter.end_segment()


class Caller:
    """Speaks when told to, through the fake VAD and STT below."""

    def __init__(self, *, stt_errors: int = 0) -> None:
        self.vad = CallerVAD()
        self.stt = CallerSTT(errors=stt_errors)

    async def say(self, text: str, seconds: float = 0.3, interim: str = "") -> None:
        """Speak for `seconds`; the final transcript comes 60 ms after the end of speech."""
        self.vad.hear(vad.VADEventType.START_OF_SPEECH, speech=0.05)
        self.stt.hear(stt.SpeechEventType.START_OF_SPEECH, "")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(0.05)
            self.vad.hear(vad.VADEventType.INFERENCE_DONE, speech=seconds)
            if interim:
                self.stt.hear(stt.SpeechEventType.INTERIM_TRANSCRIPT, interim)
        self.vad.hear(vad.VADEventType.END_OF_SPEECH, speech=seconds, silence=0.05)
        await asyncio.sleep(0.06)
        self.stt.hear(stt.SpeechEventType.FINAL_TRANSCRIPT, text)
        self.stt.hear(stt.SpeechEventType.END_OF_SPEECH, "")
        self.stt.use(seconds)


class CallerVAD(vad.VAD):
    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.05))
        self.streams: list[CallerVADStream] = []

    def stream(self):
        self.streams.append(CallerVADStream(self))
        return self.streams[-1]

    def hear(self, kind: vad.VADEventType, *, speech: float, silence: float = 0.0) -> None:
        event = vad.VADEvent(
            type=kind,
            samples_index=0,
            timestamp=time.time(),
            speech_duration=speech,
            silence_duration=silence,
            speaking=kind is not vad.VADEventType.END_OF_SPEECH,
            probability=0.9,
            raw_accumulated_speech=speech,
            raw_accumulated_silence=silence,
        )
        for stream in self.streams:
            stream.queue.put_nowait(event)


class CallerVADStream(vad.VADStream):
    def __init__(self, owner: CallerVAD) -> None:
        self.queue: asyncio.Queue[vad.VADEvent] = asyncio.Queue()
        super().__init__(owner)

    async def _main_task(self) -> None:
        while True:
            self._event_ch.send_nowait(await self.queue.get())


class CallerSTT(stt.STT):
    def __init__(self, *, errors: int = 0, model: str = "nova-3", provider: str = "deepgram"):
        super().__init__(
            capabilities=stt.STTCapabilities(streaming=True, interim_results=True),
        )
        self.errors = errors
        self.streams: list[CallerSTTStream] = []
        self._model, self._provider = model, provider

    @property
    def model(self) -> str:
        return self._model

    @property
    def provider(self) -> str:
        return self._provider

    async def _recognize_impl(self, buffer, *, language=None, conn_options=None):
        raise NotImplementedError

    def stream(self, *, language=None, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        self.streams.append(CallerSTTStream(stt=self, conn_options=conn_options))
        return self.streams[-1]

    def hear(self, kind: stt.SpeechEventType, text: str) -> None:
        data = [stt.SpeechData(language="en", text=text, confidence=0.97)] if text else []
        self._send(stt.SpeechEvent(type=kind, request_id="stt_1", alternatives=data))

    def use(self, seconds: float) -> None:
        usage = stt.RecognitionUsage(audio_duration=seconds)
        kind = stt.SpeechEventType.RECOGNITION_USAGE
        self._send(stt.SpeechEvent(type=kind, request_id="stt_1", recognition_usage=usage))

    def fail(self) -> None:
        self._send(None)

    def _send(self, event: stt.SpeechEvent | None) -> None:
        for stream in self.streams:
            stream.queue.put_nowait(event)


class CallerSTTStream(stt.RecognizeStream):
    def __init__(self, **kwargs: Any) -> None:
        self.queue: asyncio.Queue[stt.SpeechEvent | None] = asyncio.Queue()
        super().__init__(**kwargs)

    async def _run(self) -> None:
        while self._stt.errors <= 0:
            event = await self.queue.get()
            if event is None:
                break
            self._event_ch.send_nowait(event)
        self._stt.errors -= 1
        raise APIConnectionError("speech service closed the stream", retryable=True)


class SilentInput(io.AudioInput):
    """A microphone that hears nothing: the caller speaks through the VAD and the STT."""

    def __init__(self) -> None:
        super().__init__(label="silence")

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.sleep(3600)
        raise StopAsyncIteration


class ClockedOutput(io.AudioOutput):
    """A loudspeaker that plays in real time and can be cut short."""

    def __init__(self) -> None:
        super().__init__(
            label="loudspeaker",
            capabilities=io.AudioOutputCapabilities(pause=False),
            sample_rate=SAMPLE_RATE,
        )
        self._started_at = 0.0
        self._pushed = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._pushed:
            self._started_at = time.time()
            if hasattr(self, "on_playback_started"):
                self.on_playback_started(created_at=self._started_at)
        self._pushed += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._pushed and self._timer is None:
            left = max(0.0, self._started_at + self._pushed - time.time())
            self._timer = asyncio.get_running_loop().call_later(left, self._finish, False)

    def clear_buffer(self) -> None:
        if self._pushed:
            self._finish(True)

    def _finish(self, interrupted: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        played = min(self._pushed, time.time() - self._started_at) if interrupted else self._pushed
        self._timer, self._pushed = None, 0.0
        self.on_playback_finished(playback_position=played, interrupted=interrupted)


async def wait_until(condition: Any, seconds: float = 10.0) -> None:
    """As soon as `condition()` holds; raise when it never does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the scripted session did not get there")
        await asyncio.sleep(0.01)


async def stream_of(*items: Any, delay: float = 0.0) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(delay)
        yield item


__all__ = [name for name in dir() if name[0].isupper()] + ["stream_of", "utils", "wait_until"]
