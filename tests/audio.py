"""The recording of a session's audio, as LiveKit leaves it and as we keep it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tracing.capture.langfuse.recording import save_recording

AUDIO = b"OggS" + bytes(range(256)) * 5000


def keep(source: Path, directory: Path, **bounds: Any) -> dict[str, Any]:
    """The attributes of a recording that there is time to keep."""
    return save_recording(source, directory, time.monotonic() + 10, **bounds)


def record(directory: Path) -> Path:
    """The file that LiveKit's recorder wrote into a job's own directory."""
    path = directory / "audio.ogg"
    path.parent.mkdir()
    path.write_bytes(AUDIO)
    return path
