"""The job that `agent_entry.py demo` runs: the deployed agent, with a caller made of recordings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Sequence

from livekit.agents import (
    AgentSession,
    AgentStateChangedEvent,
    CloseEvent,
    JobContext,
    JobProcess,
    utils,
)
from livekit.agents.voice.room_io import RoomOptions
from livekit.agents.voice.transcription import TranscriptSynchronizer

from agent_entry import Host
from demo import script
from demo.audio import Loudspeaker, Microphone, load
from demo.models import offline_models
from demo.terminal import Terminal
from tracing import observe

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.5
"""How long the caller lets the agent be silent before speaking."""
BARGE_IN_SECONDS = 2.0
"""How long the caller listens before interrupting."""
PATIENCE_SECONDS = 12.0
"""How long the caller waits for an answer before going on."""


def prewarm(process: JobProcess) -> None:
    """Load what is slow to load before the call is waiting for it."""
    process.userdata["models"] = offline_models()
    with contextlib.suppress(ImportError):
        # The stand-in for a room in a simulated job: 0.2 s to build on a slow machine, then kept.
        from livekit.agents.ipc.mock_room import create_mock_room

        create_mock_room()


async def entrypoint(ctx: JobContext) -> None:
    """Answer the call; the caller ends it, and with it the job."""
    options = json.loads(ctx.job.room.metadata)
    models = ctx.proc.userdata["models"]
    models["turn_handling"]["preemptive_generation"] = {"enabled": options["preemptive"]}
    session: AgentSession[None] = AgentSession(**models)
    # What is recorded is measured after the call; to compare, it is listened to as well.
    observe(session, user_id="demo-caller", listen=options["record"])
    terminal, caller = Terminal(session), Caller(session)
    _connect(session, terminal, caller.microphone)

    def hang_up(event: CloseEvent) -> None:
        caller.stop()
        terminal.stop()
        ctx.shutdown("the session failed" if event.error else "the caller hung up")

    session.on("close", hang_up)
    terminal.start()
    room_options = RoomOptions(audio_input=False, audio_output=False, text_output=False)
    await session.start(
        agent=Host(), room=ctx.room, room_options=room_options, record=options["record"]
    )
    caller.start(script.TURNS[: options["turns"]])


def _connect(session: AgentSession[None], terminal: Terminal, microphone: Microphone) -> None:
    """Give a session ears, a mouth, and words that appear as they are heard."""
    voice = TranscriptSynchronizer(next_in_chain_audio=Loudspeaker(), next_in_chain_text=terminal)
    session.input.audio = microphone
    session.output.audio = voice.audio_output
    session.output.transcription = voice.text_output


class Caller:
    """Speaks the script's lines when a person would: after the agent, or into its words."""

    def __init__(self, session: AgentSession[None]) -> None:
        self.microphone = Microphone()
        self._session = session
        self._spoke = asyncio.Event()
        self._silent = asyncio.Event()
        self._speaking: asyncio.Task[None] | None = None
        session.on("agent_state_changed", self._on_agent_state)

    def start(self, turns: Sequence[script.Turn]) -> None:
        """Begin to speak; after the last line, and the answer to it, the caller hangs up."""
        self._speaking = asyncio.create_task(self._speak(turns))

    def stop(self) -> None:
        """Fall silent, whatever is left to say."""
        if self._speaking is not None:
            self._speaking.cancel()

    def _on_agent_state(self, event: AgentStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self._spoke.set()
        if event.new_state == "listening":
            self._silent.set()
        else:
            self._silent.clear()

    @utils.log_exceptions(logger=logger)
    async def _speak(self, turns: Sequence[script.Turn]) -> None:
        try:
            for turn in turns:
                await (self._until_in_full_flow() if turn.barge_in else self._until_silent())
                self._spoke.clear()
                await self.microphone.play(load(turn.clip))
            await self._until_silent()
        finally:
            self._session.shutdown()

    async def _until_in_full_flow(self) -> None:
        await self._until(self._spoke)
        await asyncio.sleep(BARGE_IN_SECONDS)

    async def _until_silent(self) -> None:
        await self._until(self._spoke)
        await self._until(self._silent)
        await asyncio.sleep(PAUSE_SECONDS)
        while not self._silent.is_set():
            await self._until(self._silent)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _until(self, event: asyncio.Event) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(event.wait(), PATIENCE_SECONDS)
