"""A call by telephone: a real job, with a caller as LiveKit's SIP gateway brings one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobExecutorType

from tests.fakes import RecordingServer, until
from tests.sessions.scripted import FakeLLM, Said
from tracing import observe, setup_tracer
from tracing.calls.facts import Facts
from tracing.calls.lanes import lanes
from tracing.calls.tree import Tree
from tracing.span import Span

pytestmark = pytest.mark.usefixtures("in_thread")


def caller(**attributes: str) -> Any:
    """A SIP participant, as far as LiveKit and we read it."""
    return SimpleNamespace(
        sid="PA_1",
        identity="sip_+15550100",
        kind=rtc.ParticipantKind.PARTICIPANT_KIND_SIP,
        attributes={f"sip.{key}": value for key, value in attributes.items()},
        disconnect_reason=None,
    )


INBOUND = {
    "callID": "SCL_1",
    "callStatus": "active",
    "trunkID": "ST_1",
    "ruleID": "SDR_1",
    "phoneNumber": "+15550100",
    "trunkPhoneNumber": "+15550199",
    "h.X-Own": "7",
}


async def entrypoint(ctx: JobContext) -> None:
    """The caller presses a key, and is refused."""
    room: Any = rtc.EventEmitter()
    mock, ctx._room = ctx._room, room
    session: AgentSession[None] = AgentSession(llm=FakeLLM({"Hello?": Said("Hello.", 0.0)}))
    session.output.set_audio_enabled(False)
    observe(session)
    ctx._room = mock
    await session.start(Agent(instructions="You answer the telephone."))
    who = caller(**INBOUND)
    session._on_room_io_participant_linked(who)
    await session.run(user_input="Hello?")
    room.emit("sip_dtmf_received", rtc.SipDTMF(code=5, digit="5", participant=who))
    room.emit("participant_attributes_changed", {"sip.callStatus": "hangup"}, who)
    room.emit("participant_attributes_changed", {"note": "none of ours"}, who)
    who.disconnect_reason = rtc.DisconnectReason.USER_REJECTED
    room.emit("participant_disconnected", who)
    await session.aclose()
    room.emit("sip_dtmf_received", rtc.SipDTMF(code=6, digit="6", participant=who))
    ctx.shutdown("the call is over")


async def one_job() -> None:
    """One worker with one job, in a thread of this process."""
    server = AgentServer(
        job_executor_type=JobExecutorType.THREAD, num_idle_processes=0, host="127.0.0.1", port=0
    )
    server.rtc_session(entrypoint)
    started = asyncio.Event()
    server.once("worker_started", started.set)
    serving = asyncio.create_task(server.run(devmode=True, unregistered=True))
    await started.wait()
    await server.simulate_job("room", fake_job=True)
    while not server.active_jobs:
        await asyncio.sleep(0.01)
    while server.active_jobs:
        await asyncio.sleep(0.01)
    await server.aclose()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def spans_of_a_job(server: RecordingServer, **options: Any) -> list[Span]:
    """What it leaves at a backend."""
    setup_tracer("otlp", endpoint=server.url, **options)
    asyncio.run(one_job())
    until(lambda: "job_entrypoint" in server.accepted_names())
    return server.accepted


def sip(span: Span, prefix: str = "call.sip.") -> dict[str, Any]:
    """What a span tells of the telephone."""
    found = span.attributes.items()
    return {key[len(prefix) :]: value for key, value in found if key.startswith(prefix)}


TECHNICAL = {
    "direction": "inbound",
    "hang_up_cause": "user_rejected",
    "rule_id": "SDR_1",
    "status": "hangup",
    "trunk_id": "ST_1",
}


def test_a_call_by_telephone_is_told_with_its_keys_and_its_end(server: RecordingServer) -> None:
    """On the session and its root; a readable caller in lists, and marks on the time axis."""
    spans = spans_of_a_job(server)
    by_name = {span.name: span for span in spans}
    numbers = {"call_id": "SCL_1", "number": "+15550100", "trunk_number": "+15550199"}
    assert sip(by_name["agent_session"]) == {**TECHNICAL, **numbers}
    assert sip(by_name["job_entrypoint"], "root.summary.sip.") == {**TECHNICAL, **numbers}
    row = Facts(spans).row
    assert row["caller"] == "+15550100, inbound"
    marks = [mark for mark in lanes(Tree(spans))["events"] if mark["kind"] == "telephone"]
    assert [(mark["text"], mark.get("words")) for mark in marks] == [
        ("key", "5"),
        ("hangup", None),
        ("user rejected", None),
    ]


def test_numbers_and_keys_are_content(server: RecordingServer) -> None:
    """Where that is withheld, what is technical is left: direction, status, LiveKit's own ids."""
    spans = spans_of_a_job(server, capture_content=False)
    by_name = {span.name: span for span in spans}
    assert sip(by_name["agent_session"]) == TECHNICAL
    assert sip(by_name["job_entrypoint"], "root.summary.sip.") == TECHNICAL
    assert Facts(spans).row["caller"] == "inbound"
    marks = [mark for mark in lanes(Tree(spans))["events"] if mark["kind"] == "telephone"]
    assert [(mark["text"], mark.get("words")) for mark in marks] == [
        ("key", None),
        ("hangup", None),
        ("user rejected", None),
    ]
    assert "5550" not in str(spans)


def test_a_mask_acts_on_numbers(server: RecordingServer) -> None:
    """As on every text."""
    spans = spans_of_a_job(server, mask=lambda text: text.replace("5550", "####"))
    assert Facts(spans).row["caller"] == "+1####100, inbound"
    assert "5550" not in str(spans)
