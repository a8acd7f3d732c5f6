"""Which calls a person means."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.read.recorded import recording, span, with_turns
from tracing.read.selection import ChoiceError, choose, parse_time

pytestmark = pytest.mark.usefixtures("utc")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-10-01", datetime(2026, 10, 1, tzinfo=timezone.utc)),
        ("2026-10-01T12:30", datetime(2026, 10, 1, 12, 30, tzinfo=timezone.utc)),
        ("2026-10-01T12:30:00Z", datetime(2026, 10, 1, 12, 30, tzinfo=timezone.utc)),
        ("2026-10-01T12:30+02:00", datetime(2026, 10, 1, 10, 30, tzinfo=timezone.utc)),
        ("2h", datetime(2026, 11, 20, 10, tzinfo=timezone.utc)),
        ("7d", datetime(2026, 11, 13, 12, tzinfo=timezone.utc)),
    ],
)
def test_times_a_person_writes(text: str, moment: datetime) -> None:
    """Dates and times are local unless they say otherwise; `2h` is two hours ago."""
    assert parse_time(text, now=datetime(2026, 11, 20, 12, tzinfo=timezone.utc)) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "999999w"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """The message shows how to write one."""
    with pytest.raises(ChoiceError) as caught:
        parse_time(text)
    assert str(caught.value) == (
        f"{text!r} is no time: write 2026-10-01, 2026-10-01T12:30, or 30m, 2h, 7d for that ago"
    )


@pytest.mark.parametrize(
    ("selector", "numbers"),
    [
        ("room-1", [1]),
        ("shared", [2, 3]),
        (span(2).trace_id.hex(), [2]),
        ("01000000AB", [1]),
        ("2025-10-09T10:30..2025-10-09T11:30", [2]),
        ("2025-10-09T10:30..", [2, 3]),
        ("..2025-10-09T10:30", [1]),
        ("preemptive_generation=true", [1]),
        ("preemptive_generation.enabled=false", [2]),
        ("call.options.llm_model=gpt-4o", [2]),
        ("service.version=1.2", [3]),
        ("agent=clinic", [3]),
        ("speed=fast", [1, 3]),
        ("speed=slow", [2]),
    ],
)
def test_a_side_is_a_call_a_time_or_an_attribute(
    tmp_path: Path, selector: str, numbers: list[int]
) -> None:
    """Session, trace, range, option, resource, description or turn choose the same way."""
    options = "call.options.preemptive_generation.enabled"
    source = recording(
        tmp_path,
        span(1, described=with_turns(n=1, speed="fast"), **{"session.id": "room-1", options: True}),
        span(
            2,
            described=with_turns(n=2, speed="slow"),
            **{"session.id": "shared", options: False, "call.options.llm_model": "gpt-4o"},
        ),
        span(
            3,
            described=json.dumps({"agent": "clinic", **json.loads(with_turns(n=3, speed="fast"))}),
            **{"session.id": "shared"},
        )._replace(resource={"service.version": "1.2"}),
    )
    side = choose(selector, source, list(source.calls()))
    assert (side.selector, side.calls) == (selector, len(numbers))
    assert sorted(turn["n"] for turn in side.turns) == numbers
    assert side.budgets == [1.0] * len(numbers)


@pytest.mark.parametrize(
    ("selector", "problem"),
    [
        ("nobody", "nothing matches 'nobody': give a session id, the beginning of a trace id,"),
        ("kind=say", "nothing matches 'kind=say': give"),
        ("0", "nothing matches '0': give"),
        ("0000..x", "'0000' is no time: write"),
        ("0000000000ab", "nothing matches"),
    ],
)
def test_a_side_without_turns_is_refused(tmp_path: Path, selector: str, problem: str) -> None:
    """A slip of the pen is no comparison."""
    source = recording(tmp_path, span(1, described=with_turns()))
    with pytest.raises(ChoiceError) as caught:
        choose(selector, source, list(source.calls()))
    assert str(caught.value).startswith(problem)


def test_an_ambiguous_trace_is_refused(tmp_path: Path) -> None:
    """Two traces that begin alike are not mixed up."""
    one = span(1)
    source = recording(tmp_path, one, one._replace(trace_id=one.trace_id[:15] + b"\xff"))
    with pytest.raises(ChoiceError) as caught:
        choose("01000000ab", source, list(source.calls()))
    assert str(caught.value) == "2 traces begin with '01000000ab': give more of the id"
