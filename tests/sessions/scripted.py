"""A scripted caller, LLM, TTS and speaker for real sessions.

Every fake waits by the clock that the framework measures with, and notes what the wait really
took, so that a busy machine makes a test slow and not wrong.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from livekit import rtc
from livekit.agents import NOT_GIVEN, APIConnectionError, APIConnectOptions, llm, stt, tts, vad
from livekit.agents.voice import io

SAMPLE_RATE = 16_000
_STILL_RUNNING = "The tool call is still in progress."
"""What LiveKit tells the model of a tool that runs: nothing to answer."""
_calls = itertools.count(1)
NO_RETRY_WAIT = APIConnectOptions(max_retry=2, retry_interval=0.05, timeout=5.0)


@dataclass
class Waits:
    """What every scripted wait of a session really took, in order, by name."""

    taken: dict[str, list[float]] = field(default_factory=dict)

    async def wait(self, name: str, seconds: float, since: float | None = None) -> None:
        """Sleep, and note how long it was, from when it was asked for."""
        start = time.time() if since is None else since
        try:
            await asyncio.sleep(seconds)
        finally:
            self.taken.setdefault(name, []).append(time.time() - start)


class Stalls:
    """When the event loop stood still, which no script can foresee."""

    found: ClassVar[list[tuple[float, float]]] = []
    """Those of 5 ms and more: begin and end, in seconds since the epoch."""

    @classmethod
    async def watch(cls) -> None:
        """Look at the clock every few milliseconds."""
        cls.found = []
        while True:
            begun = time.time()
            await asyncio.sleep(0.005)
            ended = time.time()
            if ended - begun > 0.01:
                cls.found.append((begun + 0.005, ended))

    @classmethod
    def seconds(cls) -> float:
        """How long the loop stood still in all: one wait can meet every stall of a session."""
        return sum(until - since for since, until in cls.found)

    @classmethod
    def between(cls, start: float, end: float) -> float:
        """How many seconds of a stretch of time the loop stood still."""
        return sum(max(min(end, until) - max(start, since), 0.0) for since, until in cls.found)


class FakeVAD(vad.VAD):
    """Hears speech when its caller says so."""

    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.5))
        self.hearing: asyncio.Queue[vad.VADEvent] = asyncio.Queue()

    def stream(self) -> vad.VADStream:
        return _FakeVADStream(self)


class _FakeVADStream(vad.VADStream):
    async def _main_task(self) -> None:
        while True:
            self._event_ch.send_nowait(await self._vad.hearing.get())


class FakeSTT(stt.STT):
    """Transcribes what its caller says."""

    model = "fake-stt"
    provider = "fake"

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.heard: asyncio.Queue[stt.SpeechEvent | Exception] = asyncio.Queue()
        self.streams = 0

    async def _recognize_impl(self, buffer: Any, **_: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(
        self, *, language: Any = NOT_GIVEN, conn_options: APIConnectOptions = NO_RETRY_WAIT
    ) -> stt.RecognizeStream:
        self.streams += 1
        return _FakeSTTStream(stt=self, conn_options=conn_options)


class _FakeSTTStream(stt.RecognizeStream):
    async def _run(self) -> None:
        while True:
            heard = await self._stt.heard.get()
            if isinstance(heard, Exception):
                raise heard
            self._event_ch.send_nowait(heard)


@dataclass
class Said:
    """What the LLM answers to one input: after `delay`, a first token, then the rest."""

    text: str = ""
    delay: float = 0.1
    rest_delay: float = 0.0
    tools: Sequence[tuple[str, str]] = ()
    failures: int = 0
    failure_delay: float = 0.1


class FakeLLM(llm.LLM):
    """Answers by the last message: what the user said, or what a tool returned."""

    model = "fake-llm"
    provider = "fake"

    def __init__(self, script: dict[str, Said], waits: Waits | None = None) -> None:
        super().__init__()
        self.script = script
        self.waits = waits or Waits()

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = NO_RETRY_WAIT,
        **_: Any,
    ) -> llm.LLMStream:
        return _FakeLLMStream(
            self, chat_ctx=chat_ctx, tools=tools or [], conn_options=NO_RETRY_WAIT
        )


class _FakeLLMStream(llm.LLMStream):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._asked_at: float | None = time.time()

    async def _run(self) -> None:
        fake: FakeLLM = self._llm
        asked_at, self._asked_at = self._asked_at, None  # a retry is asked for when it runs
        said = fake.script[_last_input(self._chat_ctx)]
        if said.failures > 0:
            said.failures -= 1
            await fake.waits.wait("llm_failure", said.failure_delay, asked_at)
            raise APIConnectionError("scripted LLM failure")
        await fake.waits.wait("llm", said.delay, asked_at)
        words = said.text.split(" ") if said.text else []
        for index, word in enumerate(words):
            if index == 1 and said.rest_delay:
                await fake.waits.wait("llm_rest", said.rest_delay)
            self._send(content=word if index == 0 else f" {word}")
        if said.tools:
            calls = [
                llm.FunctionToolCall(name=name, arguments=arguments, call_id=f"call_{next(_calls)}")
                for name, arguments in said.tools
            ]
            self._send(tool_calls=calls)
        self._event_ch.send_nowait(
            llm.ChatChunk(
                id="chunk",
                usage=llm.CompletionUsage(
                    completion_tokens=10,
                    prompt_tokens=100,
                    prompt_cached_tokens=40,
                    total_tokens=110,
                ),
            )
        )

    def _send(self, **delta: Any) -> None:
        choice = llm.ChoiceDelta(role="assistant", **delta)
        self._event_ch.send_nowait(llm.ChatChunk(id="chunk", delta=choice))


def _last_input(chat_ctx: llm.ChatContext) -> str:
    for item in reversed(chat_ctx.items):
        if item.type == "function_call_output" and item.output != _STILL_RUNNING:
            return str(item.output)
        if item.type == "message" and item.role in ("user", "system", "developer"):
            return item.text_content or ""
    return ""


class FakeTTS(tts.TTS):
    """Speaks: `delay` after the first sentence is in, silence of `seconds` comes, or `sound`."""

    model = "fake-tts"
    provider = "fake"

    def __init__(
        self,
        delay: float = 0.1,
        seconds: float = 0.3,
        waits: Waits | None = None,
        failures: int = 0,
        sound: bytes = b"",
    ) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True),
            sample_rate=SAMPLE_RATE,
            num_channels=1,
        )
        self.delay, self.seconds, self.failures = delay, seconds, failures
        self.waits = waits or Waits()
        self.sound = sound or b"\0\0" * int(SAMPLE_RATE * seconds)

    def synthesize(self, text: str, **_: Any) -> tts.ChunkedStream:
        raise NotImplementedError

    def stream(self, *, conn_options: APIConnectOptions = NO_RETRY_WAIT) -> tts.SynthesizeStream:
        return _FakeTTSStream(tts=self, conn_options=NO_RETRY_WAIT)


class _FakeTTSStream(tts.SynthesizeStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        fake: FakeTTS = self._tts
        output_emitter.initialize(
            request_id="tts",
            sample_rate=SAMPLE_RATE,
            num_channels=1,
            mime_type="audio/pcm",
            stream=True,
        )
        text = ""
        spoken = False
        async for token in self._input_ch:
            text += token if isinstance(token, str) else ""
            if not spoken and text.rstrip().endswith((".", "?", "!")):
                spoken = True
                await self._speak(fake, output_emitter)
        if text and not spoken:
            await self._speak(fake, output_emitter)
        output_emitter.end_segment()

    async def _speak(self, fake: FakeTTS, output_emitter: tts.AudioEmitter) -> None:
        self._mark_started()
        if fake.failures > 0:
            fake.failures -= 1
            await fake.waits.wait("tts_failure", fake.delay)
            raise APIConnectionError("scripted TTS failure")
        await fake.waits.wait("tts", fake.delay)
        output_emitter.start_segment(segment_id="segment")
        output_emitter.push(fake.sound)
        output_emitter.flush()


class SilentInput(io.AudioInput):
    """An open microphone from which nothing comes: the caller's speech is scripted."""

    def __init__(self) -> None:
        super().__init__(label="silent")

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.Event().wait()
        raise StopAsyncIteration


class FakeSpeaker(io.AudioOutput):
    """Plays audio in real time, `delay` after it got the first of it."""

    def __init__(self, delay: float = 0.02, waits: Waits | None = None) -> None:
        super().__init__(
            label="speaker",
            capabilities=io.AudioOutputCapabilities(pause=True),
            sample_rate=SAMPLE_RATE,
        )
        self.delay = delay
        self.waits = waits or Waits()
        self._pushed = 0.0
        self._played = 0.0
        self._started_at: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        self._pushed += frame.duration
        if self._task is None:
            self._task = asyncio.create_task(self._start())

    async def _start(self) -> None:
        await self.waits.wait("playout", self.delay)
        self._started_at = time.time()
        self.on_playback_started(created_at=self._started_at)

    def flush(self) -> None:
        super().flush()
        if self._task is not None and self._ending is None:
            self._ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        assert self._task is not None
        await self._task
        while self._position() < self._pushed - 1e-3:
            await asyncio.sleep(0.01)
        self._finish(interrupted=False)

    def _position(self) -> float:
        running = time.time() - self._started_at if self._started_at is not None else 0.0
        return min(self._played + running, self._pushed)

    def _finish(self, *, interrupted: bool) -> None:
        position = self._position()
        self._pushed = self._played = 0.0
        self._started_at = self._task = self._ending = None
        self.on_playback_finished(playback_position=position, interrupted=interrupted)

    def clear_buffer(self) -> None:
        if self._task is None:
            return
        for task in (self._task, self._ending):
            if task is not None:
                task.cancel()
        self._finish(interrupted=True)

    def pause(self) -> None:
        self._played = self._position()
        self._started_at = None

    def resume(self) -> None:
        if self._task is not None and self._task.done():
            self._started_at = time.time()


class Caller:
    """The person on the phone."""

    def __init__(self, ears: FakeVAD, scribe: FakeSTT, waits: Waits) -> None:
        self.ears, self.scribe, self.waits = ears, scribe, waits

    async def say(
        self,
        text: str,
        *,
        seconds: float = 0.3,
        detection: float = 0.1,
        transcription: float = 0.15,
        confidence: float = 0.9,
        early_text: str | None = None,
    ) -> None:
        """Speak for some time; the VAD and then the STT learn of the end with their delays.

        With `early_text`, a final transcript comes while the caller is still speaking.
        """
        begun = time.time()
        await asyncio.sleep(0.05)
        self._hear(vad.VADEventType.START_OF_SPEECH, speech=time.time() - begun)
        while time.time() - begun < seconds:
            spoken = time.time() - begun
            self._hear(vad.VADEventType.INFERENCE_DONE, speech=spoken)
            await asyncio.sleep(min(0.05, seconds - spoken))
        if early_text is not None:
            self._transcribe(early_text, confidence)
        ended = time.time()
        await asyncio.gather(
            self._end_of_speech(begun, ended, detection),
            self._transcript(text, transcription, confidence),
        )

    async def _end_of_speech(self, begun: float, ended: float, detection: float) -> None:
        await self.waits.wait("detection", detection)
        self._hear(
            vad.VADEventType.END_OF_SPEECH, speech=ended - begun, silence=time.time() - ended
        )

    async def _transcript(self, text: str, delay: float, confidence: float) -> None:
        await self.waits.wait("transcription", delay)
        if text:
            self._transcribe(text, confidence)

    def _hear(self, kind: vad.VADEventType, *, speech: float = 0.0, silence: float = 0.0) -> None:
        self.ears.hearing.put_nowait(
            vad.VADEvent(
                type=kind,
                samples_index=0,
                timestamp=time.time(),
                speech_duration=speech,
                silence_duration=silence,
                inference_duration=0.001 if kind is vad.VADEventType.INFERENCE_DONE else 0.0,
            )
        )

    def _transcribe(self, text: str, confidence: float) -> None:
        data = stt.SpeechData(language="en", text=text, confidence=confidence)
        kind = stt.SpeechEventType.FINAL_TRANSCRIPT
        self.scribe.heard.put_nowait(stt.SpeechEvent(type=kind, alternatives=[data]))
        usage = stt.RecognitionUsage(audio_duration=0.5, input_tokens=3, output_tokens=2)
        self.scribe.heard.put_nowait(
            stt.SpeechEvent(
                type=stt.SpeechEventType.RECOGNITION_USAGE,
                request_id="stt-1",
                recognition_usage=usage,
            )
        )
