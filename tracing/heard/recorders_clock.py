"""How late LiveKit's recorder places the caller's channel: noted while it records, mended after.

The recorder puts a run of frames where the first of them arrived, and begins another where a frame
is off by more than its tolerance. So a first frame that was late, as after a loop that stood still,
makes its whole run late, by up to 0.1 s. Nothing of the sound is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracing.heard.arrivals import Arrivals
from tracing.heard.loudness import STEPS_PER_SECOND, Loudness
from tracing.heard.passing import on_one_axis

_MOST_PIECES = 2000


class RecordersClock:
    """Follows a recorder whose tolerance is `resync_seconds`."""

    def __init__(self, resync_seconds: float) -> None:
        self._arrivals = Arrivals(most=_MOST_PIECES, resync_seconds=resync_seconds)

    def push(self, started: float, seconds: float) -> None:
        """A frame of so many seconds is recorded, and began then, by when it arrived."""
        self._arrivals.push(started, seconds)

    def runs(self) -> list[tuple[float, float]]:
        """Of each run, or piece of one, where it was put and where it belongs.

        Seconds since the Unix epoch.
        """
        anchors = (piece.anchor for piece in self._arrivals.pieces)
        return list(zip(anchors, self._arrivals.starts(), strict=True))


def in_place(channel: Loudness, began: float, runs: Sequence[tuple[float, float]]) -> Loudness:
    """A channel of a recording that `began` then, with each run where it belongs."""
    if not runs:
        return channel
    return on_one_axis(_runs_of(channel, began, runs), 0.0, channel.seconds)


def _runs_of(
    channel: Loudness, began: float, runs: Sequence[tuple[float, float]]
) -> Iterator[tuple[float, Loudness]]:
    """Each run, with where it belongs in the recording; what two runs share is the later one's."""
    starts = [max(round((at - began) * STEPS_PER_SECOND), 0) for at, _ in runs]
    ends = [*starts[1:], len(channel.power)]
    for (at, belongs), start, end in zip(runs, starts, ends, strict=True):
        if end > start:
            part = Loudness(channel.power[start:end], channel.clipped[start:end])
            yield max(at - began, 0.0) + belongs - at, part
