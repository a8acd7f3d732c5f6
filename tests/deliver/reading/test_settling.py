"""The names of a call before it leaves: what waits for them, for how long, and who gets them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import make_span, open_segment
from tracing.deliver.reading.segment_reader import SegmentReader
from tracing.span import Span
from tracing.spool.records import end_frame, start_frame
from tracing.stamps import IN_PROGRESS

EPOCH, TENTH = 1_700_000_000_000_000_000, 100_000_000
EARLY = {"session.id": "room/job"}
GIVEN = {"session.id": "order-7", "user.id": "ann"}


class Calling:
    """A process that writes calls, and a reader of its segment; the clock is the test's."""

    def __init__(self, directory: Path) -> None:
        self.now = 0
        self.writer = open_segment(directory)
        [path] = directory.glob("*.seg")
        self.reader = SegmentReader(
            path, 0, "roots", settle_seconds=2.0, now=lambda: EPOCH + self.now * TENTH
        )

    def begin(self, name: str, number: int, trace: int = 1, **attributes: Any) -> None:
        """A span starts now; the clock counts tenths of a second."""
        span = _span(name, number, trace, self.now, 0, attributes)
        self.writer.append(start_frame(span))

    def end(self, name: str, number: int, trace: int = 1, **attributes: Any) -> None:
        """A span ends now that began at 0."""
        span = _span(name, number, trace, 0, self.now, attributes)
        self.writer.append(end_frame(span, span.attributes))

    def read(self, at: int) -> list[tuple[str, Any, Any]]:
        """Name, session and user of what leaves at this time."""
        self.now = at
        found = self.reader.read(2**20)
        self.reader.acknowledged = self.reader.position
        get = [(s.name, s.attributes.get("session.id"), s.attributes.get("user.id")) for s in found]
        assert all(IN_PROGRESS not in span.attributes for span in found)
        return get


def _span(name: str, number: int, trace: int, start: int, end: int, told: dict[str, Any]) -> Span:
    parent = b"" if number == 1 else (1).to_bytes(8, "big")
    return make_span(
        number,
        name,
        trace_id=trace.to_bytes(16, "big"),
        start_time_unix_nano=EPOCH + start * TENTH,
        end_time_unix_nano=EPOCH + end * TENTH if end else 0,
        parent_span_id=parent,
        attributes=told,
    )


@pytest.fixture
def calling(tmp_path: Path) -> Any:
    """A process with calls."""
    found = Calling(tmp_path)
    yield found
    found.writer.close()


def test_first_spans_wait_and_leave_with_the_names_that_come(calling: Calling) -> None:
    """Given after two spans have ended: every span that leaves is of one session, of one user."""
    calling.begin("job_entrypoint", 1, **EARLY)
    calling.now = 1
    calling.end("room_connect", 2, **EARLY)
    calling.begin("agent_session", 3, **EARLY)
    calling.end("on_enter", 4, **EARLY, **{"user.id": "sip-49"})
    assert calling.read(at=20) == []
    calling.begin("job_entrypoint", 1, **GIVEN)
    calling.end("agent_turn", 5, **GIVEN)
    assert calling.read(at=25) == []
    names = [("room_connect",), ("on_enter",), ("agent_turn",)]
    assert calling.read(at=26) == [(*name, "order-7", "ann") for name in names]
    calling.end("agent_turn", 6, **GIVEN)
    assert calling.read(at=27) == [("agent_turn", "order-7", "ann")]


@pytest.mark.parametrize(
    ("then", "at", "leaves"),
    [
        (lambda c: None, 104, False),
        (lambda c: None, 105, True),
        (lambda c: c.begin("agent_session", 3), 54, False),
        (lambda c: c.begin("agent_session", 3), 55, True),
        (lambda c: c.end("job_entrypoint", 1), 30, True),
        (lambda c: c.writer.close(), 30, True),
    ],
    ids=[
        "no session",
        "no session for long",
        "session",
        "settled session",
        "over",
        "process ended",
    ],
)
def test_how_long_a_call_waits(
    calling: Calling, then: Callable[[Calling], None], at: int, leaves: bool
) -> None:
    """Two seconds from its session's start, ten without one, and the time that writing takes."""
    calling.begin("job_entrypoint", 1)
    calling.end("room_connect", 2)
    calling.now = 30
    then(calling)
    left = [name for name, *_ in calling.read(at)]
    assert (left[:1] == ["room_connect"]) is leaves


def test_what_is_of_no_call_waits_for_nothing(calling: Calling) -> None:
    """Spans of an application without a call above them."""
    calling.end("GET /", 1)
    assert calling.read(at=1) == [("GET /", None, None)]


def test_every_call_gets_its_own_names(calling: Calling) -> None:
    """Two at once in one process; those of one that is settled are not the other's."""
    for trace in (1, 2):
        calling.begin("agent_session", 1, trace, **EARLY)
        calling.end("on_enter", 2, trace, **EARLY)
    calling.begin("agent_session", 1, 2, **GIVEN)
    assert calling.read(at=25) == [
        ("on_enter", "room/job", None),
        ("on_enter", "order-7", "ann"),
    ]


def test_names_given_again_hold_for_what_came_before_them(calling: Calling) -> None:
    """What follows says its own: a later session of the call may have another user."""
    calling.begin("job_entrypoint", 1, **EARLY)
    calling.begin("agent_session", 3, **EARLY)
    calling.end("on_enter", 2, **EARLY)
    calling.begin("job_entrypoint", 1, **GIVEN)
    calling.end("agent_turn", 4, **{**GIVEN, "user.id": "ben"})
    calling.begin("job_entrypoint", 1, **{**GIVEN, "user.id": "x", IN_PROGRESS: True})
    assert calling.read(at=25) == [
        ("on_enter", "order-7", "ann"),
        ("agent_turn", "order-7", "ben"),
        ("job_entrypoint", "order-7", "x"),
    ]


def test_what_was_acknowledged_is_not_held_again(calling: Calling, tmp_path: Path) -> None:
    """A new drainer goes on where the old one was, with what begins there."""
    calling.begin("agent_session", 1, **EARLY)
    calling.end("on_enter", 2, **EARLY)
    assert len(calling.read(at=25)) == 1
    path = calling.reader.path
    calling.end("agent_turn", 3, **EARLY)
    again = SegmentReader(
        path, calling.reader.position, settle_seconds=2.0, now=lambda: EPOCH + 26 * TENTH
    )
    assert [span.name for span in again.read(2**20)] == ["agent_turn"]
