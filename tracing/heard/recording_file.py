"""A call's recording, decoded by PyAV: second by second, and as loudness of both sides."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np

from tracing.heard.loudness import Floats, Loudness, joined, loudness
from tracing.spool.files import NO_LINK

MAX_SECONDS = 6 * 3600
"""What a recording has beyond this is left out."""

_PART_SECONDS = 120
"""What lasts twice as long is decoded in two parts at once."""
_RUN_UP_SECONDS = 1.0
"""Decoded and dropped before a part: a codec has to find its way."""
_CONTAINERS = "ogg,wav,mp3,flac,mov,matroska,webm"
"""What FFmpeg may take the file for: none that refers to other files, as a playlist does."""


class NotMeasured(Exception):
    """Why a recording tells nothing, in words."""


def seconds_of(path: Path, start: int = 0, end: int = MAX_SECONDS) -> Iterator[Floats]:
    """Both channels of a recording, a second each time: two rows of samples, -1 to 1.

    As far as it can be decoded; what is mono is on both, and the last second is filled up with
    silence. Empty for what is no recording. Raises OSError where there is no plain file.
    """
    with opened(path) as container, contextlib.suppress(av.FFmpegError, IndexError):
        yield from _seconds(container, start, end)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A recording, open; raises OSError or av.FFmpegError."""
    with (
        os.fdopen(os.open(path, os.O_RDONLY | NO_LINK), "rb") as file,
        av.open(file, options={"format_whitelist": _CONTAINERS}) as container,
    ):
        yield container


def loudness_of(path: Path) -> tuple[Loudness, Loudness]:
    """The loudness of the caller and of the agent, each a channel of the recording.

    Raises NotMeasured where it cannot be decoded, or has not one channel for each.
    """
    seconds = _checked_seconds(path)
    middle = int(seconds / 2) if seconds >= 2 * _PART_SECONDS else 0
    parts = [(0, middle), (middle, MAX_SECONDS)] if middle else [(0, MAX_SECONDS)]
    try:
        with ThreadPoolExecutor(len(parts)) as pool:  # FFmpeg decodes without Python's lock
            found = list(pool.map(lambda part: _part(path, *part), parts))
    except (OSError, av.FFmpegError) as error:
        raise NotMeasured(f"it cannot be read: {error}") from error
    caller, agent = (joined([channel for part in found for channel in part[n]]) for n in (0, 1))
    if not len(caller.power):
        raise NotMeasured("nothing in it can be decoded")
    return caller, agent


def _checked_seconds(path: Path) -> float:
    """How long the recording says it is; 0.0 where it does not."""
    try:
        with opened(path) as container:
            if not container.streams.audio:
                raise NotMeasured("it has no sound")
            channels = container.streams.audio[0].codec_context.channels
            if channels != 2:
                raise NotMeasured(f"it has {channels} channel, not one for each side")
            return (container.duration or 0) / av.time_base
    except (OSError, av.FFmpegError) as error:
        raise NotMeasured(f"it cannot be read: {error}") from error


def _part(path: Path, start: int, end: int) -> tuple[list[Loudness], list[Loudness]]:
    """Both channels of a part of a recording, by seconds."""
    found: tuple[list[Loudness], list[Loudness]] = ([], [])
    for second in seconds_of(path, start, end):
        for channel, samples in zip(found, second, strict=True):
            channel.append(loudness(samples, second.shape[1]))
    return found


def _seconds(container: Any, start: int, end: int) -> Iterator[Floats]:
    stream = container.streams.audio[0]
    rate = stream.rate
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=rate)
    if start:
        container.seek(round((start - _RUN_UP_SECONDS) * av.time_base))
    waiting, left, early = av.AudioFifo(), (end - start) * rate, 0
    for frame in _frames(container, resampler):
        if start and not waiting.samples_written:
            # Of Opus the first sample is not at 0: what its encoder runs ahead was cut off.
            begun = float(frame.pts * frame.time_base - (stream.start_time or 0) * stream.time_base)
            early = round((start - begun) * rate)
        frame.pts = None
        waiting.write(frame)
        if 0 < early <= waiting.samples:
            waiting.read(early)
            early = 0
        while waiting.samples >= rate and early <= 0 < left:
            left -= rate
            yield _taken(waiting, rate)
        if left <= 0:
            return
    if waiting.samples and early <= 0:
        yield _taken(waiting, rate)


def _taken(waiting: av.AudioFifo, samples: int) -> Floats:
    """The next samples of both channels, and silence where there are fewer."""
    frame = waiting.read(samples, partial=True)
    taken: Any = np.zeros((2, 0), np.float32) if frame is None else frame.to_ndarray()
    return np.pad(taken, ((0, 0), (0, samples - taken.shape[1])))


def _frames(container: Any, resampler: av.AudioResampler) -> Iterator[Any]:
    """The frames as far as they can be decoded."""
    with contextlib.suppress(av.FFmpegError):
        for decoded in container.decode(audio=0):
            yield from resampler.resample(decoded)
        yield from resampler.resample(None)
