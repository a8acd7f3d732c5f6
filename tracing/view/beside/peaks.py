"""The peaks of a recording's two channels, from which a page draws its waveform."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

PEAKS_PER_SECOND = 25

_MAX_SECONDS = 6 * 3600
_KEPT = 16

Samples = np.ndarray[Any, Any]
"""Two rows of samples, -1 to 1."""


def peaks(path: Path) -> bytes:
    """The loudest of every 40 ms, 0 to 255: the caller's channel, the agent's, and so on in turn.

    Empty for what cannot be decoded. The last ones are kept in memory; of a recording of more than
    six hours the rest is left out. Raises OSError where there is no file.
    """
    status = path.stat()
    return _peaks(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(_KEPT)
def _peaks(path: Path, _modified: int, _size: int) -> bytes:
    found = bytearray()
    for second in _decoded(path):
        found += _loudest(second)
        if len(found) >= 2 * PEAKS_PER_SECOND * _MAX_SECONDS:
            break
    return bytes(found)


def _decoded(path: Path) -> Iterator[Samples]:
    """Both channels, second by second, as far as the file can be decoded."""
    resampler = av.AudioResampler(format="fltp", layout="stereo")
    frames: list[Samples] = []
    samples, rate = 0, 1
    with contextlib.suppress(av.error.FFmpegError, IndexError), av.open(str(path)) as container:
        for decoded in container.decode(audio=0):
            for frame in resampler.resample(decoded):
                frames.append(frame.to_ndarray())
                samples, rate = samples + frame.samples, frame.sample_rate
            while samples >= rate:
                joined = np.concatenate(frames, axis=1)
                yield joined[:, :rate]
                frames, samples = [joined[:, rate:]], samples - rate
    if samples:
        joined = np.concatenate(frames, axis=1)
        yield np.pad(joined, ((0, 0), (0, rate - samples)))


def _loudest(second: Samples) -> bytes:
    window = second.shape[1] // PEAKS_PER_SECOND
    windows = np.abs(second[:, : window * PEAKS_PER_SECOND]).reshape(2, PEAKS_PER_SECOND, window)
    scaled: bytes = np.clip(windows.max(axis=2) * 255, 0, 255).astype(np.uint8).T.tobytes()
    return scaled
