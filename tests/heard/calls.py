"""A made call of two channels whose every sound is known, and the stamps of its turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.heard.sounds import RATE, Samples, clip, placed, tone

BEGAN = 1_700_000_000.0
"""When the recording begins."""
SECONDS = 24.0

CALLER = ((4.0, clip("hours")), (12.0, tone(1.5)))
AGENT = ((1.0, tone(1.0, 300)), (7.0, tone(2.0, 300)), (14.5, tone(1.0, 300)), (17.0, tone(1.0)))


def turn(began: float, stopped: float, **more: Any) -> dict[str, float | bool]:
    """The stamps of a turn, with times of the recording; `word`: where its latency is from."""
    told: dict[str, float | bool] = {
        "turn.agent_started_speaking_at": BEGAN + began,
        "turn.agent_stopped_speaking_at": BEGAN + stopped,
    }
    if (word := more.pop("word", None)) is not None:
        told["turn.user_stopped_speaking_at"] = BEGAN + word
        told["turn.user_bot_latency_seconds"] = began - word
    return {**told, **more}


TURNS = [
    turn(0.95, 2.0),
    turn(6.97, 9.0, word=6.0),
    turn(14.45, 18.0, word=13.6),
]
"""A greeting, an answer to speech that ends at 5.9, and one with a silence to a tone's end."""


def both(caller: Samples | None = None, agent: Samples | None = None) -> Samples:
    """The call's channels, or others in their place."""
    caller = placed(*CALLER, seconds=SECONDS) if caller is None else caller
    agent = placed(*AGENT, seconds=SECONDS) if agent is None else agent
    return np.stack([caller, agent])


def written(
    path: Path, samples: Samples, *, rate: int = RATE, codec: str = "libopus", **options: Any
) -> Path:
    """A recording of one row of samples for each channel, as LiveKit writes it or otherwise."""
    layout = "mono" if len(samples) == 1 else "stereo"
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=48_000 if codec == "libopus" else rate)
        stream.layout = layout
        resampler = av.AudioResampler(stream.format.name, layout, stream.rate)
        interleaved = np.ascontiguousarray(samples.astype(np.float32))
        frame = av.AudioFrame.from_ndarray(interleaved, format="fltp", layout=layout)
        frame.sample_rate = rate
        for ready in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(ready))
        container.mux(stream.encode(None))
    return path
