"""`observe(session, listen=True)`: frames are heard as they pass the session's input and output.

A link of our own in both chains, as LiveKit's recorder is one: it hands on what it gets, at once
and as it is. What a turn sounded like is known when the turn ends, and stamped on it there.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice import io

from tracing.capture.redaction import without_words
from tracing.capture.sound.chains import keep_linked
from tracing.heard.passing import KEPT_SECONDS, AgentPassing, CallerPassing, on_one_axis
from tracing.heard.turns import Sound, Turn
from tracing.limits import OncePerMinute
from tracing.safe_text import get_logger
from tracing.span import Attributes

logger = get_logger(__name__)

_BEFORE_SECONDS = 15.0
"""Of what a turn answers, so much before the agent's first sound is looked at."""


class Listener:
    """Hears one session; never raises into it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.caller, self.agent = CallerPassing(), AgentPassing()
        self._clock = clock
        self._complaint = OncePerMinute()

    def attach(self, session: AgentSession[Any]) -> None:
        """Put a link into both chains, now or as soon as they are there."""
        has_input = keep_linked(session.input, self._input)
        if not (has_input and keep_linked(session.output, self._output)):
            logger.warning("listen=True: this LiveKit's chains of audio are not known")

    def heard(self, stamped: Attributes) -> Attributes:
        """What was heard of a turn that ends, by its stamps, as more of them."""
        try:
            turn = Turn.of(stamped)
            return {} if turn is None else self._sound_around(turn).heard(turn)
        except Exception as error:
            self.complain(error)
            return {}

    def complain(self, error: Exception) -> None:
        """Say that listening failed: it costs numbers, and never the call."""
        if self._complaint.is_due():
            logger.error("what was heard could not be measured", exc_info=without_words(error))

    def caller_frame(self, frame: rtc.AudioFrame) -> None:
        """A frame of the caller has arrived."""
        try:
            self.caller.push(self._clock(), frame)
        except Exception as error:
            self.complain(error)

    def told(self, tell: Callable[..., None], *what: Any) -> None:
        """Something is known of the agent's sound."""
        try:
            tell(*what)
        except Exception as error:
            self.complain(error)

    def _sound_around(self, turn: Turn) -> Sound:
        asked = turn.began if turn.word is None else min(turn.word, turn.began)
        end = max(self._clock(), turn.stopped)
        start = max(asked - _BEFORE_SECONDS, end - KEPT_SECONDS)
        caller = on_one_axis(self.caller.heard(), start, end)
        agent = on_one_axis(self.agent.heard(), start, end)
        return Sound(caller, agent, start)

    def _input(self, source: io.AudioInput) -> io.AudioInput:
        return source if _has(source, "source", HeardInput) else HeardInput(source, self)

    def _output(self, sink: io.AudioOutput) -> io.AudioOutput:
        return sink if _has(sink, "next_in_chain", HeardOutput) else HeardOutput(sink, self)


class HeardInput(io.AudioInput):
    """The link in the caller's chain."""

    def __init__(self, source: io.AudioInput, listener: Listener) -> None:
        super().__init__(label="tracing", source=source)
        self._from = source
        self._listener = listener

    def __aiter__(self) -> AsyncIterator[rtc.AudioFrame]:
        return self

    async def __anext__(self) -> rtc.AudioFrame:
        """The next frame, as it comes."""
        frame = await self._from.__anext__()
        self._listener.caller_frame(frame)
        return frame


class HeardOutput(io.AudioOutput):
    """The link in the agent's chain."""

    def __init__(self, sink: io.AudioOutput, listener: Listener) -> None:
        pauses = io.AudioOutputCapabilities(pause=True)
        super().__init__(label="tracing", next_in_chain=sink, capabilities=pauses)
        self._listener = listener

    @property
    def sample_rate(self) -> int | None:
        """What the output asks for."""
        return self.next_in_chain.sample_rate if self.next_in_chain else None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Hand on a frame."""
        if self.next_in_chain is not None:
            await self.next_in_chain.capture_frame(frame)
        await super().capture_frame(frame)
        self._listener.told(self._listener.agent.push, frame)

    def flush(self) -> None:
        """Hand on that a speech is whole."""
        super().flush()
        if self.next_in_chain is not None:
            self.next_in_chain.flush()

    def clear_buffer(self) -> None:
        """Hand on that a speech is cut off."""
        if self.next_in_chain is not None:
            self.next_in_chain.clear_buffer()

    def on_playback_started(self, *, created_at: float) -> None:
        """The output plays."""
        self._listener.told(self._listener.agent.started, created_at)
        super().on_playback_started(created_at=created_at)

    def on_playback_progressed(self, *, started_at: float, offset: float, duration: float) -> None:
        """The output has played a stretch."""
        self._listener.told(self._listener.agent.progressed, started_at, offset, duration)
        super().on_playback_progressed(started_at=started_at, offset=offset, duration=duration)

    def on_playback_finished(
        self,
        *,
        playback_position: float,
        interrupted: bool,
        synchronized_transcript: str | None = None,
    ) -> None:
        """The output has played a speech, or what of it was to be played."""
        self._listener.told(self._listener.agent.finished, playback_position)
        super().on_playback_finished(
            playback_position=playback_position,
            interrupted=interrupted,
            synchronized_transcript=synchronized_transcript,
        )


def _has(chain: Any, below: str, kind: type) -> bool:
    """Whether a link of this kind is in a chain."""
    while chain is not None:
        if isinstance(chain, kind):
            return True
        chain = getattr(chain, below)
    return False
