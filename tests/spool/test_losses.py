"""What is lost is counted, written down, and said at most once a minute."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
from pathlib import Path

import pytest

from tests.fakes import run_python
from tracing.spool import losses
from tracing.spool.losses import Ledger, count_losses, read_losses, sentence


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("the spool was full", 512, "", "full at 256 MiB"),
            "dropped 512 spans: the spool was full (full at 256 MiB)",
        ),
        (("the spans were too old", 1), "dropped 1 span: the spans were too old"),
        (
            ("the backend rejected the span", 2, "otlp", "400: no"),
            "dropped 2 spans: the backend rejected the span [otlp] (400: no)",
        ),
        (
            ("an attribute was truncated", 1, "", "a of b"),
            "changed 1 attribute: an attribute was truncated (a of b)",
        ),
        (
            ("the mask failed, so the value was withheld", 3),
            "changed 3 attributes: the mask failed, so the value was withheld",
        ),
    ],
)
def test_a_loss_in_words(arguments: tuple[str, int, str, str], said: str) -> None:
    """A person reads what, how many, why and whose."""
    assert sentence(*arguments) == said


def test_losses_are_counted_by_reason_and_written_when_settled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Counts add up, stand in the spool's private file with their details, and are logged."""
    ledger = Ledger(tmp_path)
    ledger.count(losses.WRITE_FAILED, detail="No space left")
    ledger.count(losses.WRITE_FAILED, 2, detail="No space left on device")
    ledger.count(losses.QUARANTINED, backend="otlp", detail="400: no")
    ledger.count(losses.EXPIRED, 0)
    ledger.settle()
    entries = read_losses(tmp_path)
    assert ledger.counts == {losses.WRITE_FAILED: 3, losses.QUARANTINED: 1}
    assert [{k: v for k, v in entry.items() if k != "at"} for entry in entries] == [
        {
            "pid": os.getpid(),
            "reason": losses.WRITE_FAILED,
            "number": 3,
            "backend": "",
            "detail": "No space left on device",
        },
        {
            "pid": os.getpid(),
            "reason": losses.QUARANTINED,
            "number": 1,
            "backend": "otlp",
            "detail": "400: no",
        },
    ]
    assert stat.S_IMODE((tmp_path / "losses.jsonl").stat().st_mode) == 0o600
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.WARNING,
            "dropped 3 spans: the spool could not be written (No space left on device)",
        ),
        (logging.WARNING, "dropped 1 span: the backend rejected the span [otlp] (400: no)"),
    ]
    assert count_losses(tmp_path) == {losses.WRITE_FAILED: 3, losses.QUARANTINED: 1}


def test_same_loss_is_said_once_a_minute_and_written_at_once(
    tmp_path: Path,
) -> None:
    """Nobody's log is flooded; nothing is forgotten meanwhile."""
    said: list[str] = []
    now = [100.0]
    ledger = Ledger(tmp_path, say=said.append, clock=lambda: now[0])
    for _ in range(5):
        ledger.count(losses.WRITE_FAILED)
        ledger.settle()
    assert said == ["dropped 1 span: the spool could not be written"]
    assert count_losses(tmp_path) == {losses.WRITE_FAILED: 5}
    now[0] += 60.0
    ledger.settle()
    ledger.settle()
    assert said[1:] == ["dropped 4 spans: the spool could not be written"]


def test_last_losses_are_said_without_waiting(tmp_path: Path) -> None:
    """At the end of a process what is not said yet is said."""
    said: list[str] = []
    ledger = Ledger(tmp_path, say=said.append)
    for _ in range(2):
        ledger.count(losses.WRITE_FAILED)
        ledger.settle(finally_=True)
    assert said == ["dropped 1 span: the spool could not be written"] * 2


def test_loss_file_is_bounded(tmp_path: Path) -> None:
    """A process that loses for ever does not fill the disk with saying so."""
    ledger = Ledger(tmp_path, say=lambda text: None, max_file_bytes=500)
    for _ in range(20):
        ledger.count(losses.WRITE_FAILED, detail="x" * 10_000)
        ledger.settle()
    assert (tmp_path / "losses.jsonl").stat().st_size < 1500
    assert ledger.counts == {losses.WRITE_FAILED: 20}


def test_loss_file_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    """Counting goes on in memory where the spool is gone."""
    ledger = Ledger(tmp_path / "gone", say=lambda text: None)
    ledger.count(losses.SPOOL_DELETED, 7)
    ledger.settle()
    assert ledger.counts == {losses.SPOOL_DELETED: 7}
    assert read_losses(tmp_path / "gone") == []


def test_damaged_lines_are_left_out(tmp_path: Path) -> None:
    """A torn or foreign line does not hide the others."""
    good = json.dumps({"reason": losses.EXPIRED, "number": 2})
    lines = [good, "{", "", "5", "[]", "null", '{"reason": 5, "number": "x"}', good]
    (tmp_path / "losses.jsonl").write_text("\n".join(lines))
    assert count_losses(tmp_path) == {losses.EXPIRED: 4}


def test_threads_count_every_loss(tmp_path: Path) -> None:
    """Additions from several threads add up."""
    ledger = Ledger(tmp_path)

    def count() -> None:
        for _ in range(1000):
            ledger.count(losses.WRITE_FAILED)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.counts == {losses.WRITE_FAILED: 4000}


FORK = """
import os, sys
from pathlib import Path
from tracing.spool.losses import Ledger

ledger = Ledger(Path(sys.argv[1]))
ledger.count("a reason", 5)
if hasattr(ledger, "after_fork"):
    os.register_at_fork(after_in_child=ledger.after_fork)
child = os.fork()
ledger.settle()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""


def test_forked_child_does_not_count_its_parents_losses_again(tmp_path: Path) -> None:
    """What was counted and not yet written when a process forked is the parent's."""
    run_python(FORK, tmp_path)
    assert count_losses(tmp_path) == {"a reason": 5}
