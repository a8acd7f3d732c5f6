"""What an application says of a call: taken, refused or too late, and in each backend's form."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession, RunContext
from livekit.agents.llm import function_tool
from livekit.agents.telemetry import tracer

from tests.fakes import RecordingServer, until
from tests.langfuse_server import LangfuseServer
from tests.sessions.scripted import FakeLLM, Said
from tracing import Langfuse, Otlp, current_call, setup_tracer
from tracing.calls.describe import describe
from tracing.calls.tree import Tree
from tracing.read.selection import choose, matching
from tracing.read.sources import RecordedFiles
from tracing.span import Span

pytestmark = pytest.mark.usefixtures("in_thread")


@pytest.fixture
def langfuse() -> Iterator[LangfuseServer]:
    """A Langfuse."""
    with LangfuseServer() as found:
        yield found


def test_where_nothing_is_recorded_there_is_a_harmless_call() -> None:
    """Before set-up, and outside of calls: the same methods, which do nothing."""
    for _ in range(2):
        call = current_call()
        call.set(user_id="ann", tags=["vip"], metadata={"plan": "gold"}, outcome="booked")
        call.score("csat", 5)
        call.event("booked", seats=2)
        call.use_prompt("clerk", 3)
        assert (call.trace_id, call.url()) == ("", "")
        setup_tracer("local")


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "set: user_id= is a int: give a text": ("set", {"user_id": 7}),
    "set: tags= is a str: give a list of texts, such as ['a']": ("set", {"tags": "vip"}),
    "set: tags= holds 1: give a list of texts, such as ['a']": ("set", {"tags": ["a", 1]}),
    "set: outcome= is a bool: give a text": ("set", {"outcome": True}),
    "set: metadata= is a list: give a mapping, such as {'plan': 'a'}": (
        "set",
        {"metadata": ["plan"]},
    ),
    "set: metadata= has the name 1: give a text": ("set", {"metadata": {1: "x"}}),
    "set: metadata=plan is a dict: give a text, a number, True or False, or a list of these": (
        "set",
        {"metadata": {"plan": {"name": "gold"}}},
    ),
    "set: metadata=share is nan: give a text, a number, True or False, or a list of these": (
        "set",
        {"metadata": {"share": math.nan}},
    ),
    "score: name is a int: give a text": ("score", {"name": 1, "value": 1}),
    "score: name is empty: give a text": ("score", {"name": "", "value": 1}),
    "score: comment= is a int: give a text": ("score", {"name": "a", "value": 1, "comment": 1}),
    "score: value is None: give a number, True or False, or a text": (
        "score",
        {"name": "a", "value": None},
    ),
    "score: value is inf: give a number, True or False, or a text": (
        "score",
        {"name": "a", "value": math.inf},
    ),
    "event: name is empty: give a text": ("event", {"name": None}),
    "event: attribute seats is a set: give a text, a number, True or False, or a list of these": (
        "event",
        {"name": "booked", "seats": {1}},
    ),
    "use_prompt: prompt has no name and version: give a prompt of Langfuse's SDK, or both of"
    " these": ("use_prompt", {"prompt": "clerk"}),
}


def test_what_cannot_be_taken_is_said_once_and_left_out(
    server: RecordingServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning for each call, not for each time; nothing is raised, what is right is taken."""
    setup_tracer("otlp", endpoint=server.url)
    for problem, (method, given) in WRONG.items():
        caplog.clear()
        with tracer.start_as_current_span("job_entrypoint"):
            for _ in range(3):
                getattr(current_call(), method)(**given)
            current_call().set(metadata={"problem": problem})
        assert caplog.messages == [f"current_call().{problem}"]
    until(lambda: len(server.accepted) == len(WRONG))
    for root in server.accepted:
        said = {key for key in root.attributes if key.startswith("call.")}
        assert said == {"call.metadata.problem"}
        assert "user.id" not in root.attributes
        is_event = "attribute seats" in str(root.attributes["call.metadata.problem"])
        noted = [(event.name, event.attributes) for event in root.events]
        assert noted == [("booked", {})] * (3 if is_event else 0)


def test_what_comes_after_the_call_or_is_too_much_is_said_once(
    server: RecordingServer, caplog: pytest.LogCaptureFixture
) -> None:
    """And counted, where it is too much."""
    handle = setup_tracer("otlp", endpoint=server.url)
    with tracer.start_as_current_span("agent_session"):
        call = current_call()
        for n in range(70):
            call.set(tags=[f"tag {n}"])
        for _ in range(103):
            call.event("tick")
    for _ in range(2):
        call.set(outcome="booked")
        call.event("late")
    said = [message for message in caplog.messages if "current_call" in message]
    assert said == [
        "current_call().set: too much or too long, see docs/application.md",
        "current_call().event: too much or too long, see docs/application.md",
        "current_call() came too late: the call is over",
    ]
    assert handle.dropped == {"the application said more of a call than is kept": 23}
    [root] = until(lambda: [span for span in server.accepted if span.name == "agent_session"])
    assert len(root.attributes["call.tags"]) == 50  # type: ignore[arg-type]
    assert len(root.events) == 100
    assert "call.outcome" not in root.attributes


def test_the_page_of_a_call_is_langfuses_else_the_viewers(langfuse: LangfuseServer) -> None:
    """Without a request to anybody; none where neither shows it."""
    found = {}
    for name, backends in {
        "both": [Langfuse(**langfuse.settings), "local"],
        "viewer": ["local"],
        "neither": [Otlp(endpoint="http://127.0.0.1:1")],
    }.items():
        handle = setup_tracer(backends)  # type: ignore[arg-type]
        with tracer.start_as_current_span("agent_session") as span:
            trace_id = f"{span.get_span_context().trace_id:032x}"
            assert current_call().trace_id == trace_id
            found[name] = current_call().url().replace(trace_id, "ID")
        handle.shutdown()
    assert found == {
        "both": f"{langfuse.url}/trace/ID",
        "viewer": "http://127.0.0.1:8765/calls/ID",
        "neither": "",
    }


CLERK = SimpleNamespace(name="clerk", version=3, is_fallback=False)
"""As a prompt client of Langfuse's SDK."""
SCRIPT = {
    "A table, please.": Said("Certainly.", 0.0),
    "And dinner?": Said("", 0.0, tools=[("to_cook", "{}")]),
    "What is there?": Said("Soup.", 0.0),
    "No, fish.": Said("Fish it is.", 0.0),
}


class Cook(Agent):
    """Names no prompt as it comes."""

    def __init__(self) -> None:
        super().__init__(instructions="You cook.")


class Clerk(Agent):
    """Hands over to the cook."""

    def __init__(self) -> None:
        super().__init__(instructions="You book tables.")

    @function_tool
    async def to_cook(self, context: RunContext[None]) -> Agent:
        """Hand over to the cook."""
        return Cook()


async def spoken_call() -> str:
    """A call of which the application says something at each step; its trace id."""
    session: AgentSession[None] = AgentSession(llm=FakeLLM(SCRIPT))
    session.output.set_audio_enabled(False)
    with tracer.start_as_current_span("job_entrypoint"):
        call = current_call()
        call.use_prompt(CLERK)
        call.set(tags=["vip", "beta"], metadata={"plan": "gold", "tools": 2, "seats": ["a", "b"]})
        await session.start(Clerk())
        await session.run(user_input="A table, please.")
        call.score("csat", 4.5, comment="friendly")
        call.score("is_regular", True)
        call.score("mood", "glad")
        call.score("csat", 3)
        await session.run(user_input="And dinner?")
        await session.run(user_input="What is there?")
        call.use_prompt({"name": "cook", "version": "2"})
        await session.run(user_input="No, fish.")
        call.use_prompt(SimpleNamespace(name="cook", version=9, is_fallback=True))
        await session.aclose()
        call.set(metadata={"plan": "silver"}, outcome="booked", user_id="ann")
    return call.trace_id


def test_langfuse_has_tags_metadata_scores_and_prompts(langfuse: LangfuseServer) -> None:
    """In its own form: what the root says last, scores by their time, links on generations."""
    setup_tracer(Langfuse(**langfuse.settings, tags=["prod", "beta"]))
    began = time.time()
    trace_id = bytes.fromhex(asyncio.run(spoken_call()))
    until(lambda: len(langfuse.scores) >= 7)
    until(lambda: any(not span.parent_span_id for span in langfuse.trace(trace_id)))
    spans = sorted(langfuse.trace(trace_id), key=lambda span: span.start_time_unix_nano)
    [root] = [span for span in spans if not span.parent_span_id]
    assert root.attributes["langfuse.trace.tags"] == ["prod", "beta", "vip"]
    metadata = {
        key.removeprefix("langfuse.trace.metadata."): value
        for key, value in root.attributes.items()
        if key.startswith("langfuse.trace.metadata.")
    }
    assert metadata == {"plan": "silver", "own_tools": 2, "seats": '["a","b"]'}
    assert root.attributes["langfuse.observation.metadata.outcome"] == "booked"
    assert {tuple(span.attributes["langfuse.trace.tags"]) for span in spans} == {  # type: ignore[arg-type]
        ("prod", "beta", "vip")
    }
    key = "langfuse.observation.prompt."
    links = [
        (span.attributes.get(f"{key}name"), span.attributes.get(f"{key}version"))
        for span in spans
        if span.attributes["langfuse.observation.type"] == "generation"
    ]
    assert links == [("clerk", 3), ("clerk", 3), (None, None), ("cook", 2)]
    assert not any("prompt" in key for s in spans if s.name == "agent turn" for key in s.attributes)
    measured = ("call_interruption_rate", "call_tool_failures")
    given = [score for score in langfuse.scores.values() if score["name"] not in measured]
    scores = sorted(given, key=lambda score: score["timestamp"])
    told = [(s["name"], s["value"], s["dataType"], s.get("comment")) for s in scores]
    assert told == [
        ("csat", 4.5, "NUMERIC", "friendly"),
        ("is_regular", 1, "BOOLEAN", None),
        ("mood", "glad", "CATEGORICAL", None),
        ("csat", 3, "NUMERIC", None),
        ("outcome", "booked", "CATEGORICAL", None),
    ]
    assert {score["traceId"] for score in scores} == {trace_id.hex()}
    assert all("observationId" not in score for score in scores)
    at = datetime.fromisoformat(scores[0]["timestamp"].replace("Z", "+00:00"))
    ended = datetime.fromtimestamp(root.end_time_unix_nano / 1e9, timezone.utc)
    assert began <= at.timestamp() < ended.timestamp()


def test_calls_are_found_by_what_was_said(server: RecordingServer) -> None:
    """By tag, metadata, outcome and user; the report has all of it."""
    setup_tracer("otlp", endpoint=server.url)
    trace_id = asyncio.run(spoken_call())
    with tracer.start_as_current_span("agent_session"):
        current_call().set(tags=["std"], metadata={"plan": "gold"})
    until(lambda: sum(not span.parent_span_id for span in server.accepted) == 2)
    source = _Found(server.accepted)
    calls = list(source.calls())
    for selector, found in {
        "tag=vip": [trace_id],
        "tag=std": [call.trace_id for call in calls if call.trace_id != trace_id],
        "plan=silver": [trace_id],
        "metadata.plan=gold": [call.trace_id for call in calls if call.trace_id != trace_id],
        "outcome=booked": [trace_id],
        "user=ann": [trace_id],
        "tag=nobody": [],
    }.items():
        assert [call.trace_id for call in matching([selector], source, calls)] == found, selector
    assert matching(["tag=vip", "plan=gold"], source, calls) == []
    assert choose("tag=vip", source, calls).calls == 1
    described = describe(Tree(source.spans(trace_id)))
    said = {key: described[key] for key in ("tags", "metadata", "outcome")}
    assert said == {
        "tags": ["beta", "vip"],
        "metadata": {"plan": "silver", "tools": 2, "seats": ["a", "b"]},
        "outcome": "booked",
    }
    assert [(score["name"], score["value"]) for score in described["scores"]] == [
        ("csat", 4.5),
        ("is_regular", True),
        ("mood", "glad"),
        ("csat", 3),
    ]


class _Found(RecordedFiles):
    """A source of spans that are at hand."""

    def __init__(self, spans: list[Span]) -> None:
        super().__init__([])
        for span in spans:
            self._spans_by_trace.setdefault(span.trace_id.hex(), []).append(span)
