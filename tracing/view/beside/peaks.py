"""The peaks of a recording's two channels, from which a page draws its waveform."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path

import av
import numpy as np

from tracing.heard.loudness import Floats
from tracing.heard.recording_file import seconds_of

PEAKS_PER_SECOND = 25

_KEPT = 16


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
    with contextlib.suppress(av.FFmpegError):
        for second in seconds_of(path):
            found += _loudest(second)
    return bytes(found)


def _loudest(second: Floats) -> bytes:
    window = second.shape[1] // PEAKS_PER_SECOND
    windows = np.abs(second[:, : window * PEAKS_PER_SECOND]).reshape(2, PEAKS_PER_SECOND, window)
    scaled: bytes = np.clip(windows.max(axis=2) * 255, 0, 255).astype(np.uint8).T.tobytes()
    return scaled
