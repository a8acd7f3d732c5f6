"""How loud a channel is, in steps of 5 ms: all that is kept of a sound while it is measured."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

STEP_SECONDS = 0.005
STEPS_PER_SECOND = 200

_FULL_SCALE = 0.99
"""What reaches it was cut off, or nearly: a codec rounds the corners off."""

Floats = np.ndarray[Any, np.dtype[np.float32]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


class Loudness(NamedTuple):
    """One channel, step by step."""

    power: Floats
    """Mean square about the mean of each step, of samples from -1 to 1: so that a hum of 50 or
    60 Hz, of which a step has a quarter of a wave, counts a tenth."""
    clipped: Flags
    """Whether a step reaches full scale."""

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.power) * STEP_SECONDS


SILENCE = Loudness(np.zeros(0, np.float32), np.zeros(0, bool))
"""No step at all."""


def loudness(samples: Floats, rate: int) -> Loudness:
    """The loudness of mono samples, -1 to 1; of a last step that is not whole nothing is told.

    At a rate that is no multiple of 200 some steps have a sample less than others.
    """
    if rate % STEPS_PER_SECOND:
        return _uneven(samples, rate)
    length = rate // STEPS_PER_SECOND
    whole = len(samples) // length * length
    steps = samples[:whole].reshape(-1, length)
    mean = steps.mean(axis=1)
    power = np.einsum("ij,ij->i", steps, steps) / np.float32(length) - mean * mean
    if whole and max(steps.max(), -steps.min()) >= _FULL_SCALE:
        clipped = np.abs(steps).max(axis=1) >= _FULL_SCALE
    else:
        clipped = np.zeros(len(steps), bool)
    return Loudness(np.maximum(power, 0).astype(np.float32), clipped)


def _uneven(samples: Floats, rate: int) -> Loudness:
    number = len(samples) * STEPS_PER_SECOND // rate
    edges = np.arange(number + 1) * rate // STEPS_PER_SECOND
    begins, lengths = edges[:-1], np.diff(edges)
    if not number:
        return SILENCE
    kept = samples[: edges[-1]]
    mean = np.add.reduceat(kept, begins) / lengths
    power = np.add.reduceat(kept * kept, begins) / lengths - mean * mean
    clipped = np.maximum.reduceat(np.abs(kept), begins) >= _FULL_SCALE
    return Loudness(np.maximum(power, 0).astype(np.float32), clipped)


def joined(parts: list[Loudness]) -> Loudness:
    """One channel of its parts, one after the other."""
    if not parts:
        return SILENCE
    return Loudness(*(np.concatenate(found) for found in zip(*parts, strict=True)))


def decibels(power: Floats) -> Floats:
    """Power in dB of full scale, not below -100."""
    found: Floats = 10 * np.log10(np.maximum(power, 1e-10))
    return found
