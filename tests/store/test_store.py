"""The embedded store: a real SQLite file."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.store.calls import ROOT_ID, START, TOOLS, call
from tracing.limits import MAX_DEPTH
from tracing.otlp_json import read_spans
from tracing.span import Event, Link
from tracing.spool.files import UnsafePath
from tracing.store.log_lines import LogLineStore
from tracing.store.schema import SCHEMA_VERSION, StoreError
from tracing.store.store import Store


def test_spans_come_back_as_they_went_in(path: Path) -> None:
    """Every field and every kind of value, bytes, infinities and huge integers included."""
    span = call(
        1,
        parent_span_id=b"parentid",
        attributes={
            "text": "Grüße 🎉\n\x00",
            "flag": True,
            "count": 0,
            "big": 2**70,
            "whole": 1.0,
            "infinite": [math.inf, -math.inf],
            "raw": b"\x00\xff",
            "list": ["a", 1, 2.5, False, b"x", ["deep"]],
            "$bytes": "not bytes",
            "map": {"a": {"b": [{"raw": b"x", "ratio": math.inf}]}, "none": None, "empty": {}},
            "like ours": [{"$bytes": "eA=="}, {"$double": {"$$x": b"$"}}, {"$": 1}],
        },
        events=(Event("exception", START, {"raw": b"e"}), Event("bare", START)),
        links=(Link(b"t" * 16, b"s" * 8, {"why": math.inf}),),
        status_code=2,
        status_message="no",
        kind=3,
        trace_state="vendor=1",
        dropped_attributes_count=1,
        dropped_events_count=2,
        dropped_links_count=3,
        scope_name="livekit-agents",
        scope_version="1.8.9",
        resource={"service.name": "agent", "raw": b"r"},
    )
    with Store(path) as store:
        store.add([span])
    with Store(path, read_only=True) as store:
        assert store.spans(span.trace_id.hex()) == [span]


def test_not_a_number_comes_back(path: Path) -> None:
    """NaN, which equals nothing, is still NaN."""
    with Store(path) as store:
        store.add([call(1, attributes={"value": math.nan})])
        [found] = store.spans(call(1).trace_id.hex())
    assert math.isnan(found.attributes["value"])  # type: ignore[arg-type]


def test_hostile_values_do_not_block_the_other_spans(path: Path) -> None:
    """Half characters and times beyond 64 bits are stored as near as SQLite can."""
    hostile = call(
        1,
        name="half \ud83d",
        start_time_unix_nano=2**64,
        end_time_unix_nano=2**64,
        kind=2**80,
        attributes={"text": "half \ud83d", "seconds": math.inf},
    )
    with Store(path) as store:
        store.add([hostile, call(2)])
        assert store.spans(hostile.trace_id.hex()) == [
            hostile._replace(
                name="half ?",
                start_time_unix_nano=2**63 - 1,
                end_time_unix_nano=2**63 - 1,
                kind=2**63 - 1,
                attributes={"text": "half ?", "seconds": math.inf},
            )
        ]
        assert store.spans(call(2).trace_id.hex()) == [call(2)]


def test_values_nested_beyond_all_measure_do_not_block_the_other_spans(path: Path) -> None:
    """What is too deep is cut there."""
    value: Any = 1
    for _ in range(5_000):
        value = {"in": value}
    with Store(path) as store:
        store.add([call(1, attributes={"deep": value}), call(2)])
        [found] = store.spans(call(1).trace_id.hex())
        assert store.spans(call(2).trace_id.hex()) == [call(2)]
    assert str(found.attributes["deep"]).count("in") == MAX_DEPTH + 1


def test_a_later_version_replaces_an_earlier(path: Path) -> None:
    """Repeats change nothing; open gives way to ended, and ended to a later ended."""
    open_span = call(1, end_time_unix_nano=0)
    ended, corrected = call(1, attributes={"v": 1}), call(1, attributes={"v": 2})
    trace_id = ended.trace_id.hex()
    with Store(path) as store:
        store.add([open_span])
        assert store.spans(trace_id) == [open_span]
        store.add([open_span._replace(name="renamed")])
        assert store.spans(trace_id) == [open_span._replace(name="renamed")]
        store.add([ended, ended])
        store.add([ended])
        assert store.spans(trace_id) == [ended]
        store.add([corrected])
        assert store.spans(trace_id) == [corrected]


def test_an_open_version_never_replaces_an_ended_one(path: Path) -> None:
    """A start record that comes late, or in one batch with the end, is ignored."""
    ended, late = call(1), call(1, end_time_unix_nano=0, attributes={"late": True})
    with Store(path) as store:
        store.add([ended, late])
        store.add([late])
        assert store.spans(ended.trace_id.hex()) == [ended]


def test_a_failed_batch_leaves_nothing_behind(path: Path) -> None:
    """A batch is one transaction, and the store works on after it."""
    broken = call(2)._replace(trace_id="no bytes")  # type: ignore[arg-type]
    with Store(path) as store:
        with pytest.raises(AttributeError):
            store.add([call(1), broken])
        assert list(store.calls()) == []
        store.add([call(3)])
        assert [found.trace_id for found in store.calls()] == [call(3).trace_id.hex()]


def test_the_file_is_the_users_alone(path: Path) -> None:
    """Neither the database nor the files beside it can be read by others."""
    before = os.umask(0)
    try:
        with Store(path) as store:
            store.add([call(1)])
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"calls.db": 0o600, "calls.db-wal": 0o600, "calls.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_store_that_is_not_there_has_no_calls(path: Path) -> None:
    """Reading makes no file."""
    with Store(path, read_only=True) as store:
        assert (list(store.calls()), store.spans("00"), store.deleted_calls) == ([], [], 0)
    assert not path.parent.exists()


def test_a_file_without_tables_yet_has_no_calls(path: Path) -> None:
    """A reader that comes just before the writer's first statement sees an empty store."""
    path.parent.mkdir()
    path.touch()
    with Store(path, read_only=True) as store:
        assert list(store.calls()) == []


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    """Question marks, hashes and percent signs are no part of a URI here."""
    path = tmp_path / "a?b#c%20d" / "calls.db"
    with Store(path) as store:
        store.add([call(1)])
    with Store(path, read_only=True) as store:
        assert store.spans(call(1).trace_id.hex()) == [call(1)]


def test_a_newer_schema_is_refused(path: Path) -> None:
    """The message says which version wrote the file and what to do; the file is not touched."""
    Store(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for read_only in (True, False):
        with pytest.raises(StoreError) as caught:
            Store(path, read_only=read_only)
        assert str(caught.value) == (
            f"{path} has schema {SCHEMA_VERSION + 1}, written by a newer version of this package;"
            f" this one reads up to schema {SCHEMA_VERSION}: upgrade, or move the file away"
        )
    db.close()


@pytest.mark.parametrize("make", [Store, LogLineStore])
def test_a_store_that_cannot_be_opened_is_closed(path: Path, make: Callable[[Path], Any]) -> None:
    """Also where that shows after the file was opened: no table is in it."""
    Store(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE calls")
    with pytest.raises((StoreError, sqlite3.Error), match="no such table") as caught:
        make(path)
    assert caught.tb  # which holds what was opened
    assert sorted(path.parent.iterdir()) == [path]


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    """A damaged file raises one error with its path, to read and to write."""
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 1000)
    for read_only in (True, False):
        with pytest.raises(StoreError) as caught:
            Store(path, read_only=read_only)
        assert str(caught.value) == f"{path}: file is not a database"


def test_calls_of_which_nothing_is_heard_are_deleted_in_time(path: Path) -> None:
    """A call goes 30 days after its last span came in, whatever its own times say."""
    now = [0.0]
    day = 86400.0
    with Store(path, clock=lambda: now[0]) as store:
        store.add([call(1)])
        now[0] = 10 * day
        store.add([call(2)])
        now[0] = 20 * day
        store.add([call(1, span_id=b"laterone")])
        now[0] = 40.5 * day
        store.add([call(3)])
        assert [int(found.trace_id, 16) for found in store.calls()] == [3, 1]
        assert store.spans(call(2).trace_id.hex()) == []
        assert store.deleted_calls == 1
    now[0] = 100 * day
    with Store(path, clock=lambda: now[0]) as store:
        assert list(store.calls()) == []
        assert store.deleted_calls == 3


def test_the_longest_quiet_calls_make_room(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Above the bound whole calls go, the latest never; the file stops growing; it is logged."""
    caplog.set_level("INFO", logger="tracing")
    now = [0.0]
    bound = 1024 * 1024
    with Store(path, max_bytes=bound, clock=lambda: now[0]) as store:
        for number in range(1, 40):
            now[0] += 1
            spans = [call(number, span_id=n.to_bytes(8, "big")) for n in range(1, 11)]
            store.add([span._replace(attributes={"text": "x" * 10_000}) for span in spans])
        kept = [int(found.trace_id, 16) for found in store.calls()]
        assert kept == list(range(39, 39 - len(kept), -1))
        assert {len(store.spans(f"{number:032x}")) for number in kept} == {10}
        assert store.deleted_calls == 39 - len(kept)
        now[0] += 1
        store.add([call(99, attributes={"text": "x" * 2 * bound})])
        assert [int(found.trace_id, 16) for found in store.calls()] == [99]
    assert path.stat().st_size < 4 * bound
    first = caplog.messages[0]
    assert first == f"deleted the 1 oldest calls of {path}: it keeps 30 days and 1 MiB"
    assert len(caplog.messages) == 1  # the other deletions fell into the same minute


def test_deleted_text_leaves_the_file(path: Path) -> None:
    """What retention deletes cannot be found in the file's free pages."""
    now = [0.0]
    with Store(path, clock=lambda: now[0]) as store:
        store.add([call(1, attributes={"text": "my secret illness " * 1000})])
        now[0] = 31 * 86400.0
        store.add([call(2)])
    assert b"secret illness" not in path.read_bytes()


def test_a_person_can_read_it_with_sqlite(path: Path) -> None:
    """Plain columns, plain JSON, and two views in units a person thinks in."""
    turn = call(
        1,
        name="agent_turn",
        attributes={
            "turn.number": 1,
            "turn.kind": "reply",
            "turn.user_bot_latency_seconds": 0.81234,
            "lk.pii.user_input": "Grüß Gott",
            "lk.pii.response.text": "Hello",
            "session.id": "room/job",
        },
    )
    with Store(path) as store:
        store.add([turn])
    db = sqlite3.connect(path)
    [(attributes,)] = db.execute("SELECT attributes FROM spans").fetchall()
    assert "Grüß Gott" in attributes
    assert json.loads(attributes) == turn.attributes
    trace_id = turn.trace_id.hex()
    assert db.execute("SELECT * FROM call_list").fetchall() == [
        ("2025-10-09 08:53:21", "room/job", "", "", 0.0, "[]", trace_id)
    ]
    assert db.execute("SELECT * FROM turn_list").fetchall() == [
        (trace_id, 1, "reply", 0.812, "Grüß Gott", "Hello", ROOT_ID.hex())
    ]
    db.close()


def test_reads_while_another_writes(path: Path) -> None:
    """A reader sees whole batches only, and never stops the writer."""
    batches, size = 40, 25
    Store(path).close()

    def write() -> None:
        with Store(path) as store:
            for batch in range(batches):
                ids = range(batch * size, (batch + 1) * size)
                store.add([call(1, span_id=(n + 1).to_bytes(8, "big")) for n in ids])

    writer = threading.Thread(target=write, name="writer", daemon=True)
    seen = []
    with Store(path, read_only=True) as reader:
        writer.start()
        while not seen or seen[-1] < batches * size:
            seen.append(len(reader.spans(call(1).trace_id.hex())))
            assert writer.is_alive() or len(reader.spans(call(1).trace_id.hex())) == 1000
        writer.join()
    assert seen == sorted(seen)
    assert {count % size for count in seen} == {0}


def test_two_writers_wait_for_each_other(path: Path) -> None:
    """Adding waits for a lock that is held a moment, instead of failing."""
    with Store(path) as store:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        holds_for = threading.Timer(0.05, other.execute, ("COMMIT",))
        holds_for.start()
        store.add([call(1)])
        holds_for.join()
        assert [int(found.trace_id, 16) for found in store.calls()] == [1]
        other.close()


def test_a_full_disk_fails_the_batch_and_nothing_else(path: Path) -> None:
    """What could not be written is an error of the store; there is room again, it goes on."""
    with Store(path) as store:
        store.add([call(1)])
        [pages] = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError) as caught:
            store.add([call(2, attributes={"text": "x" * 1_000_000})])
        assert str(caught.value) == f"{path}: database or disk is full"
        store._db.execute("PRAGMA max_page_count = 1000000")
        store.add([call(3)])
        assert [int(found.trace_id, 16) for found in store.calls()] == [3, 1]


def test_the_store_needs_neither_livekit_nor_opentelemetry() -> None:
    """The drainer imports it, and must start fast and stay small."""
    code = "import sys, tracing.store.store; print([m for m in sys.modules if m in sys.argv])"
    heavy = ["livekit", "opentelemetry", "rich", "typer", "tracing.capture"]
    done = subprocess.run(
        [sys.executable, "-c", code, *heavy],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE calls SET models = '[[[[' ",
        "UPDATE calls SET models = 7",
        "UPDATE calls SET models = '[1]'",
        "UPDATE calls SET ended_unix_nano = 'soon'",
        "UPDATE calls SET session_id = x'00ff'",
        "UPDATE calls SET agent = CAST(x'ff' AS TEXT)",
        "UPDATE spans SET attributes = '[]'",
        "UPDATE spans SET attributes = replace(hex(zeroblob(100000)), '00', '[')",
        """UPDATE spans SET attributes = '{"a": {"$bytes": 7}}'""",
        """UPDATE spans SET attributes = '{"a": {"$double": "x"}}'""",
        "UPDATE spans SET events = '{}}'",
        "UPDATE spans SET events = '[{}]'",
        "UPDATE spans SET links = '[1]'",
        "UPDATE spans SET span_id = 'xyz' WHERE name = 'agent_session'",
        "UPDATE spans SET parent_span_id = 'ab'",
        "UPDATE spans SET start_time_unix_nano = 1e300",
        "UPDATE spans SET kind = 'a'",
        "UPDATE spans SET name = x'00'",
        "UPDATE described SET head = '[]'",
        "UPDATE described SET head = '}{'",
        "UPDATE described SET row = '7'",
        "UPDATE described SET row = x'00'",
        "UPDATE turns SET described = '[1]'",
        "UPDATE said SET number = 'first'",
        "UPDATE said SET text = x'00'",
        "DROP TABLE described",
        "DROP TABLE said_index",
        "DROP TABLE said_index; CREATE VIEW said_index AS SELECT * FROM spans",
        "DROP TABLE turns; CREATE VIRTUAL TABLE turns USING fts5(trace_id)",
        "DROP TABLE spans",
        "DROP TABLE calls; CREATE VIEW calls AS SELECT * FROM spans",
        "DROP TABLE calls; CREATE VIRTUAL TABLE calls USING fts5(trace_id)",
    ],
)
def test_a_crafted_store_is_refused_in_one_sentence(path: Path, statement: str) -> None:
    """Whatever somebody else has put there: a StoreError names the file."""
    with Store(path) as store:
        store.add([call(1)])
        store.add(list(read_spans(TOOLS)))
    db = sqlite3.connect(path)
    db.executescript(statement)
    db.close()
    with pytest.raises(StoreError) as caught:
        _read_all(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def _read_all(path: Path) -> None:
    with Store(path, read_only=True) as store:
        for found in [*store.calls(), call(1)]:
            trace_id = found.trace_id
            store.spans(trace_id if isinstance(trace_id, str) else trace_id.hex())
        for trace_id in store.revisions():
            store.describe(trace_id)
            store.row(trace_id)
        list(store.lines(["oslo"]))


def test_a_store_that_is_no_file_is_refused(path: Path) -> None:
    """A pipe would be waited for."""
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(UnsafePath, match="is no file"):
        Store(path, read_only=True)
