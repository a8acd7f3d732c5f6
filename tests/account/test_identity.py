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
    """The participant of the user's spans, not that of the agent's; the call keeps its first."""
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
    assert call.identity.own.bare["agent.label"] == "agents.Host"
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


WHO = "lk.pii.participant_identity"


def carried(call: Call, one: Span) -> Any:
    """The user that an open span carries."""
    return call.identity_in(call.scope(int.from_bytes(one.span_id, "big"))).attributes.get(
        "user.id"
    )


def test_each_session_has_its_own_user() -> None:
    """As the application or LiveKit says; what is in no session carries the call's first."""
    call, job = Call(content_safe=["user.id"]), span("job_entrypoint", 0, 9, JOB)
    alice, bob, anybody = (span("agent_session", at, 9, parent=job) for at in (1, 2, 3))
    call.started(job)
    for session, user_id in ((alice, "alice"), (bob, "bob")):
        call.started(session)
        call.set_identity(None, user_id, call.session(session.span_id))
    call.started(anybody)
    for session in (alice, bob, anybody):  # nobody's word goes before the application's
        call.started(span("user_turn", 4, None, {WHO: "caller"}, parent=session))
    inside = [span("llm_node", 5, 6, parent=session) for session in (alice, bob, anybody)]
    for one in inside:
        call.started(one)
    assert [carried(call, one) for one in inside] == ["alice", "bob", "caller"]
    assert carried(call, job) == "alice"
    bare = [
        call.identity_in(call.session(one.span_id)).bare.get("user.id")
        for one in (alice, bob, anybody)
    ]
    assert bare == ["alice", "bob", None]


def test_each_turn_has_the_user_to_whom_it_was_linked() -> None:
    """Who speaks next is the session's user; a turn keeps the one it began with."""
    call, session = Call(), span("agent_session", 0, 99)
    call.started(session)
    turns = []
    for at, who in ((1, "alice"), (10, "bob")):
        heard = span("user_turn", at, at + 5, {WHO: who}, parent=session)
        turns.append(span("agent_turn", at + 2, None, parent=session))
        call.started(heard)
        call.started(turns[-1])
    call.ended(span("user_turn", 1, 20, {WHO: "alice"}, parent=session))  # began with her
    late = span("agent_turn", 21, None, parent=session)
    call.started(late)
    assert [carried(call, one) for one in (*turns, late)] == ["alice", "bob", "bob"]
    speech = span("user_speaking", 22, 23, {WHO: "carol"}, parent=session)
    call.started(speech._replace(attributes={}))  # as LiveKit has it: told at its end
    call.ended(speech)
    assert carried(call, session) == "carol"


def test_the_user_given_for_all_calls_is_everybody() -> None:
    """Until a session's own is given."""
    call, session = Call(user_id="line 1"), span("agent_session", 0, 9)
    call.started(session)
    call.started(span("user_turn", 1, None, {WHO: "caller"}, parent=session))
    assert carried(call, session) == "line 1"
    call.set_identity(user_id="alice")
    assert (carried(call, session), call.identity.attributes["user.id"]) == ("alice", "alice")


@pytest.mark.parametrize(
    ("began", "session_began", "now", "session_id"),
    [
        (1, 3, 4.9, "late"),
        (1, 3, 5.0, "s"),
        (1, None, 10.9, "late"),
        (1, None, 11.0, "s"),
        (1, 10, 11.0, "s"),
    ],
)
def test_a_name_that_comes_too_late_is_none(
    began: int, session_began: int | None, now: float, session_id: str
) -> None:
    """Where spans have left with another; a backend would show the call twice."""
    call = Call(session_id="s", settle_seconds=2.0, clock=lambda: nanos(now * 1000))
    call.started(span("job_entrypoint", began * 1000, None, JOB))
    if session_began is not None:
        call.started(span("agent_session", session_began * 1000, None))
    call.set_identity("late", "ann")
    known = call.identity.attributes
    assert (known["session.id"], known["user.id"]) == (session_id, "ann")


def test_the_user_that_spans_left_with_stays_the_calls(caplog: pytest.LogCaptureFixture) -> None:
    """Said once where it is contradicted; a second session has its own all the same."""
    call = Call(settle_seconds=2.0, clock=lambda: nanos(60_000))
    job, first, second = (
        span("job_entrypoint", 1, None, JOB),
        *(span("agent_session", at, None) for at in (2, 30)),
    )
    call.started(job)
    call.started(first)
    call.started(span("user_turn", 3, None, {WHO: "caller"}, parent=first))
    call.set_identity(None, "ann", call.session(first.span_id))
    assert carried(call, first) == carried(call, job) == "caller"
    assert [record.getMessage() for record in caplog.records] == [
        "user_id= came too late: the call's spans have left with another"
    ]
    call.started(second)
    call.set_identity(None, "ben", call.session(second.span_id))
    assert (carried(call, second), carried(call, job)) == ("ben", "caller")
