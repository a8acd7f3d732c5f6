"""Sound that passes is placed in time, however its frames come."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from livekit import rtc

from tests.heard.sounds import tone
from tracing.heard.loudness import Loudness, decibels
from tracing.heard.passing import AgentPassing, CallerPassing, on_one_axis
from tracing.heard.voice_activity import voice_activity

BEGAN = 1_700_000_000.0


def frames(
    samples: np.ndarray, rate: int, seconds: float = 0.02, channels: int = 1
) -> list[rtc.AudioFrame]:
    """Samples cut into frames; each channel carries the same."""
    data = np.repeat((samples * 32767).astype(np.int16), channels)
    step = round(seconds * rate)
    return [
        rtc.AudioFrame(part.tobytes(), rate, channels, len(part) // channels)
        for at in range(0, len(samples), step)
        if len(part := data[at * channels : (at + step) * channels])
    ]


def sounding(rate: int, start: float, end: float, seconds: float) -> np.ndarray:
    """A tone between two times."""
    times = np.arange(round(seconds * rate)) / rate
    made: np.ndarray = 0.3 * np.sin(2 * np.pi * 440 * times) * ((times >= start) & (times < end))
    return made


def where(heard: Iterable[tuple[float, Loudness]], seconds: float) -> list[tuple[float, float]]:
    """Where a channel sounds, from BEGAN on."""
    axis = on_one_axis(iter(list(heard)), BEGAN, BEGAN + seconds)
    return [(s.start, s.end) for s in voice_activity(axis).stretches]


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize(("seconds", "channels"), [(0.01, 1), (0.02, 2), (0.05, 1)])
def test_a_frame_is_where_it_arrived(rate: int, seconds: float, channels: int) -> None:
    """At every rate, in frames of any length, of one channel or two."""
    caller, at = CallerPassing(), BEGAN
    for frame in frames(sounding(rate, 3.0, 4.5, 9.0), rate, seconds, channels):
        at += frame.duration
        caller.push(at, frame)
    assert where(caller.heard(), 9.0) == [pytest.approx((3.0, 4.5), abs=0.011)]


def test_frames_that_come_late_are_where_they_would_have_come() -> None:
    """The first ones 60 ms late, others after a stall in a burst: a frame is never early."""
    caller = CallerPassing()
    for number, frame in enumerate(frames(sounding(16_000, 3.0, 4.5, 9.0), 16_000)):
        due = BEGAN + (number + 1) * 0.02
        late = 0.06 if number < 20 else 0.0
        stalled = max(BEGAN + 3.3 - due, 0.0) if 150 <= number < 165 else 0.0
        caller.push(due + max(late, stalled) + 0.001 * (number % 3), frame)
    assert where(caller.heard(), 9.0) == [pytest.approx((3.0, 4.5), abs=0.011)]


def test_a_channel_that_pauses_goes_on_where_it_goes_on() -> None:
    """As of a caller whose line was muted."""
    caller = CallerPassing()
    parts = frames(tone(1.0), 16_000)
    for begins in (2.0, 5.0):
        for number, frame in enumerate(parts):
            caller.push(BEGAN + begins + (number + 1) * 0.02, frame)
    found = where(caller.heard(), 8.0)
    assert found == [
        pytest.approx((2.0, 3.0), abs=0.011),
        pytest.approx((5.0, 6.0), abs=0.011),
    ]


def test_a_clock_that_runs_slow_is_followed() -> None:
    """By 150 ppm for ten minutes: 90 ms late at its end, and found there."""
    caller, rate, slow = CallerPassing(), 8_000, 1 + 150e-6
    silence, spoken = frames(np.zeros(rate), rate, 0.05), frames(tone(2.0)[:rate], rate, 0.05)
    number = 0
    for second in range(600):
        for frame in spoken if second == 590 else silence:
            number += 1
            caller.push(BEGAN + number * 0.05 * slow, frame)
    axis = on_one_axis(caller.heard(), BEGAN + 560, BEGAN + 600)
    [stretch] = voice_activity(axis).stretches
    assert stretch.start == pytest.approx(590 * slow - 560, abs=0.02)


def test_no_more_than_a_minute_is_kept() -> None:
    """Of a call of an hour, too."""
    caller, frame = CallerPassing(), frames(np.zeros(8_000), 8_000, 1.0)[0]
    for second in range(3600):
        caller.push(BEGAN + second + 1, frame)
    kept = list(caller.heard())
    assert 60 <= sum(heard.seconds for _, heard in kept) <= 81
    assert kept[0][0] == pytest.approx(BEGAN + 3530, abs=11)


def spoken_by(agent: AgentPassing, seconds: float) -> None:
    """Hand a tone with silence before it to the output, faster than it is played."""
    for frame in frames(sounding(24_000, 0.2, seconds, seconds), 24_000):
        agent.push(frame)


def test_a_speech_is_where_it_was_played() -> None:
    """Of one that was cut off, what was played of it."""
    agent = AgentPassing()
    spoken_by(agent, 2.0)
    agent.started(BEGAN + 1)
    agent.finished(2.0)
    spoken_by(agent, 3.0)
    agent.started(BEGAN + 5)
    agent.finished(0.9)
    assert where(agent.heard(), 10.0) == [
        pytest.approx((1.2, 3.0), abs=0.011),
        pytest.approx((5.2, 5.9), abs=0.011),
    ]


def test_a_speech_that_paused_is_in_two_places() -> None:
    """As an output tells that owns its device: of a false interruption."""
    agent = AgentPassing()
    spoken_by(agent, 3.0)
    agent.started(BEGAN + 1)
    agent.progressed(BEGAN + 1, 0.0, 1.0)
    agent.progressed(BEGAN + 4, 1.0, 2.0)
    agent.finished(3.0)
    assert where(agent.heard(), 8.0) == [
        pytest.approx((1.2, 2.0), abs=0.011),
        pytest.approx((4.0, 6.0), abs=0.011),
    ]


def test_a_speech_that_never_played_is_not_heard() -> None:
    """It was taken back before its first sound."""
    agent = AgentPassing()
    spoken_by(agent, 1.0)
    agent.finished(0.0)
    assert list(agent.heard()) == []


def test_loudness_is_the_same_at_any_rate() -> None:
    """Within half a decibel, whatever a step has of samples."""
    levels = []
    for rate in (8_000, 11_025, 22_050, 48_000):
        caller, at = CallerPassing(), BEGAN
        for frame in frames(sounding(rate, 0.0, 2.0, 2.0), rate):
            at += frame.duration
            caller.push(at, frame)
        [(_, heard)] = caller.heard()
        levels.append(float(decibels(heard.power.mean())))
    assert max(levels) - min(levels) < 0.5
