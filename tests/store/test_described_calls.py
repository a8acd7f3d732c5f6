"""What is known of calls beside their spans, however these came in."""

from __future__ import annotations

import logging
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bench.turns import call_of
from tests.store.calls import RECORDINGS, TOOLS, call
from tracing.calls.facts import Facts
from tracing.otlp_json import read_spans
from tracing.read.sources import RecordedFiles
from tracing.span import Span
from tracing.store.catching_up import catch_up
from tracing.store.schema import _STEPS, SCHEMA_VERSION
from tracing.store.store import Store
from tracing.view.library import Library

EVERY = sorted(RECORDINGS.glob("*/*.json"))
QUERIES = ("weather", "eath", "OSLO", "is in", "it", "oslo sunny", "ß", '"', "no such word")


def name_of(path: Path) -> str:
    """Version and scenario."""
    return f"{path.parent.name}-{path.stem}"


def batches(spans: Sequence[Span], seed: int) -> Iterator[list[Span]]:
    """The spans in any order, some of them open at first, in batches of any size."""
    chance = random.Random(seed)
    opened = [span._replace(end_time_unix_nano=0) for span in spans if chance.random() < 0.3]
    mixed = [*spans, *opened]
    chance.shuffle(mixed)
    while mixed:
        size = chance.choice((1, 2, 5, 20, 100))
        yield mixed[:size]
        del mixed[:size]


def is_as_its_spans(store: Store) -> bool:
    """Whether all calls are told as their spans tell them."""
    for trace_id in store.revisions():
        facts = Facts(store.spans(trace_id))
        told = (store.describe(trace_id), store.row(trace_id), lines_of(store, trace_id))
        if told != (facts.call, facts.row, facts.lines):
            return False
        if store.told(trace_id) not in (None, facts.told):
            return False
    return True


def lines_of(store: Store, trace_id: str) -> list[object]:
    """What was said in a call."""
    return [line for found, line in store.lines([]) if found == trace_id]


def not_current(path: Path) -> list[str]:
    """The calls that readers describe from their spans."""
    query = "SELECT trace_id FROM calls LEFT JOIN described USING (trace_id) WHERE is_call"
    with closing(sqlite3.connect(path)) as db, db:
        return [found for (found,) in db.execute(f"{query} AND is_current IS NOT 1")]


def make_older(path: Path, schema: int = 1) -> None:
    """Make it the store of an earlier version, as its writer left it."""
    with closing(sqlite3.connect(path)) as db, db:
        for table in ("described", "turns", "said", "said_index", "log_lines"):
            db.execute(f"DROP TABLE {table}")
        for statement in _STEPS[1] if schema > 1 else ():
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {schema}")


@pytest.mark.parametrize("path", EVERY, ids=name_of)
def test_a_call_is_as_its_spans_whatever_the_batches(path: Path, tmp_path: Path) -> None:
    """After every batch, and when the last has come, by rows that are current."""
    now = [0.0]
    spans = list(read_spans(path))
    for seed in range(3):
        file = tmp_path / f"{seed}.db"
        with Store(file, clock=lambda: now[0]) as store:
            for number, batch in enumerate(batches(spans, seed)):
                store.add(batch)
                assert number % 4 or is_as_its_spans(store)
            now[0] += 60.0
            store.add([call(9)])
            assert not_current(file) == []
            assert is_as_its_spans(store)
            assert None not in map(store.told, store.revisions())


@pytest.mark.parametrize("words", QUERIES)
def test_a_search_finds_in_the_store_what_it_finds_in_files(words: str, path: Path) -> None:
    """Parts of words, in any case, all of them in one line."""
    files = [found for found in EVERY if found.parent.name == "1.8.9"]
    with Store(path) as store:
        for file in files:
            store.add(list(read_spans(file)))
    with Store(path, read_only=True) as store:
        stored = Library(store, "stored").search(words)
    assert stored == Library(RecordedFiles(files), "recorded").search(words)
    assert bool(stored) == (words not in ("ß", '"', "no such word"))


def test_a_call_is_described_once_when_it_has_ended(path: Path) -> None:
    """Or when nothing has come in for it for a while, but not with every batch."""
    now = [1000.0]
    root, *others = call_of(20, 1)
    statements: list[str] = []
    with Store(path, clock=lambda: now[0]) as store:
        store._db.set_trace_callback(statements.append)
        store.add([root._replace(end_time_unix_nano=0)])
        for at in range(0, len(others), 10):
            store.add(others[at : at + 10])
        assert described_in(statements) == 0
        now[0] += 60.0
        assert store.describe_waiting() == 1
        assert described_in(statements) == 1
        store.add([root])
        assert described_in(statements) == 2
        assert not_current(path) == []
        assert (store.describe_waiting(), is_as_its_spans(store)) == (0, True)


def described_in(statements: Sequence[str]) -> int:
    """How often a call was described."""
    return sum(text.startswith("REPLACE INTO described") for text in statements)


def test_an_older_store_is_read_as_it_is_and_filled_by_its_writer(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A few calls at a time, with nothing lost; readers notice nothing of it."""
    now = [0.0]
    with Store(path, clock=lambda: now[0]) as store:
        for number in range(20):
            store.add(call_of(1, number))
        expected = [store.describe(trace_id) for trace_id in store.revisions()]
    make_older(path)
    with Store(path, read_only=True) as reader:
        assert [reader.describe(trace_id) for trace_id in reader.revisions()] == expected
        assert is_as_its_spans(reader)
        now[0] = 86400.0
        with caplog.at_level(logging.INFO), Store(path, clock=lambda: now[0]) as store:
            left = []
            for _ in range(4):
                left.append(len(not_current(path)))
                store.add(call_of(1, 99))
                assert is_as_its_spans(reader)
                now[0] += 30.0
        assert left == [20, 12, 4, 0]
        found = [reader.describe(trace_id) for trace_id in reader.revisions()]
        assert found[1:] == expected
    assert caplog.messages == [
        "described 8 of 20 calls stored earlier",
        "described 20 of 20 calls stored earlier",
    ]
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


@pytest.mark.parametrize("schema", [1, 2])
def test_a_store_is_brought_up_to_date_by_who_is_about_to_read_it(path: Path, schema: int) -> None:
    """Every call is described, however old, and how far it is told; nothing is deleted."""
    with Store(path, clock=lambda: 0.0) as store:
        for number in range(20):
            store.add(call_of(1, number))
        expected = [store.told(trace_id) for trace_id in store.revisions()]
    make_older(path, schema)
    with Store(path, read_only=True) as reader:
        assert reader.waiting_calls() == 20
        assert {reader.told(trace_id) for trace_id in reader.revisions()} == {None}
        told: list[tuple[int, int]] = []
        catch_up(path, lambda *progress: told.append(progress))
        assert told == [(8, 20), (16, 20), (20, 20)]
        assert reader.waiting_calls() == 0
        assert [reader.told(trace_id) for trace_id in reader.revisions()] == expected
    catch_up(path, lambda *progress: told.append(progress))
    assert len(told) == 3


def test_a_store_that_cannot_be_written_is_left_as_it_is(path: Path) -> None:
    """Its readers describe calls from their spans."""
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    catch_up(path, lambda *progress: None)
    assert path.read_bytes() == b"no database" * 1000


def test_what_is_known_of_a_call_goes_with_it(path: Path) -> None:
    """Its rows, the lines in it, and what the index has of them."""
    now = [0.0]
    with Store(path, clock=lambda: now[0]) as store:
        store.add(list(read_spans(TOOLS)))
        assert list(store.lines(["oslo"])) != []
        now[0] = 31 * 86400.0
        store.add([call(1)])
    with closing(sqlite3.connect(path)) as db, db:
        left = {
            table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("described", "turns", "said")
        }
        assert left == {"described": 1, "turns": 0, "said": 0}
        query = "SELECT rowid FROM said_index WHERE said_index MATCH '\"osl\"'"
        assert db.execute(query).fetchall() == []
        blocks = db.execute("SELECT block FROM said_index_data").fetchall()
        assert not any(b"osl" in block for (block,) in blocks)
    assert b"Oslo" not in path.read_bytes()


def test_of_a_call_that_withholds_nothing_is_said(path: Path) -> None:
    """There is no line, and no word in any row."""
    with Store(path) as store:
        store.add(list(read_spans(TOOLS.with_name("withheld.json"))))
        assert list(store.lines([])) == []
        [turns] = [store.describe(trace_id)["turns"] for trace_id in store.revisions()]
    assert turns
    assert not any("user_text" in turn or "agent_text" in turn for turn in turns)
