"""A spool that is moved or replaced under its agents: noticed, gone on with, and found again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.fakes import RecordingServer, draining, otlp_backend, until
from tests.spool.segment_files import end_of, ended_names, kinds_and_names, make_writer
from tracing.deliver.flush import flush_spool
from tracing.spool.losses import Ledger
from tracing.spool.moved import forget_moved, moved_places, note_moved
from tracing.spool.records import CLOSED
from tracing.spool.segments import SegmentWriter, segment_paths


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """The spool's directory."""
    return tmp_path / "data" / "spool"


@pytest.fixture
def writer(spool: Path, ledger: Ledger) -> SegmentWriter:
    """A writer with one span in its segment."""
    spool.parent.mkdir()
    writer = make_writer(spool, ledger)
    writer.append(end_of(1))
    return writer


MOVES = {
    "renamed": lambda spool, away: spool.rename(away),
    "replaced": lambda spool, away: (spool.rename(away), spool.mkdir(mode=0o700, exist_ok=True)),
    "its parent renamed": lambda spool, away: (
        spool.parent.rename(away.parent / "old"),
        (away.parent / "old" / "spool").rename(away),
    ),
}


@pytest.mark.parametrize("how", MOVES)
def test_moved_spool_is_noticed_and_gone_on_with(
    tmp_path: Path, spool: Path, writer: SegmentWriter, ledger: Ledger, how: str
) -> None:
    """The next spans are where drainers look, a note tells of the rest, and nothing is lost."""
    away = tmp_path / "away"
    MOVES[how](spool, away)
    assert writer.look() is True
    writer.append(end_of(2))
    assert ended_names(spool) == ["span 2"]
    assert moved_places(spool) == [away]
    [left] = segment_paths(away)
    assert kinds_and_names(left)[-1] == (CLOSED, "")
    assert dict(ledger.counts) == {}
    writer.close()


def test_spool_that_stays_is_let_be(spool: Path, writer: SegmentWriter, ledger: Ledger) -> None:
    """Looking costs nothing where nothing happened."""
    [segment] = segment_paths(spool)
    assert [writer.look() for _ in range(3)] == [True] * 3
    assert (segment_paths(spool), moved_places(spool)) == ([segment], [])
    assert dict(ledger.counts) == {}
    writer.close()


def test_segment_that_somebody_took_out_of_the_spool_is_noticed(
    tmp_path: Path, spool: Path, writer: SegmentWriter
) -> None:
    """A file by itself is moved as a directory is."""
    [segment] = segment_paths(spool)
    (tmp_path / "taken").mkdir()
    segment.rename(tmp_path / "taken" / segment.name)
    writer.look()
    assert moved_places(spool) == [tmp_path / "taken"]
    writer.close()


def test_deleted_spool_is_a_loss_that_is_said_once(
    spool: Path, writer: SegmentWriter, ledger: Ledger
) -> None:
    """Whoever looks first is told; what comes later is safe again."""
    for path in spool.iterdir():
        path.unlink()
    assert [writer.look(), writer.look()] == [False, True]
    assert dict(ledger.counts) == {"the spool directory was deleted": 1}
    writer.close()


@pytest.mark.parametrize("how", MOVES)
def test_drainer_brings_back_what_was_moved(
    tmp_path: Path, spool: Path, writer: SegmentWriter, how: str
) -> None:
    """All of it arrives, once, and a flush waits for it."""
    with RecordingServer() as server:
        with draining(spool, otlp_backend(server.url)):
            until(lambda: server.accepted_names() == ["span 1"])
            writer.append(end_of(2))
            MOVES[how](spool, tmp_path / "away")
            writer.append(end_of(3))
            writer.look()
            writer.append(end_of(4))
            assert flush_spool(spool, 0.1, patient=True) is False
        with draining(spool, otlp_backend(server.url)):
            assert flush_spool(spool, 20, patient=True) is True
            assert set(server.accepted_names()) == {f"span {n}" for n in (1, 2, 3, 4)}
    assert moved_places(spool) == []
    writer.close()


def test_flush_of_a_spool_that_is_not_there_is_false(spool: Path, writer: SegmentWriter) -> None:
    """What cannot be seen is not delivered."""
    spool.rename(spool.parent / "away")
    assert flush_spool(spool, 5.0) is False


def test_notes_are_one_for_each_place(tmp_path: Path) -> None:
    """However many agents leave one, and whatever the place is called."""
    places = [tmp_path / "a", tmp_path / "b\udcff"]
    for place in places:
        note_moved(tmp_path, place)
    note_moved(tmp_path, places[0])
    assert sorted(moved_places(tmp_path)) == sorted(places)
    forget_moved(tmp_path, places[1])
    forget_moved(tmp_path, places[1])
    assert moved_places(tmp_path) == [places[0]]


def test_look_before_the_first_span_leaves_the_segment_to_it(
    tmp_path: Path, ledger: Ledger
) -> None:
    """A forked child's keeper looks while its first span ends: that span is on disk."""
    for number in range(50):
        writer = make_writer(tmp_path / f"{number}", ledger)
        writer.after_fork()
        looking = threading.Thread(target=writer.look)
        looking.start()
        writer.append(end_of(1))
        assert ended_names(tmp_path / f"{number}") == ["span 1"]
        looking.join()
        writer.close()
    assert dict(ledger.counts) == {}


def test_threads_that_open_a_segment_together_lose_nothing(tmp_path: Path, ledger: Ledger) -> None:
    """Whoever comes while another one opens it waits for that."""
    for number in range(20):
        writer = make_writer(tmp_path / f"{number}", ledger)
        writer.after_fork()
        threads = [threading.Thread(target=writer.append, args=(end_of(n),)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(ended_names(tmp_path / f"{number}")) == {f"span {n}" for n in range(4)}
        writer.close()
    assert dict(ledger.counts) == {}
