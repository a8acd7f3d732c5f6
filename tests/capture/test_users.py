"""Whose a session and a turn are, where one job serves several."""

from __future__ import annotations

from typing import Any

from livekit.agents import Agent, AgentSession
from livekit.agents.telemetry import tracer

from tests.capture.pipeline import Pipeline
from tests.sessions.scripted import FakeLLM, Said
from tests.sessions.studio import recording
from tracing.calls.describe import describe
from tracing.calls.tree import Tree
from tracing.observing import observe

WHO = "lk.pii.participant_identity"


class Clerk(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Note what is said.")


async def test_two_sessions_of_one_job_have_their_own_users() -> None:
    """On every span below them; the call lists both, and keeps its first."""
    texts = [f"{who} speaks" for who in ("alice", "bob")]
    script = {text: Said("Noted.", delay=0.01) for text in texts}
    job = {"lk.job_id": "AJ_1"}
    with recording() as recorder, tracer.start_as_current_span("job_entrypoint", attributes=job):
        sessions: list[AgentSession[Any]] = []
        for who in ("alice", "bob"):
            sessions.append(AgentSession(llm=FakeLLM(script)))
            observe(sessions[-1], user_id=who, log_summary=False)
            await sessions[-1].start(Clerk())
        for session, text in zip(sessions, texts, strict=True):
            await session.run(user_input=text)
        for session in sessions:
            await session.aclose()
    names_by_user: dict[Any, set[str]] = {}
    for span in recorder.stamped:
        names_by_user.setdefault(span.attributes.get("user.id"), set()).add(span.name)
    told = {"agent_session", "agent_turn", "llm_node", "llm_request"}
    assert told <= names_by_user["bob"] & names_by_user["alice"]
    assert [who for who, found in names_by_user.items() if "job_entrypoint" in found] == ["alice"]
    assert not told & names_by_user.get(None, set())
    call = describe(Tree(recorder.stamped))
    assert (call["user_id"], call["user_ids"]) == ("alice", ["alice", "bob"])
    turns = [(turn["user_text"], turn["user_id"]) for turn in call["turns"]]
    assert turns == [("alice speaks", "alice"), ("bob speaks", "bob")]


def test_a_call_of_one_user_has_no_list_of_them(pipeline: Pipeline) -> None:
    """And its turns do not repeat whose they are."""
    job = pipeline.start("job_entrypoint")
    session = pipeline.start("agent_session", job)
    pipeline.start("user_turn", session, **{WHO: "ann"}).end()
    pipeline.start("agent_turn", session).end()
    session.end()
    job.end()
    call = describe(Tree(list(pipeline.ended().values())))
    assert (call["user_id"], "user_ids" in call) == ("ann", False)
    assert "user_id" not in call["turns"][0]


def test_whoever_is_linked_next_has_the_turns_from_then_on(pipeline: Pipeline) -> None:
    """Of both it is said on disk; the session's own start was the first one's."""
    session = pipeline.start("agent_session")
    for who in ("ann", "ben"):
        heard = pipeline.start("user_turn", session)
        heard.set_attribute(WHO, who)  # as LiveKit does: after its start
        pipeline.start("user_speaking", heard, **{WHO: who}).end()
        heard.end()
        pipeline.start("agent_turn", session, **{"lk.pii.user_input": f"{who} speaks"}).end()
    session.end()
    spans = [record.span for record in pipeline.records() if record.span]
    of_turns = [s.attributes["user.id"] for s in spans if s.name == "agent_turn" and not s.is_open]
    assert of_turns == ["ann", "ben"]
