"""Where calls are kept under TRACING_DIR: in it, or where others can write to it, below it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

PRIVATE_NAME = "private"
"""The directory of our own in one that others can write."""
RECORDINGS_NAME = "recordings"
"""The directory of sessions' audio, beside the store."""
RECORDING_TYPES = {
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".webm": "audio/webm",
}
"""By suffix: the audio that browsers play."""

VIEWER_PORT = 8765
"""Where `python -m tracing view` shows them, unless it is told otherwise."""


def data_directory(directory: Path) -> Path:
    """Where store, reports and recordings are, of a TRACING_DIR.

    Where others can write, as in volumes of mode 0777, they could put files of theirs in the place
    of ours. What went below stays there when the mode is mended.
    """
    private = directory / PRIVATE_NAME
    return private if others_can_write(directory) or os.path.isdir(private) else directory


def others_can_write(directory: Path) -> bool:
    """Whether a directory's mode lets somebody else put files there; False where there is none."""
    try:
        return os.name != "nt" and bool(stat.S_IMODE(directory.stat().st_mode) & 0o022)
    except OSError:
        return False
