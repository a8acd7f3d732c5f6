"""The agent's own voice on the caller's channel, as from a loudspeaker: found, and left out.

The energy of such an echo follows the agent's, later and quieter. So both are correlated while the
agent sounds, at every delay up to half a second; what is not clearly louder than the echo that is
to be expected is then none of the caller's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tracing.heard.loudness import (
    STEP_SECONDS,
    STEPS_PER_SECOND,
    Floats,
    Loudness,
    decibels,
)
from tracing.heard.voice_activity import Activity

LIKENESS = 0.5
"""From this correlation on it is an echo; of two voices it is around 0."""
LOUDER_DB = 6.0
"""So much above the expected echo, it is the caller."""
LEAST_SECONDS = 3.0
"""Of the agent's voice, from which an echo can be told."""

_DELAYS = range(0, 100, 2)
_BEFORE, _AFTER = 4, 16
"""Steps that an echo is spread to both sides: the room goes on for a while."""


class Echo(NamedTuple):
    """How the agent's voice comes back."""

    delay_seconds: float
    gain_db: float
    likeness: float


def find_echo(caller: Loudness, agent: Loudness, speaking: Activity) -> Echo | None:
    """The echo of the agent, `speaking`, on the caller's channel; None where there is none."""
    length = min(len(caller.power), len(agent.power)) - _DELAYS.stop
    sounding = np.zeros(max(length, 0), bool)
    for stretch in speaking.stretches:
        sounding[round(stretch.start / STEP_SECONDS) : round(stretch.end / STEP_SECONDS)] = True
    at = np.flatnonzero(sounding)
    if len(at) < LEAST_SECONDS * STEPS_PER_SECOND:
        return None
    heard, said = decibels(caller.power), decibels(agent.power)[at]
    delay, likeness = max(
        ((delay, _likeness(heard[at + delay], said)) for delay in _DELAYS), key=lambda one: one[1]
    )
    if likeness < LIKENESS:
        return None
    loud = said > np.median(said)
    gain = float(np.median(heard[at + delay][loud] - said[loud]))
    return Echo(delay * STEP_SECONDS, gain, likeness)


def without_echo(caller: Loudness, agent: Loudness, echo: Echo, floor_db: float) -> Loudness:
    """The caller's channel, on which noise at `floor_db` stands where the echo was."""
    delay = round(echo.delay_seconds / STEP_SECONDS)
    spread = np.lib.stride_tricks.sliding_window_view(
        np.pad(agent.power, (_AFTER, _BEFORE)), _BEFORE + _AFTER + 1
    ).max(axis=1)
    expected = np.zeros_like(caller.power)
    shifted = spread[: max(len(expected) - delay, 0)]
    expected[delay : delay + len(shifted)] = shifted
    is_echo = caller.power <= expected * 10 ** ((echo.gain_db + LOUDER_DB) / 10)
    floor = np.float32(10 ** (floor_db / 10))
    return caller._replace(power=np.where(is_echo, np.minimum(caller.power, floor), caller.power))


def _likeness(one: Floats, other: Floats) -> float:
    """Pearson's correlation; 0 where one of them does not change."""
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt(one.dot(one) * other.dot(other)))
    return float(one.dot(other)) / size if size > 1e-3 else 0.0
