"""Where LiveKit's recorder puts the caller's channel, and where that belongs."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice import io
from livekit.agents.voice.recorder_io import recorder_io

from tests.heard.sounds import RATE, tone
from tracing.capture.sound.recorder_link import follow_recorder
from tracing.heard.loudness import loudness
from tracing.heard.recorders_clock import RecordersClock, in_place
from tracing.heard.voice_activity import voice_activity

BEGAN = 1_700_000_000.0
FRAME = 0.02
SECONDS = 12.0


def recorded(arrivals: Iterable[float], samples: np.ndarray) -> np.ndarray:
    """What LiveKit's own track makes of frames that arrive at these times."""
    track = recorder_io._Track(sample_rate=RATE, t0=BEGAN)
    step = round(FRAME * RATE)
    for number, arrived in enumerate(arrivals):
        part = samples[number * step : (number + 1) * step]
        frame = rtc.AudioFrame((part * 32767).astype(np.int16).tobytes(), RATE, 1, step)
        track.push(arrived - FRAME, frame)
    track.end_run()
    whole: np.ndarray = track.take(0, round(SECONDS * RATE))
    return whole


def after_a_late_start(number: int) -> float:
    """The first frames are 80 ms late, as of a loop that begins."""
    return 0.08 if number < 5 else 0.0


def after_a_stall(number: int) -> float:
    """The loop stands still for 0.45 s at four seconds, and catches up at once."""
    return max(4.45 - (number + 1) * FRAME, 0.0) if number >= 200 else 0.0


def after_two(number: int) -> float:
    """A short one, and a long one."""
    late = max(2.085 - (number + 1) * FRAME, 0.0) if number >= 100 else 0.0
    return max(late, after_a_stall(number))


@pytest.mark.parametrize("late", [after_a_late_start, after_a_stall, after_two, lambda n: 0.0])
def test_a_channel_is_where_its_frames_were_heard(late: Any) -> None:
    """Of LiveKit's own recorder, whose runs are late by up to its tolerance."""
    samples = np.zeros(round(SECONDS * RATE))
    for at in (1.0, 6.0, 9.0):
        samples[round(at * RATE) : round((at + 1) * RATE)] = tone(1.0)
    due = [BEGAN + (number + 1) * FRAME for number in range(round(SECONDS / FRAME))]
    arrivals = [at + late(number) for number, at in enumerate(due)]
    clock = RecordersClock(recorder_io.RESYNC_TOLERANCE)
    for arrived in arrivals:
        clock.push(arrived - FRAME, FRAME)
    channel = loudness(recorded(arrivals, samples), RATE)
    found = voice_activity(in_place(channel, BEGAN, clock.runs())).stretches
    assert [(s.start, s.end) for s in found] == [
        pytest.approx((at, at + 1.0), abs=0.011) for at in (1.0, 6.0, 9.0)
    ]


def test_a_stream_that_paused_is_not_pulled_back() -> None:
    """As of a caller who was muted for three seconds: what comes later is later."""
    clock = RecordersClock(0.1)
    for number in range(100):
        clock.push(BEGAN + number * FRAME + (3.0 if number >= 50 else 0.0), FRAME)
    places = [(BEGAN, BEGAN), (BEGAN + 4.0, BEGAN + 4.0)]
    assert clock.runs() == [pytest.approx(place, abs=0.003) for place in places]


def test_silence_that_livekit_makes_itself_moves_nothing() -> None:
    """Half a second of it comes at once where a track ends, and the next track is later."""
    clock = RecordersClock(0.1)
    for number in range(400):
        clock.push(BEGAN + number * FRAME, FRAME)
    for _ in range(25):
        clock.push(BEGAN + 8.0, FRAME)
    for number in range(400):
        clock.push(BEGAN + 8.4 + number * FRAME, FRAME)
    moved = {round(anchor - BEGAN, 2): at - anchor for anchor, at in clock.runs()}
    assert moved[0.0] == pytest.approx(0, abs=0.003)
    assert moved[8.4] == pytest.approx(0, abs=0.003)


def test_what_was_not_followed_is_left_as_it_is() -> None:
    """As with another version of LiveKit's."""
    channel = loudness(tone(1.0).astype(np.float32), RATE)
    assert RecordersClock(0.1).runs() == []
    assert in_place(channel, BEGAN, []) is channel


async def test_livekits_recorder_is_followed_as_it_hears() -> None:
    """Each frame with the time that the recorder takes; they pass as they are."""

    class Given(io.AudioInput):
        async def __anext__(self) -> rtc.AudioFrame:
            return frame

    heard: list[float] = []
    frame = rtc.AudioFrame(bytes(640), RATE, 1, 320)
    session: AgentSession = AgentSession()
    clock = follow_recorder(session)
    assert clock is not None
    session.input.audio = source = Given(label="room")
    assert session.input.audio is source
    recorder: Any = SimpleNamespace(recording=False)
    session.input.audio = recorder_io.RecorderAudioInput(
        recording_io=recorder, source=source, on_frame=lambda at, frame: heard.append(at)
    )
    assert await session.input.audio.__anext__() is frame
    assert (clock.runs(), heard) == ([], [])
    recorder.recording = True
    assert await session.input.audio.__anext__() is frame
    assert [at for at, _ in clock.runs()] == heard
