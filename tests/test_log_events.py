"""Warnings and errors that are logged, as Langfuse shows them: events of the observation."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession
from livekit.agents.llm import function_tool
from livekit.agents.telemetry import tracer

from tests.fakes import RecordingServer, until
from tests.langfuse_server import LangfuseServer
from tests.sessions.scripted import FakeLLM, Said
from tracing import Langfuse, Otlp, setup_tracer

pytestmark = pytest.mark.usefixtures("in_thread")

SECRET = "ann@example.org"
app = logging.getLogger("my.app")
SCRIPT = {
    "A table, please.": Said("", 0.0, tools=[("book", "{}")]),
    "booked": Said("Done.", 0.0),
}


@pytest.fixture
def langfuse() -> Iterator[LangfuseServer]:
    """A Langfuse."""
    with LangfuseServer() as found:
        yield found


class LoggingLLM(FakeLLM):
    """Warns while it is asked, as a plugin does, in a span that Langfuse is not shown otherwise."""

    def chat(self, **asked: Any) -> Any:
        """Warn of something, and answer."""
        logging.getLogger("a.plugin").warning("an old model")
        return super().chat(**asked)


@function_tool
async def book() -> str:
    """Book a table."""
    app.warning("the kitchen is slow for %s", SECRET)
    try:
        raise ConnectionError(f"no route to {SECRET}")
    except ConnectionError:
        app.exception("cannot reach the kitchen")
    app.info("of no interest")
    return "booked"


async def call() -> bytes:
    """One call that logs in its job, in a tool and in the node of its LLM; its trace id."""
    session: AgentSession[None] = AgentSession(llm=LoggingLLM(SCRIPT))
    session.output.set_audio_enabled(False)
    with tracer.start_as_current_span("job_entrypoint") as root:
        app.error("before it began")
        await session.start(Agent(instructions="Book.", tools=[book]))
        await session.run(user_input="A table, please.")
        await session.aclose()
    return root.get_span_context().trace_id.to_bytes(16, "big")


def events_by_observation(langfuse: LangfuseServer, trace_id: bytes) -> dict[str, list[str]]:
    """By an observation's name, in order, what its metadata tells was logged, without times."""
    until(lambda: any(not span.parent_span_id for span in langfuse.trace(trace_id)))
    found: dict[str, list[str]] = {}
    for span in sorted(langfuse.trace(trace_id), key=lambda span: span.start_time_unix_nano):
        told = json.loads(str(span.attributes.get("langfuse.observation.metadata.events", "[]")))
        lines = [line.partition(" ")[2] for line in told]
        logged = [line for line in lines if line.startswith(("WARNING", "ERROR", "INFO"))]
        if logged:
            found.setdefault(span.name, []).extend(logged)
    return found


def test_each_is_on_the_observation_that_was_open(langfuse: LangfuseServer) -> None:
    """With level, logger, message and exception; in the LLM's node too, which is then shown."""
    setup_tracer(Langfuse(**langfuse.settings, log_events=True))
    found = events_by_observation(langfuse, asyncio.run(call()))
    assert found == {
        "call default_agent": ["ERROR my.app: before it began"],
        "llm_node": ["WARNING a.plugin: an old model"] * 2,
        "book": [
            f"WARNING my.app: the kitchen is slow for {SECRET}",
            f"ERROR my.app: cannot reach the kitchen (ConnectionError: no route to {SECRET})",
        ],
    }


def test_none_is_there_unless_it_is_wanted(langfuse: LangfuseServer) -> None:
    """The default, and where nothing of the log is recorded."""
    for given in ({}, {"log_events": False}):
        handle = setup_tracer(Langfuse(**langfuse.settings, **given))  # type: ignore[arg-type]
        assert events_by_observation(langfuse, asyncio.run(call())) == {}
        handle.shutdown()
    setup_tracer(Langfuse(**langfuse.settings, log_events=True), logs=False)
    assert events_by_observation(langfuse, asyncio.run(call())) == {}


def test_words_are_withheld_but_of_a_logger_that_is_vouched_for(langfuse: LangfuseServer) -> None:
    """And of its exceptions the type alone."""
    setup_tracer(
        Langfuse(**langfuse.settings, log_events=True),
        capture_content=False,
        content_safe=("logger:a.plugin",),
    )
    found = events_by_observation(langfuse, asyncio.run(call()))
    assert found == {"llm_node": ["WARNING a.plugin: an old model"] * 2}
    assert SECRET not in str(langfuse.versions)


def test_mask_rewrites_them(langfuse: LangfuseServer) -> None:
    """As it does log lines."""
    setup_tracer(
        Langfuse(**langfuse.settings, log_events=True),
        mask=lambda text: text.replace(SECRET, "***"),
    )
    found = events_by_observation(langfuse, asyncio.run(call()))
    assert found["book"][0] == "WARNING my.app: the kitchen is slow for ***"
    assert SECRET not in str(langfuse.versions)


def test_a_backend_beside_it_gets_both(langfuse: LangfuseServer, server: RecordingServer) -> None:
    """The events of its spans, and each line once as a log record."""
    setup_tracer([Langfuse(**langfuse.settings, log_events=True), Otlp(endpoint=server.url)])
    asyncio.run(call())
    until(lambda: "job_entrypoint" in server.accepted_names() and len(server.logs) >= 5)
    said = sorted(line.message for line in server.logs)
    events = [event for span in server.accepted for event in span.events if event.name == "log"]
    assert sorted(str(event.attributes["log.message"]) for event in events) == said
    assert len(said) == 5
