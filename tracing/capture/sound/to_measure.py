"""A session's recording is left to be measured: where it is, and the ids and times of its turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from livekit.agents import AgentSession

from tracing import stamps
from tracing.account.turns.turn import Turn
from tracing.capture.sound.recorder_link import follow_recorder
from tracing.capture.sound.recording import (
    WITHIN_SECONDS,
    NotSaved,
    closed_recorder,
    save_recording,
)
from tracing.heard.recorders_clock import RecordersClock
from tracing.heard.waiting import MAX_TURNS, TOLD_BY, Waiting, WaitingTurn, leave, sounds
from tracing.safe_text import get_logger
from tracing.span import Attributes

logger = get_logger(__name__)


class Measurable(NamedTuple):
    """What the spans of a measurement are written with, as this process's own are."""

    spool: Path
    resource: Attributes
    labels: Mapping[str, Any]


class HeardTurns:
    """Watches a session: which of its turns were heard, and when."""

    def __init__(self) -> None:
        self.trace_id = b""
        self._turns: list[WaitingTurn] = []
        self._clock: RecordersClock | None = None

    def follow(self, session: AgentSession[Any]) -> None:
        """Note where the session's recorder puts the caller's channel, if it comes to record."""
        self._clock = follow_recorder(session)

    def turn_ended(self, turn: Turn, stamped: Attributes) -> None:
        """Note a turn of which something was heard; on the voice loop."""
        if stamps.TURN_AGENT_STARTED in stamped and len(self._turns) < MAX_TURNS:
            told = {key: stamped[key] for key in TOLD_BY if key in stamped}
            self.trace_id = turn.span.trace_id
            self._turns.append(WaitingTurn(turn.span.span_id.hex(), told))  # type: ignore[arg-type]

    def session_ended(self, stamped: Attributes) -> None:
        """A session is its turns."""

    async def leave(self, session: Any, measurable: Measurable, shared: Attributes) -> None:
        """Leave the session's recording to be measured, where there is one.

        `shared` is what the call's spans carry. LiveKit's own file goes with its job, so another
        name is made for it, or a copy.
        """
        deadline = time.monotonic() + WITHIN_SECONDS
        try:
            recorder = await closed_recorder(session, deadline)
            began = getattr(recorder, "recording_started_at", None)
            if recorder is None or began is None or not self._turns:
                return
            found = Waiting(
                self.trace_id.hex(),
                "",
                float(began),
                self._turns,
                self._clock.runs() if self._clock is not None else [],
                dict(shared),
                dict(measurable.resource),
                dict(measurable.labels),
            )
            await asyncio.to_thread(
                _leave, measurable.spool, Path(recorder.output_path), found, deadline
            )
        except (NotSaved, OSError) as error:
            logger.warning("the recording of this call is not measured: %s", error)


def _leave(spool: Path, recording: Path, found: Waiting, deadline: float) -> None:
    taken = save_recording(recording, sounds(spool), deadline)
    sound = Path(str(taken[stamps.RECORDING_PATH])).name
    given_up = leave(spool, msgspec.structs.replace(found, sound=sound))
    if given_up:
        logger.warning("recordings of %d older calls are not measured: too many wait", given_up)
