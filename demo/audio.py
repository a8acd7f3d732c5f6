"""Sound without a sound card: recordings, a microphone that plays them, a loudspeaker."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
import numpy.typing as npt
from livekit import rtc
from livekit.agents.voice import io

Samples: TypeAlias = npt.NDArray[np.int16]

CLIPS = Path(__file__).parent / "clips"
SAMPLE_RATE = 16_000
FRAME_SECONDS = 0.02


def load(name: str) -> Samples:
    """A recording of `demo/clips` as mono samples."""
    with av.open(str(CLIPS / f"{name}.ogg")) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


class Microphone(io.AudioInput):
    """Gives silence in real time, and what it is told to play when it is told."""

    def __init__(self) -> None:
        super().__init__(label="Microphone")
        self._frame_samples = int(FRAME_SECONDS * SAMPLE_RATE)
        self._playing = np.zeros(0, np.int16)
        self._done = asyncio.Event()
        self._due: float | None = None

    async def play(self, samples: Samples) -> None:
        """Play a recording and return when it is over."""
        self._done.clear()
        self._playing = samples
        await self._done.wait()

    async def __anext__(self) -> rtc.AudioFrame:
        """The next frame when its time has come."""
        self._due = (self._due or time.monotonic()) + FRAME_SECONDS
        await asyncio.sleep(max(self._due - time.monotonic(), 0))
        now, self._playing = np.split(self._playing, [self._frame_samples])
        if not len(self._playing):
            self._done.set()
        now = np.pad(now, (0, self._frame_samples - len(now)))
        return rtc.AudioFrame(now.tobytes(), SAMPLE_RATE, 1, self._frame_samples)


class Loudspeaker(io.AudioOutput):
    """Plays to nobody, as fast as a sound card would: it can be paused and cut short."""

    def __init__(self) -> None:
        super().__init__(
            label="Loudspeaker",
            capabilities=io.AudioOutputCapabilities(pause=True),
            sample_rate=SAMPLE_RATE,
        )
        self._pushed = 0.0
        self._started = 0.0
        self._paused: float | None = None
        self._cut = asyncio.Event()
        self._playout: asyncio.Task[None] | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Take a frame to play after those that it has."""
        if self._playout is not None:
            await self._playout
        await super().capture_frame(frame)
        now = time.monotonic()
        if not self._pushed:
            self._started = now
            self.on_playback_started(created_at=time.time())
        elif now - self._started > self._pushed and self._paused is None:
            self._started = now - self._pushed  # it had run dry
        self._pushed += frame.duration

    def flush(self) -> None:
        """Take the frames so far as a whole, and report when they are played."""
        super().flush()
        if self._pushed and self._playout is None:
            self._playout = asyncio.create_task(self._play_out())

    def clear_buffer(self) -> None:
        """Stop at once."""
        if self._pushed:
            self._cut.set()

    def pause(self) -> None:
        """Hold the sound back, to go on later."""
        super().pause()
        self._paused = self._paused or time.monotonic()

    def resume(self) -> None:
        """Go on after a pause."""
        super().resume()
        if self._paused is not None:
            self._started += time.monotonic() - max(self._paused, self._started)
            self._paused = None

    def _position(self) -> float:
        """How many seconds of the pushed sound have been played."""
        elapsed = (self._paused or time.monotonic()) - self._started
        return min(max(elapsed, 0.0), self._pushed)

    async def _play_out(self) -> None:
        while not self._cut.is_set() and (left := self._pushed - self._position()) > 0:
            try:
                await asyncio.wait_for(self._cut.wait(), max(left, FRAME_SECONDS))
            except asyncio.TimeoutError:
                continue
        position, interrupted = self._position(), self._cut.is_set()
        self._pushed, self._paused, self._playout = 0.0, None, None
        self._cut.clear()
        self.on_playback_finished(playback_position=position, interrupted=interrupted)
