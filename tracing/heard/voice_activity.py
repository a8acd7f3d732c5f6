"""Where a channel sounds: energy with hysteresis over the noise floor.

The floor is what the channel falls to at least once in 20 seconds. A sound begins where the energy
rises `ON_DB` above it and lasts as far to both sides as it stays `OFF_DB` above it; what is
`AUDIBLE_DB` below the channel's own voice is no sound, however quiet the line is. Steps are 5 ms,
and a mean over three of them is compared, so a sharp end is found within one step.

Noise hides the ends of a voice that fades. How much, its own fading tells: the doubt is how long
it would go on until it is `AUDIBLE_DB` down. Noise that hides more than `CONSONANT_DB` may hide a
whole consonant. An end in more doubt than 20 ms cannot be told closer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tracing.heard.loudness import STEP_SECONDS, Flags, Floats, Loudness, decibels

ON_DB = 10.0
"""Above the floor a sound begins."""
OFF_DB = 3.0
"""Above the floor it goes on."""
AUDIBLE_DB = 35.0
"""Below the channel's own voice nobody hears it."""
QUIETEST_DB = -75.0
"""A floor below this is a digital one: it counts as this."""
SHORTEST_SECONDS = 0.03
"""What is shorter is a click."""
PAUSE_SECONDS = 0.2
"""A shorter pause is one between sounds of a word: the stretch goes on."""
CONSONANT_DB, CONSONANT_SECONDS = 10.0, 0.08
"""Quiet ones are hardly more above what is audible, and last about so long."""
CLOSE_SECONDS = 0.02
"""An end that is in more doubt than this cannot be told."""

_BLOCK = 100
"""Steps of half a second, each of which has a floor of its own."""
_AROUND = 20
"""Blocks to each side of which the lowest is the floor: 10 s."""
_SMOOTHED = 3
_FADE_DB = 15.0
"""The last of a sound, which tells how it would go on fading."""
_MOST_DOUBT_SECONDS = 0.5


class Stretch(NamedTuple):
    """A stretch of sound, in seconds since the channel begins."""

    start: float
    end: float
    start_doubt: float = 0.0
    end_doubt: float = 0.0
    """How much longer it may have lasted to this side, below the noise; half a second at most."""


class Activity(NamedTuple):
    """The stretches of a channel in their order, and how loud its voice and its noise are."""

    stretches: Sequence[Stretch]
    level_db: float
    """Of the voice, in dB of full scale: the mean over what sounds."""
    floor_db: float
    """The median of the noise floor."""


def voice_activity(channel: Loudness) -> Activity:
    """The sounds of a channel; none where it is silent, or all noise."""
    smooth = _smoothed(channel.power)
    if not len(smooth):
        return Activity((), QUIETEST_DB, QUIETEST_DB)
    energy = decibels(smooth)
    floor = _floor(energy)
    level = _level(smooth, energy, floor)
    audible = level - AUDIBLE_DB
    low = np.maximum(floor + OFF_DB, audible)
    lasting, begun = energy > low, energy > np.maximum(floor + ON_DB, audible + ON_DB - OFF_DB)
    runs = [run for run in _runs(lasting) if begun[slice(*run)].any()]
    kept = [run for run in _bridged(runs) if (run[1] - run[0]) * STEP_SECONDS >= SHORTEST_SECONDS]
    found = [
        Stretch(
            a * STEP_SECONDS,
            b * STEP_SECONDS,
            _doubt(energy[a:b][::-1], low[a], audible),
            _doubt(energy[a:b], low[b - 1], audible),
        )
        for a, b in kept
    ]
    return Activity(found, level, float(np.median(floor)))


def _smoothed(power: Floats) -> Floats:
    if len(power) < _SMOOTHED:
        return power
    found: Floats = np.convolve(power, np.full(_SMOOTHED, 1 / _SMOOTHED, np.float32), "same")
    return found


def _floor(energy: Floats) -> Floats:
    """What the channel falls to around each step, in dB."""
    number = max(len(energy) // _BLOCK, 1)
    whole = energy[: number * _BLOCK].reshape(number, -1)
    lows = np.partition(whole, whole.shape[1] // 4, axis=1)[:, whole.shape[1] // 4]
    padded = np.pad(lows, _AROUND, constant_values=np.inf)
    lowest = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1).min(axis=1)
    floor = np.repeat(np.maximum(lowest, QUIETEST_DB), whole.shape[1])
    rest: Floats = np.pad(floor, (0, len(energy) - len(floor)), mode="edge")
    return rest


def _level(power: Floats, energy: Floats, floor: Floats) -> float:
    """The mean level of what is well above the floor; the floor's own where nothing is."""
    sounding = power[energy > floor + ON_DB]
    if not len(sounding):
        return float(floor.max())
    loud = sounding[sounding >= np.percentile(sounding, 50)]
    return float(decibels(np.float32(loud.mean())))


def _runs(flags: Flags) -> Iterator[tuple[int, int]]:
    """Where flags are set: the first step of each run, and the first behind it."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _bridged(runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs, of which those with a short pause between them are one."""
    found: list[tuple[int, int]] = []
    for start, end in runs:
        if found and (start - found[-1][1]) * STEP_SECONDS < PAUSE_SECONDS:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _doubt(energy: Floats, low: float, audible: float) -> float:
    """How long a sound that ends at `low` would go on until it is not audible, as it fades."""
    hidden = low - audible
    if hidden <= 0:
        return 0.0
    fade = min(_FADE_DB, (float(energy.max()) - low) / 2)
    since = len(energy) - 1 - int(np.flatnonzero(energy > low + fade)[-1])
    lasts = hidden / fade * max(since - 1, 0) * STEP_SECONDS  # a step is the mean's over three
    least = CONSONANT_SECONDS if hidden > CONSONANT_DB else 0.0
    return min(max(float(lasts), least), _MOST_DOUBT_SECONDS)
