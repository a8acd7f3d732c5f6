"""Who was at the other end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import START_NANOS, make_span
from tracing.calls.lanes import lanes
from tracing.calls.telephone import caller_of
from tracing.calls.tree import Tree
from tracing.span import Event

INBOUND = {"number": "+1555", "direction": "inbound"}


@pytest.mark.parametrize(
    ("call", "caller"),
    [
        ({}, ""),
        ({"user_id": "ann"}, "ann"),
        ({"user_id": "ann", "summary": {"sip": "none"}}, "ann"),
        ({"user_id": "sip_+1555", "summary": {"sip": INBOUND}}, "+1555, inbound"),
        ({"user_id": "ann", "summary": {"sip": INBOUND}}, "ann · +1555, inbound"),
        ({"summary": {"sip": {"direction": "inbound"}}}, "inbound"),
    ],
)
def test_the_caller_in_words(call: dict[str, Any], caller: str) -> None:
    """The application's name, the number, and who called whom."""
    assert caller_of(call) == caller


def test_who_answered_and_what_was_noted_are_on_the_axis() -> None:
    """An answering machine when it was told, and the events of the application."""
    noted = Event("booked", START_NANOS + 1_300_000_000, {"seats": 2})
    known = Event("generation", START_NANOS + 1_300_000_000)
    end = START_NANOS + 10**10
    answered = {"lk.amd.category": "human"}
    session = make_span(1, "agent_session", events=(noted, known), end_time_unix_nano=end)
    amd = make_span(2, "amd", parent_span_id=session.span_id, attributes=answered)
    marks = lanes(Tree([session, amd]))["events"]
    found = [mark for mark in marks if mark["kind"] in ("telephone", "noted")]
    assert found == [
        {"at": 0.3, "kind": "noted", "text": "noted:", "words": "booked"},
        {"at": 1.5, "kind": "telephone", "text": "answered by human"},
    ]
