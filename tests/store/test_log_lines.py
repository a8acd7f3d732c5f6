"""Log lines beside the spans of a call: once each, in order, and gone with it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.fakes import make_span
from tracing.log_line import LogLine
from tracing.store import schema
from tracing.store.log_lines import LogLineStore
from tracing.store.store import Store

CALL = (7).to_bytes(16, "big")
NOW = 1_700_000_100.0


def line(number: int, **changes: object) -> LogLine:
    """A line whose time and message tell its number."""
    return LogLine(
        trace_id=CALL,
        span_id=(2).to_bytes(8, "big"),
        time_unix_nano=1_700_000_000_000_000_000 + number,
        level=40,
        level_name="ERROR",
        logger="my.app",
        message=f"line {number}",
        exception_type="ValueError",
        exception_message="two",
        exception_stacktrace="Traceback: two",
        code_file="agent.py",
        code_line=12,
        code_function="book",
    )._replace(**changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "calls.db"


def stored(path: Path, trace_id: bytes = CALL) -> list[LogLine]:
    """The lines of a call as a reader finds them."""
    with Store(path, read_only=True) as store:
        return store.log_lines(trace_id.hex())


def add(path: Path, *lines: LogLine, at: float = NOW) -> None:
    """Store lines by a writer of their own."""
    store = LogLineStore(path, clock=lambda: at)
    store.add(lines)
    store.close()


def test_lines_come_back_whole_and_in_order(path: Path) -> None:
    """Every field; those of another call stay there."""
    other = line(3, trace_id=(8).to_bytes(16, "big"))
    add(path, line(2), other, line(1))
    assert stored(path) == [line(1), line(2)]
    assert stored(path, other.trace_id) == [other]


def test_line_that_comes_again_is_one(path: Path) -> None:
    """A batch that is delivered twice; two lines of one instant stay two."""
    same_time = line(1, message="another")
    add(path, line(1), same_time)
    add(path, line(1), line(2))
    assert sorted(stored(path)) == sorted([line(1), same_time, line(2)])


def test_whatever_stands_in_a_line_is_stored(path: Path) -> None:
    """Half characters, and numbers that SQLite has no room for."""
    add(path, line(1, message="\ud800!", level=2**70, time_unix_nano=2**64))
    [found] = stored(path)
    assert (found.message, found.level) == ("?!", 2**63 - 1)


def test_lines_may_come_before_their_call_and_go_with_it(path: Path) -> None:
    """Deleted when nothing has come in for the call for long; a line counts as something."""
    add(path, line(1))
    with Store(path, clock=lambda: NOW) as store:
        store.add([make_span(1, "job_entrypoint")])
        [revision] = store.revisions().values()
    add(path, line(2), at=NOW + 10)
    with Store(path, retention_days=1.0, clock=lambda: NOW + 86_405) as store:
        assert list(store.revisions().values()) == [revision + 10]
        assert store.log_lines(CALL.hex()) == [line(1), line(2)]
    with Store(path, retention_days=1.0, clock=lambda: NOW + 86_411) as store:
        assert (store.revisions(), store.log_lines(CALL.hex())) == ({}, [])


def test_lines_whose_call_never_came_are_deleted_in_time(path: Path) -> None:
    """Or whose call was deleted before them."""
    add(path, line(1))
    add(path, at=NOW + 29 * 86_400)
    assert stored(path) == [line(1)]
    add(path, at=NOW + 31 * 86_400)
    assert stored(path) == []


def test_store_of_the_version_before_has_none_and_gets_their_table(path: Path) -> None:
    """A reader finds no line in it; the next that writes adds the table, and the spans stay."""
    with Store(path, clock=lambda: NOW) as store:
        store.add([make_span(1)])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE log_lines")
        db.execute("PRAGMA user_version = 3")
    assert stored(path) == []
    add(path, line(1))
    assert stored(path) == [line(1)]
    with Store(path, read_only=True) as store:
        assert store.spans(CALL.hex()) == [make_span(1)]
        assert schema.version(store._db) == schema.SCHEMA_VERSION
