"""What it costs to know what was heard: of a recording, and while the sound passes."""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from livekit import rtc
from livekit.agents.voice import io

from demo.audio import SAMPLE_RATE, load
from tracing.capture.sound.listening import HeardInput, HeardOutput, Listener
from tracing.heard.waiting import Waiting, WaitingTurn, leave, left, sounds

from .harness import Line, show

RECORDED_SECONDS = 600
WITHIN_SECONDS = 2.0
LISTENED_SECONDS = 120
SHARE = 0.002
TURN_SECONDS = 8
FRAME_SECONDS = 0.02
LIVE_RATE = 24_000
"""What LiveKit's room gives by default."""


def main(rounds: int = 5) -> bool:
    """Whether the targets were met."""
    with tempfile.TemporaryDirectory() as directory:
        path = _recording(Path(directory) / "audio.ogg")
        took = [_measure(Path(directory) / f"spool-{n}", path) for n in range(rounds)]
    wall, processor = (statistics.median(one) for one in zip(*took, strict=True))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    shares = [asyncio.run(_share()) for _ in range(rounds)]
    share = statistics.median(shares)
    return show(
        "What was heard",
        ("who", "measure 600 s: s", "of a processor: s", "peak MiB", "listen: us a second"),
        [
            Line(
                ("ours",),
                (wall, processor, peak, share * 1e6),
                f"at most {WITHIN_SECONDS:g} s, {SHARE:.1%}",
                met=wall <= WITHIN_SECONDS and share <= SHARE,
            )
        ],
    )


def _measure(spool: Path, recording: Path) -> tuple[float, float]:
    """Seconds by the clock and of a processor that the process takes for a recording."""
    sounds(spool).mkdir(parents=True)
    os.link(recording, sounds(spool) / recording.name)
    times = {"turn.agent_started_speaking_at": 5.0, "turn.agent_stopped_speaking_at": 8.0}
    turns = [
        WaitingTurn(f"{n:016x}", {key: at + n * TURN_SECONDS for key, at in times.items()})
        for n in range(RECORDED_SECONDS // TURN_SECONDS)
    ]
    leave(spool, Waiting("1" * 32, recording.name, 0.0, turns, [], {}, {}, {}))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    asyncio.run(_run(sys.executable, "-m", "tracing.heard", str(spool)))
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert not left(spool)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0


async def _share() -> float:
    """The processor's time that a second of a call takes more with a listener than without."""
    bare, heard = [await _pass_a_call(listened=listened) for listened in (False, True)]
    return (heard - bare) / LISTENED_SECONDS


async def _pass_a_call(*, listened: bool) -> float:
    """The processor's time in which the frames of a call pass its chains."""
    listener = Listener(clock=lambda: now[0])
    now = [1_700_000_000.0]
    frames = _frames(load("menu"))
    source: io.AudioInput = _Microphone(frames, now)
    sink: io.AudioOutput = _Nobody()
    if listened:
        source, sink = HeardInput(source, listener), HeardOutput(sink, listener)
    began, number = time.process_time(), 0
    async for frame in source:
        number += 1
        await sink.capture_frame(frame)
        if number % round(TURN_SECONDS / FRAME_SECONDS) == 0:
            sink.on_playback_started(created_at=now[0] - 3)
            sink.flush()
            sink.on_playback_finished(playback_position=3.0, interrupted=False)
            if listened:
                listener.heard(
                    {
                        "turn.agent_started_speaking_at": now[0] - 3,
                        "turn.agent_stopped_speaking_at": now[0],
                        "turn.user_stopped_speaking_at": now[0] - 4,
                        "turn.user_bot_latency_seconds": 1.0,
                    }
                )
    return time.process_time() - began


class _Microphone(io.AudioInput):
    """Gives the frames of a call at once."""

    def __init__(self, frames: list[rtc.AudioFrame], now: list[float]) -> None:
        super().__init__(label="microphone")
        self._frames, self._now, self._given = frames, now, 0

    def __aiter__(self) -> AsyncIterator[rtc.AudioFrame]:
        return self

    async def __anext__(self) -> rtc.AudioFrame:
        if self._given * FRAME_SECONDS >= LISTENED_SECONDS:
            raise StopAsyncIteration
        self._given += 1
        self._now[0] += FRAME_SECONDS
        return self._frames[self._given % len(self._frames)]


class _Nobody(io.AudioOutput):
    """Plays to nobody."""

    def __init__(self) -> None:
        super().__init__(label="nobody", capabilities=io.AudioOutputCapabilities(pause=True))

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)

    def flush(self) -> None:
        super().flush()

    def clear_buffer(self) -> None:
        """There is none."""


def _frames(samples: Any) -> list[rtc.AudioFrame]:
    length = round(FRAME_SECONDS * LIVE_RATE)
    return [
        rtc.AudioFrame(samples[at : at + length].tobytes(), LIVE_RATE, 1, length)
        for at in range(0, len(samples) - length, length)
    ]


def _recording(path: Path) -> Path:
    """Ten minutes of two people who speak in turn, as LiveKit records them."""
    rate = 48_000
    clips = [np.repeat(load(name), rate // SAMPLE_RATE) / 32768 for name in ("menu", "no-meat")]
    with av.open(str(path), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=rate, layout="stereo")
        for turn in range(RECORDED_SECONDS // TURN_SECONDS):
            samples = np.zeros((2, TURN_SECONDS * rate), np.float32)
            for channel, at in ((0, 0.5), (1, 5.0)):
                clip = clips[(turn + channel) % 2][: 3 * rate]
                samples[channel, round(at * rate) : round(at * rate) + len(clip)] = clip
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = rate, turn * TURN_SECONDS * rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
