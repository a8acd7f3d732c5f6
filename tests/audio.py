"""The recording of a session's audio, as LiveKit leaves it and as we keep it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import av
import numpy as np

from tracing.capture.sound.recording import save_recording

AUDIO = b"OggS" + bytes(range(256)) * 5000


def ogg(path: Path, seconds: int) -> Path:
    """A recording as LiveKit writes one: the caller sounds in even seconds, the agent in odd."""
    rate = 48_000
    times = np.arange(seconds * rate) / rate
    tone = 0.5 * np.sin(2 * np.pi * 440 * times)
    is_odd = times.astype(int) % 2 == 1
    samples = np.stack([tone * ~is_odd, tone * is_odd]).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=rate, layout="stereo")
        for at in range(0, samples.shape[1], rate):
            block = np.ascontiguousarray(samples[:, at : at + rate])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = rate, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def keep(source: Path, directory: Path, **bounds: Any) -> dict[str, Any]:
    """The attributes of a recording that there is time to keep."""
    return save_recording(source, directory, time.monotonic() + 10, **bounds)


def record(directory: Path) -> Path:
    """The file that LiveKit's recorder wrote into a job's own directory."""
    path = directory / "audio.ogg"
    path.parent.mkdir()
    path.write_bytes(AUDIO)
    return path
