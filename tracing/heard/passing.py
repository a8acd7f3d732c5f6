"""Sound while it passes: its loudness is kept, at the place in time where it was heard.

The caller's frames come one after the other, and their place is told by when they arrive. The
agent's are made faster than they are played; their place is told when they have been.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from tracing.heard.arrivals import Arrivals
from tracing.heard.loudness import STEPS_PER_SECOND, Floats, Loudness, joined, loudness

KEPT_SECONDS = 60.0
"""What is older is forgotten."""
_MOST_PIECES = 64
"""Runs of the caller's frames; a stream that is as broken as that tells little."""
_MOST_SECONDS = 600.0
"""Of one speech of the agent; the rest of it is not listened to."""


class Frame(Protocol):
    """LiveKit's `rtc.AudioFrame`, as far as it is read."""

    @property
    def data(self) -> Any:
        """Interleaved samples, 16 bits each."""

    @property
    def sample_rate(self) -> int:
        """In hertz."""

    @property
    def num_channels(self) -> int:
        """How many there are in `data`."""

    @property
    def samples_per_channel(self) -> int:
        """The length of the frame."""


class Run:
    """Frames that follow each other: waiting until they are a second, then loudness alone."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.samples = 0
        self._waiting: list[Frame] = []
        self._waiting_samples = 0
        self._parts: list[Loudness] = []

    @property
    def seconds(self) -> float:
        """How much has passed."""
        return self.samples / self.rate

    def push(self, frame: Frame) -> None:
        """Take a frame; once a second their loudness is found."""
        self._waiting.append(frame)
        self.samples += frame.samples_per_channel
        self._waiting_samples += frame.samples_per_channel
        if self._waiting_samples >= self.rate:
            whole = self._waiting_samples // self.rate * self.rate
            samples = _mono(self._waiting)
            self._parts.append(loudness(samples[:whole], self.rate))
            self._waiting = [_Rest(samples[whole:], self.rate)] if whole < len(samples) else []
            self._waiting_samples -= whole

    def heard(self) -> Loudness:
        """The loudness of all that has passed."""
        return joined([*self._parts, loudness(_mono(self._waiting), self.rate)])


class CallerPassing:
    """The caller's channel."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._arrivals = Arrivals(most=_MOST_PIECES)
        self._runs: deque[Run] = deque(maxlen=_MOST_PIECES)

    def push(self, arrived: float, frame: Frame) -> None:
        """Take a frame that arrived now, in seconds since the Unix epoch."""
        if self._runs and self._runs[-1].rate != frame.sample_rate:
            self._begin()
        seconds = frame.samples_per_channel / frame.sample_rate
        if self._arrivals.push(arrived - seconds, seconds):
            self._runs.append(Run(frame.sample_rate))
            self._forget(arrived - KEPT_SECONDS)
        self._runs[-1].push(frame)

    def heard(self) -> Iterator[tuple[float, Loudness]]:
        """The stretches that are kept, each with its start."""
        starts = self._arrivals.starts()
        return ((at, run.heard()) for at, run in zip(starts, self._runs, strict=True))

    def _forget(self, before: float) -> None:
        pieces = self._arrivals.pieces
        while len(pieces) > 1 and pieces[0].anchor + pieces[0].seconds < before:
            pieces.popleft()
            self._runs.popleft()


class AgentPassing:
    """The agent's channel: a run for each speech that is handed to the output."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._started: float | None = None
        self._played: list[tuple[float, float, float]] = []
        self._heard: deque[tuple[float, Loudness]] = deque()

    def push(self, frame: Frame) -> None:
        """Take a frame that is handed to the output."""
        if self._run is None or self._run.rate != frame.sample_rate:
            self._run = Run(frame.sample_rate)
        if self._run.seconds < _MOST_SECONDS:
            self._run.push(frame)

    def started(self, at: float) -> None:
        """The output says that it plays since then."""
        self._started = at if self._started is None else self._started

    def progressed(self, started: float, offset: float, seconds: float) -> None:
        """The output says when it played which stretch of the speech."""
        self._played.append((started, offset, seconds))

    def finished(self, seconds: float) -> None:
        """The speech is over, after so much of it was played."""
        if self._run is not None and self._started is not None:
            whole = self._run.heard()
            for at, offset, lasted in self._played or [(self._started, 0.0, seconds)]:
                steps = slice(*(round(t * STEPS_PER_SECOND) for t in (offset, offset + lasted)))
                self._heard.append((at, Loudness(whole.power[steps], whole.clipped[steps])))
        self._run, self._started, self._played = None, None, []
        while self._heard and self._heard[-1][0] - self._heard[0][0] > KEPT_SECONDS:
            self._heard.popleft()

    def heard(self) -> Iterator[tuple[float, Loudness]]:
        """The speeches that were played, each with its start."""
        return iter(self._heard)


def on_one_axis(stretches: Iterator[tuple[float, Loudness]], start: float, end: float) -> Loudness:
    """A channel from `start` to `end`, silent where nothing was heard."""
    length = max(round((end - start) * STEPS_PER_SECOND), 0)
    found = Loudness(np.zeros(length, np.float32), np.zeros(length, bool))
    for at, heard in stretches:
        first = round((at - start) * STEPS_PER_SECOND)
        place = slice(max(first, 0), max(min(first + len(heard.power), length), 0))
        part = slice(place.start - first, max(place.stop - first, place.start - first))
        if place.stop > place.start:
            found.power[place] += heard.power[part]
            found.clipped[place] |= heard.clipped[part]
    return found


class _Rest:
    """Samples that are left of frames: a frame again, of one channel."""

    num_channels = 1

    def __init__(self, samples: Floats, rate: int) -> None:
        self.data = np.rint(samples * 32768).astype(np.int16)
        self.sample_rate = rate
        self.samples_per_channel = len(samples)


def _mono(frames: list[Any]) -> Floats:
    """The samples of frames, -1 to 1; several channels are one."""
    parts = []
    for frame in frames:
        data = np.frombuffer(frame.data, np.int16)
        channels = frame.num_channels
        parts.append(data if channels == 1 else data.reshape(-1, channels).mean(axis=1))
    joined_parts = np.concatenate(parts) if parts else np.zeros(0, np.int16)
    samples: Floats = joined_parts.astype(np.float32) / np.float32(32768)
    return samples
