"""Follows LiveKit's recorder: when it takes the caller's frames to have begun, as it is told."""

from __future__ import annotations

from typing import Any

from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice import io, recorder_io

from tracing.capture.sound.chains import keep_linked
from tracing.heard.recorders_clock import RecordersClock

_ON_FRAME = "_RecorderAudioInput__on_frame"
"""What the recorder's link calls with each frame that it records, and with when it began."""


def follow_recorder(session: AgentSession[Any]) -> RecordersClock | None:
    """Follow the session's recorder, if it comes to record; None where LiveKit's is another one."""
    module = getattr(recorder_io, "recorder_io", None)
    resync_seconds = getattr(module, "RESYNC_TOLERANCE", None)
    if not isinstance(resync_seconds, float):
        return None
    clock = RecordersClock(resync_seconds)

    def link(chain: io.AudioInput) -> io.AudioInput:
        if hasattr(chain, _ON_FRAME):
            _note(chain, clock)
        return chain

    return clock if keep_linked(session.input, link) else None


def _note(chain: Any, clock: RecordersClock) -> None:
    """Have the clock hear what the recorder hears; frames are left alone."""
    on_frame = getattr(chain, _ON_FRAME)

    def noted(started: float, frame: rtc.AudioFrame) -> None:
        on_frame(started, frame)
        clock.push(started, frame.duration)

    setattr(chain, _ON_FRAME, noted)
