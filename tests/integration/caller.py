"""A caller in a LiveKit room: a microphone that plays recordings, and an ear for the agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from livekit import api, rtc

from demo.audio import FRAME_SECONDS, SAMPLE_RATE, load

API_KEY, API_SECRET = "devkey", "secret"
"""What `livekit-server --dev` takes."""

PATIENCE_SECONDS = 30.0
AGENT_STATE = "lk.agent.state"
"""The participant attribute in which an agent says what it does."""

_FRAME_SAMPLES = int(FRAME_SECONDS * SAMPLE_RATE)
_MICROPHONE_MILLIS = 100
_LOUD = 500
"""Root mean square of samples that are speech."""


class Caller:
    """One person on the line."""

    def __init__(self, room: rtc.Room) -> None:
        self.heard_seconds = 0.0
        """How much of what came from the agent was not silence."""
        self._room = room
        self._words = np.zeros(0, np.int16)
        self._silent = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        room.on("track_subscribed", self._on_track_subscribed)

    async def say(self, clip: str) -> None:
        """Play a recording of `demo/clips`, and return when it is over."""
        self._silent.clear()
        self._words = load(clip)
        await self._silent.wait()

    async def hear(self, seconds: float = 0.5) -> None:
        """When so much more of the agent's voice has come."""
        enough = self.heard_seconds + seconds
        await _until(lambda: self.heard_seconds >= enough, "the agent was not heard")

    async def wait_for_turn(self) -> None:
        """When the agent listens."""
        await _until(lambda: "listening" in self._agent_states(), "the agent did not listen")

    async def open_microphone(self) -> None:
        """Publish a track, which carries silence until something is said."""
        source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=_MICROPHONE_MILLIS)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self._room.local_participant.publish_track(track, options)
        self._start(self._speak(source))

    async def hang_up(self) -> None:
        """Fall silent and leave the room."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._room.disconnect()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    def _agent_states(self) -> set[str]:
        people = self._room.remote_participants.values()
        return {person.attributes.get(AGENT_STATE, "") for person in people}

    def _on_track_subscribed(self, track: rtc.Track, *_: object) -> None:
        self._start(self._listen(track))

    async def _listen(self, track: rtc.Track) -> None:
        async for event in rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1):
            samples = np.frombuffer(event.frame.data, np.int16).astype(np.float64)
            if np.sqrt(np.mean(samples**2)) > _LOUD:
                self.heard_seconds += event.frame.duration

    async def _speak(self, source: rtc.AudioSource) -> None:
        """Feed the microphone, which takes a frame when its time has come."""
        while True:
            await source.capture_frame(self._next_frame())

    def _next_frame(self) -> rtc.AudioFrame:
        now, self._words = np.split(self._words, [_FRAME_SAMPLES])
        if not len(self._words):
            self._silent.set()
        now = np.pad(now, (0, _FRAME_SAMPLES - len(now)))
        return rtc.AudioFrame(now.tobytes(), SAMPLE_RATE, 1, _FRAME_SAMPLES)


@asynccontextmanager
async def calling(url: str, room_name: str, identity: str) -> AsyncIterator[Caller]:
    """Join a room with an open microphone, and hang up in the end."""
    grants = api.VideoGrants(room_join=True, room=room_name)
    token = api.AccessToken(API_KEY, API_SECRET).with_identity(identity).with_grants(grants)
    room = rtc.Room()
    caller = Caller(room)
    await room.connect(url, token.to_jwt())
    try:
        await caller.open_microphone()
        yield caller
    finally:
        await caller.hang_up()


async def _until(condition: Callable[[], bool], otherwise: str) -> None:
    """When the condition is true; fails with `otherwise` after a caller's patience."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"{otherwise} within {PATIENCE_SECONDS} s")
        await asyncio.sleep(0.02)
