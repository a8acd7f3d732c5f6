"""What a session leaves to be measured when its job ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.audio import AUDIO, record
from tests.capture.sound.test_recording import Recorder, Session
from tests.fakes import make_span
from tracing.account.turns.turn import Turn
from tracing.capture.sound.to_measure import HeardTurns, Measurable
from tracing.heard.waiting import left, read, sounds

TOLD = {
    "turn.agent_started_speaking_at": 100.0,
    "turn.agent_stopped_speaking_at": 103.0,
    "turn.user_stopped_speaking_at": 99.0,
    "turn.user_bot_latency_seconds": 1.0,
    "turn.barged_in": False,
}


@pytest.fixture
def measurable(tmp_path: Path) -> Measurable:
    """A spool, and what its spans carry."""
    return Measurable(tmp_path / "spool", {"service.name": "agent"}, {"langfuse": {"tags": ["a"]}})


def heard(*stamped: dict[str, Any]) -> HeardTurns:
    """What watched turns with these stamps."""
    turns = HeardTurns()
    for number, stamps in enumerate(stamped, 1):
        turns.turn_ended(Turn(make_span(number, "agent_turn")), stamps)
    return turns


async def test_ids_and_numbers_of_what_was_heard_are_left(
    tmp_path: Path, measurable: Measurable
) -> None:
    """With the sound; no text of a turn, and none of which nothing was heard."""
    source = record(tmp_path / "job")
    turns = heard({**TOLD, "turn.agent_text": "Hello.", "turn.number": 1}, {"turn.number": 2})
    await turns.leave(Session(Recorder(source)), measurable, {"session.id": "s"})
    source.unlink()
    [path] = left(measurable.spool)
    found = read(path)
    assert [turn.told for turn in found.turns] == [TOLD]
    assert found.turns[0].span_id == make_span(1).span_id.hex()
    assert found.trace_id == make_span(1).trace_id.hex()
    assert (found.began, found.shared) == (1_700_000_000.5, {"session.id": "s"})
    assert (found.resource, found.labels) == (measurable.resource, measurable.labels)
    assert (sounds(measurable.spool) / found.sound).read_bytes() == AUDIO


@pytest.mark.parametrize("recorder", [None, Recorder(None), Recorder(Path("gone.ogg"))])
async def test_nothing_is_left_of_what_was_not_recorded(
    recorder: Recorder | None, measurable: Measurable
) -> None:
    """Nor of a recording that is gone, which is said."""
    await heard(TOLD).leave(Session(recorder), measurable, {})
    assert left(measurable.spool) == []


async def test_nothing_is_left_where_nothing_was_heard(
    tmp_path: Path, measurable: Measurable
) -> None:
    """A call in text, or one that ended before a word."""
    source = record(tmp_path / "job")
    await heard({"turn.number": 1}).leave(Session(Recorder(source)), measurable, {})
    assert not (measurable.spool / "heard").exists()
