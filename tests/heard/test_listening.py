"""Real sessions whose sound is known: what is heard live, and from LiveKit's own recording."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.voice import io
from livekit.agents.voice.recorder_io import RecorderIO

from demo.audio import Microphone
from tests.heard.sounds import RATE, tone
from tests.sessions.scripted import FakeTTS, Said, Waits
from tests.sessions.studio import Recorder, Studio, observed, studio
from tracing import names
from tracing.capture.sound.listening import HeardInput, HeardOutput, Listener
from tracing.heard.recording_file import loudness_of
from tracing.heard.turns import Sound, heard_of
from tracing.span import Attributes

LEAD_IN, TAIL = 0.15, 0.2
"""Silence before the voice, and what the VAD takes for speech behind the caller's last sound."""
SPOKEN = 0.5
SAID = {"Hello?": Said("Good evening."), "And?": Said("That is all.")}


def pcm(samples: np.ndarray) -> np.ndarray:
    """Samples of 16 bits."""
    return (samples * 32767).astype(np.int16)


VOICE = pcm(np.concatenate([np.zeros(round(LEAD_IN * RATE)), tone(0.6, 300)])).tobytes()


class NotingMicrophone(Microphone):
    """Notes when the last frame with sound was over."""

    sounded_until = 0.0

    async def __anext__(self) -> rtc.AudioFrame:
        frame = await super().__anext__()
        if np.frombuffer(frame.data, np.int16).any():
            self.sounded_until = time.time()
        return frame


async def speak(stage: Studio, microphone: NotingMicrophone, text: str) -> float:
    """Say something with a tone; the result is when it was over."""
    saying = stage.caller.say(text, seconds=SPOKEN + TAIL)
    await asyncio.gather(microphone.play(pcm(tone(SPOKEN))), saying)
    return microphone.sounded_until


def turns_of(recorder: Recorder) -> list[Attributes]:
    """The stamps of the turns that answered."""
    return [
        turn.attributes
        for turn in recorder.named(names.AGENT_TURN)
        if "turn.user_bot_latency_seconds" in turn.attributes
    ]


def prepared(microphone: Microphone, **options: Any) -> Any:
    """A session that hears the microphone, and is observed."""

    def prepare(session: AgentSession, recorder: Recorder) -> None:
        session.input.audio = microphone
        observed(**options)(session, recorder)

    return prepare


async def test_listener_and_recording_hear_what_was_played(tmp_path: Path) -> None:
    """Each on its own: tail, account and lead-in are what the made sounds make them."""
    microphone, waits = NotingMicrophone(), Waits()
    voice = FakeTTS(0.1, waits=waits, sound=VOICE)
    prepare = prepared(microphone, listen=True)
    ends = []
    async with studio(Agent(instructions=""), SAID, tts=voice, prepare=prepare) as stage:
        session = stage.session
        recorder = RecorderIO(agent_session=session)
        session.input.audio = recorder.record_input(session.input.audio)
        session.output.audio = recorder.record_output(session.output.audio)
        await recorder.start(output_path=tmp_path / "audio.ogg")
        await asyncio.sleep(0.5)
        for text, answer in (("Hello?", "Good evening."), ("And?", "That is all.")):
            ends.append(await speak(stage, microphone, text))
            await stage.until_heard(answer)
            await asyncio.sleep(0.3)
        await recorder.aclose()
    turns = turns_of(stage.recorder)
    sound = Sound(*loudness_of(tmp_path / "audio.ogg"), recorder.recording_started_at or 0.0)
    for turn, recorded, end in zip(turns, heard_of(sound, turns), ends, strict=True):
        begun = float(str(turn["turn.agent_started_speaking_at"]))
        expected = {
            "turn.heard_latency_seconds": begun + LEAD_IN - end,
            "turn.voice_lead_in_seconds": LEAD_IN,
            "turn.speech_tail_seconds": float(str(turn["turn.user_stopped_speaking_at"])) - end,
        }
        for heard in (turn, recorded):
            found = {key: heard[key] for key in expected}
            assert found == pytest.approx(expected, abs=0.02)
            assert "turn.heard_reason" not in heard
            account = turn["turn.user_bot_latency_seconds"]
            parts = (found[key] for key in list(expected)[1:])
            assert expected["turn.heard_latency_seconds"] == pytest.approx(
                sum(parts, account),  # type: ignore[arg-type]
                abs=0.02,
            )


async def test_listening_is_off_by_default() -> None:
    """Nobody's frames are touched, and nothing is stamped."""
    microphone, waits = NotingMicrophone(), Waits()
    voice = FakeTTS(0.1, waits=waits, sound=VOICE)
    async with studio(
        Agent(instructions=""), SAID, tts=voice, prepare=prepared(microphone)
    ) as stage:
        assert stage.session.input.audio is microphone
        await speak(stage, microphone, "Hello?")
        await stage.until_heard("Good evening.")
    [turn] = turns_of(stage.recorder)
    assert [key for key in turn if "heard" in key or "tail" in key] == []


class Given(io.AudioInput):
    """Gives what is put."""

    def __init__(self, *frames: rtc.AudioFrame) -> None:
        super().__init__(label="given")
        self._frames = iter(frames)

    async def __anext__(self) -> rtc.AudioFrame:
        for frame in self._frames:
            return frame
        raise StopAsyncIteration


class Taken(io.AudioOutput):
    """Keeps what it gets."""

    def __init__(self) -> None:
        super().__init__(label="taken", capabilities=io.AudioOutputCapabilities(pause=True))
        self.calls: list[Any] = []

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        self.calls.append(frame)

    def flush(self) -> None:
        super().flush()
        self.calls.append("flush")

    def clear_buffer(self) -> None:
        self.calls.append("clear")


def frame_of(samples: np.ndarray, channels: int = 1) -> rtc.AudioFrame:
    """A frame of these samples."""
    return rtc.AudioFrame(pcm(samples).tobytes(), RATE, channels, len(samples) // channels)


async def test_frames_pass_as_they_are() -> None:
    """The same objects, in their order, with what is said between them."""
    frames = [frame_of(tone(0.02)) for _ in range(3)]
    heard = HeardInput(Given(*frames), Listener())
    assert [frame async for frame in heard] == frames
    sink = Taken()
    output = HeardOutput(sink, Listener())
    await output.capture_frame(frames[0])
    output.clear_buffer()
    await output.capture_frame(frames[1])
    output.flush()
    assert sink.calls == [frames[0], "clear", frames[1], "flush"]


async def test_a_frame_that_cannot_be_read_costs_numbers_alone(caplog: Any) -> None:
    """It passes, and is said once."""
    broken = rtc.AudioFrame(bytes(64), RATE, 1, 32)
    broken._sample_rate = 0
    listener = Listener()
    heard = HeardInput(Given(broken, broken), listener)
    assert [frame async for frame in heard] == [broken, broken]
    assert [record.getMessage() for record in caplog.records] == [
        "what was heard could not be measured"
    ]


async def test_links_are_put_into_chains_that_come_later() -> None:
    """A room's chains are there only when the session starts; each is linked once."""
    session: AgentSession = AgentSession()
    Listener().attach(session)
    assert session.input.audio is None
    session.input.audio = Given()
    linked = session.input.audio
    assert isinstance(linked, HeardInput)
    session.input.audio = io.AudioInput(label="recorder", source=linked)
    assert not isinstance(session.input.audio, HeardInput)
    session.output.audio = Taken()
    assert isinstance(session.output.audio, HeardOutput)
    session.output.audio = None
    assert session.output.audio is None
