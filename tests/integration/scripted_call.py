"""One scripted voice call: `python -m tests.integration.scripted_call KIND`.

Where its spans and metrics go is said by the environment.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from livekit.agents import AgentSession, llm
from livekit.agents.llm import function_tool

from tests.sessions.accounts import NOT_PREEMPTIVE, Clerk
from tests.sessions.scripted import FakeLLM, Said
from tests.sessions.studio import Recorder, Studio, studio
from tracing import observe, setup_tracer

SCRIPT = {
    "hello": Said("Good evening."),
    "think": Said("After some thought, yes.", delay=0.9),
    "pay": Said(delay=0.05, tools=[("pay", "{}")]),
    "An internal error occurred": Said("That failed."),
    "find": Said(delay=0.05, tools=[("look_up", '{"what": "it"}')]),
    "looked up it": Said("Here it is."),
    "again": Said("At the second attempt.", failures=1),
    "talk": Said("It is a long story."),
    "stop": Said("Yes?"),
}


LOGGER = "my.app"
LOGGED = [
    ("on_enter", 9, "a call begins"),
    ("on_user_turn_completed", 13, "what was that"),
    ("function_tool", 17, "the booking service is away"),
]
"""What `logging` logs: in which span, as which of OpenTelemetry's severities, what."""


class LoggingClerk(Clerk):
    """Logs in hooks and in a tool."""

    logger = logging.getLogger(LOGGER)

    async def on_enter(self) -> None:
        self.logger.info(LOGGED[0][2])

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        if "find" in new_message.text_content:
            self.logger.warning(LOGGED[1][2])

    @function_tool
    async def look_up(self, what: str) -> str:
        """Look something up."""
        try:
            raise ConnectionError(what)
        except ConnectionError:
            self.logger.exception(LOGGED[2][2])
        return f"looked up {what}"


class LargeLLM(FakeLLM):
    """Another model."""

    model = "fake-llm-large"


async def plain(call: Studio) -> None:
    """A greeting, a reply within the budget, one above it."""
    await call.until_heard("Welcome")
    await _ask(call, "hello", "Good evening")
    await _ask(call, "think", "After some thought")


async def tools(call: Studio) -> None:
    """A tool that fails, one that does not, and an LLM that has to be asked again."""
    await _ask(call, "pay", "That failed")
    await _ask(call, "find", "Here it is")
    await _ask(call, "again", "At the second attempt")


async def interrupted(call: Studio) -> None:
    """A barge-in."""
    await call.caller.say("talk")
    await call.until(lambda: call.session.agent_state == "speaking")
    await call.caller.say("stop")
    await call.until_heard("Yes")


async def fallback(call: Studio) -> None:
    """A model that fails, so that another one serves."""
    await _ask(call, "hello", "Good evening")


async def log(call: Studio) -> None:
    """One turn with a tool, by a clerk that logs."""
    await _ask(call, "find", "Here it is")


KINDS: dict[str, Callable[[Studio], Awaitable[None]]] = {
    run.__name__: run for run in (plain, tools, interrupted, fallback, log)
}


async def _ask(call: Studio, says: str, answer: str) -> None:
    await call.caller.say(says)
    await call.until_heard(answer)


def _options(kind: str) -> dict[str, Any]:
    if kind == "interrupted":
        return {"tts_seconds": 1.5, "llm": LargeLLM(SCRIPT)}
    if kind == "fallback":
        failing = FakeLLM({"hello": Said("x", failures=99, failure_delay=0.01)})
        return {"llm": llm.FallbackAdapter([failing, LargeLLM(SCRIPT)], max_retry_per_llm=0)}
    return {}


def _observe(session: AgentSession[Any], recorder: Recorder) -> None:
    observe(session)


async def main(kind: str) -> None:
    """One call, and its end."""
    clerk = LoggingClerk() if kind == "log" else Clerk("Welcome." if kind == "plain" else "")
    options = {**NOT_PREEMPTIVE, **_options(kind)}
    async with studio(clerk, SCRIPT, prepare=_observe, recorder=Recorder(), **options) as call:
        await KINDS[kind](call)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    setup_tracer()
    asyncio.run(main(sys.argv[1]))
