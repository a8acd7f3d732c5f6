"""How late LiveKit's recorder places the caller's channel: noted while it records, mended after.

The recorder puts a run of frames where the first of them arrived, and begins another where a frame
is off by more than its tolerance. So a first frame that was late, as after a loop that stood still,
makes its whole run late, by up to 0.1 s. The frames come from one stream without gaps: where it
stood is known from the earliest that any frame says, of this run or of those soon after it.
Nothing of the sound is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tracing.heard.loudness import STEPS_PER_SECOND, Loudness
from tracing.heard.passing import DRIFT, on_one_axis

_MOST_RUNS = 500
_SOON_SECONDS = 20.0


class _Run(NamedTuple):
    """A run of frames."""

    anchor: float
    """Where it was put, in seconds since the Unix epoch."""
    passed: float
    """How much of the stream came before it, in seconds."""
    origin: float
    """When the stream began, by the earliest of its frames."""


class RecordersClock:
    """Follows the runs of a recorder whose tolerance is `resync_seconds`."""

    def __init__(self, resync_seconds: float) -> None:
        self._resync_seconds = resync_seconds
        self._runs: list[_Run] = []
        self._passed = 0.0

    def push(self, started: float, seconds: float) -> None:
        """A frame of so many seconds is recorded, and began then, by when it arrived."""
        run = self._runs[-1] if self._runs else None
        expected = started if run is None else run.anchor + self._passed - run.passed
        if run is None or abs(started - expected) > self._resync_seconds:
            run = _Run(started, self._passed, started - self._passed)
            if len(self._runs) == _MOST_RUNS:
                self._runs.pop(0)
            self._runs.append(run)
        origin = min(run.origin + DRIFT * seconds, started - self._passed)
        self._runs[-1] = run._replace(origin=origin)
        self._passed += seconds

    def runs(self) -> list[tuple[float, float]]:
        """Of each run where it was put, in seconds since the Unix epoch, and how much too late."""
        return [
            (run.anchor, max(run.anchor - run.passed - self._origin(number), 0.0))
            for number, run in enumerate(self._runs)
        ]

    def _origin(self, number: int) -> float:
        """When the stream of a run began: a pause makes it later for what comes, no stall does."""
        run, *later = self._runs[number:]
        soon = [one.origin for one in later if one.anchor - run.anchor < _SOON_SECONDS]
        return min([run.origin, *soon])


def in_place(channel: Loudness, began: float, runs: Sequence[tuple[float, float]]) -> Loudness:
    """A channel of a recording that `began` then, with each run where it belongs."""
    if not runs:
        return channel
    return on_one_axis(_runs_of(channel, began, runs), 0.0, channel.seconds)


def _runs_of(
    channel: Loudness, began: float, runs: Sequence[tuple[float, float]]
) -> Iterator[tuple[float, Loudness]]:
    starts = [max(round((at - began) * STEPS_PER_SECOND), 0) for at, _ in runs]
    ends = [*starts[1:], len(channel.power)]
    for (at, late), start, end in zip(runs, starts, ends, strict=True):
        if end > start:
            part = Loudness(channel.power[start:end], channel.clipped[start:end])
            yield max(at - began, 0.0) - late, part
