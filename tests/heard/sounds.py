"""Made signals of which it is known where they begin and end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from demo.audio import load
from tracing.heard.loudness import STEP_SECONDS, Loudness, decibels, loudness
from tracing.heard.voice_activity import AUDIBLE_DB

RATE = 16_000
SECONDS = 12.0
AT = 3.0
"""Where a signal stands in its row."""
CLIPS = ("hours", "table", "gift-card", "menu", "no-meat", "chef", "goodbye")

Samples = np.ndarray[Any, Any]


class Made(NamedTuple):
    """A row of the table."""

    name: str
    samples: Samples
    start: float
    end: float


def channel(samples: Samples) -> Loudness:
    """The loudness of made samples."""
    return loudness(samples.astype(np.float32), RATE)


def tone(seconds: float, hertz: float = 440.0, size: float = 0.3) -> Samples:
    """A sine that begins and ends at once."""
    return size * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def clip(name: str) -> Samples:
    """Recorded speech."""
    return load(name) / 32768


def noise(decibels_full_scale: float, seconds: float = SECONDS) -> Samples:
    """White noise, the same each time."""
    made = np.random.default_rng(20).normal(0, 1, round(seconds * RATE))
    return made * 10 ** (decibels_full_scale / 20)


def hum(hertz: float, decibels_full_scale: float, seconds: float = SECONDS) -> Samples:
    """The mains and its third harmonic."""
    size = np.sqrt(2) * 10 ** (decibels_full_scale / 20)
    return tone(seconds, hertz, size) + tone(seconds, 3 * hertz, size / 2)


def music(decibels_full_scale: float, seconds: float = SECONDS) -> Samples:
    """Four voices that swell and fade, as on hold."""
    times = np.arange(round(seconds * RATE)) / RATE
    made = np.zeros(len(times))
    for voice, hertz in enumerate((262, 330, 392, 523)):
        swell = 0.5 + 0.5 * np.sin(2 * np.pi * (0.7 + 0.2 * voice) * times + voice)
        made += np.sin(2 * np.pi * hertz * times) * swell
    return made / np.sqrt((made**2).mean()) * 10 ** (decibels_full_scale / 20)


def placed(*parts: tuple[float, Samples], seconds: float = SECONDS) -> Samples:
    """Sounds at their times, and silence between them."""
    made = np.zeros(round(seconds * RATE))
    for at, samples in parts:
        begin = round(at * RATE)
        made[begin : begin + len(samples)] += samples[: len(made) - begin]
    return made


def level(samples: Samples) -> float:
    """How loud a voice is without noise: the mean of the louder half of what is to be heard."""
    power = channel(samples).power
    heard = power[decibels(power) > decibels(power).max() - AUDIBLE_DB]
    return float(decibels(heard[heard >= np.median(heard)].mean()))


def ends(samples: Samples) -> tuple[float, float]:
    """Where a voice without noise begins and ends to be heard."""
    heard = np.flatnonzero(decibels(channel(samples).power) > level(samples) - AUDIBLE_DB)
    return float(heard[0] * STEP_SECONDS), float((heard[-1] + 1) * STEP_SECONDS)


def table() -> Iterator[Made]:
    """Every made signal with its ends."""
    sounds = {"tone": (tone(2.0), 0.0, 2.0), "fading tone": (_fading(), 0.0, 1.98)}
    sounds |= {f"speech {name}": (clip(name), *ends(clip(name))) for name in CLIPS}
    for name, (samples, start, end) in sounds.items():
        loud = level(samples)
        row = placed((AT, samples))
        backgrounds = {
            "": 0.0,
            **{f", noise at {ratio} dB": noise(loud - ratio) for ratio in (30, 20, 10)},
            **{f", hum of {hz} Hz at 30 dB": hum(hz, loud - 30) for hz in (50, 60)},
            ", hum of 50 Hz at 15 dB": hum(50, loud - 15),
        }
        for background, added in backgrounds.items():
            yield Made(name + background, row + added, AT + start, AT + end)
    yield Made("music on hold", placed((AT, music(-20, 6.0))), AT, AT + 6)


def _fading() -> Samples:
    """A tone whose last 0.2 s fade: for 20 ms of them it is not audible any more."""
    made, fading = tone(2.0), round(0.2 * RATE)
    made[-fading:] *= np.linspace(1, 0, fading)
    return made
