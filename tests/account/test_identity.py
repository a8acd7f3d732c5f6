"""Who a call is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sessions.spans import TRACE_ID, nanos, span
from tracing.account.call import Call
from tracing.span import Event, Span


def identity_after(call: Call, *spans: Span) -> dict[str, Any]:
    """A call's identity after these spans have started and ended."""
    for one in spans:
        call.started(one)
        call.ended(one)
    return dict(call.identity.attributes)


JOB = {"lk.job_id": "AJ_1", "lk.agent_name": "clerk", "lk.room_sid": "RM_1"}


@pytest.mark.parametrize(
    ("attributes", "session_id"),
    [
        ({**JOB, "lk.pii.room_name": "room"}, "room/AJ_1"),
        ({**JOB, "lk.room_name": "room"}, "room/AJ_1"),
        (JOB, "AJ_1"),
        ({}, f"session-{TRACE_ID.hex()[:8]}"),
    ],
)
def test_a_call_is_named_by_its_room_and_job(attributes: dict[str, Any], session_id: str) -> None:
    """And by its trace outside a job; the name stays when more becomes known."""
    call = Call()
    known = identity_after(call, span("job_entrypoint", 0, 9, attributes))
    assert known == {**attributes, "session.id": session_id}
    later = identity_after(call, span("agent_session", 1, 8, {"lk.pii.room_name": "other"}))
    assert later["session.id"] == session_id


def test_the_user_is_the_caller_and_never_the_agent() -> None:
    """The participant of the user's spans, not that of the agent's; the first caller stays."""
    who = "lk.pii.participant_identity"
    call = Call()
    agents = [span(name, 0, 9, {who: "agent"}) for name in ("room_connect", "agent_turn")]
    assert "user.id" not in identity_after(call, *agents)
    linked = Event("participant_linked", nanos(5), {who: "caller"})
    known = identity_after(call, span("agent_session", 0, 9, events=(linked,)))
    assert known["user.id"] == "caller"
    assert identity_after(call, span("user_turn", 0, 9, {who: "other"}))["user.id"] == "caller"


def test_the_agent_that_took_the_call_is_known_while_it_runs() -> None:
    """By its first activity, not when the session is over; whoever takes over changes nothing."""
    label, call = "lk.agent_label", Call()
    first = span("start_agent_activity", 1, 2, {label: "agents.Host"})
    assert identity_after(call, first)["agent.label"] == "agents.Host"
    assert call.identity.bare["agent.label"] == "agents.Host"
    second = span("start_agent_activity", 3, 4, {label: "agents.Chef"})
    assert identity_after(call, second)["agent.label"] == "agents.Host"


def test_the_application_names_the_call_and_the_user() -> None:
    """By argument, by function, and later; its names go before LiveKit's."""
    job = span("job_entrypoint", 0, 9, JOB)
    assert identity_after(Call(session_id="s", user_id="u"), job) == {
        **JOB,
        "session.id": "s",
        "user.id": "u",
    }
    by_function = Call(session_id=lambda known: f"{known['lk.agent_name']}-1")
    assert identity_after(by_function, job)["session.id"] == "clerk-1"
    call = Call()
    identity_after(call, job)
    call.set_identity("later", "somebody")
    known = call.identity.attributes
    assert (known["session.id"], known["user.id"]) == ("later", "somebody")
