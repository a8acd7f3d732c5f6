"""What the doctor says of the spools."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.fakes import make_span
from tracing.deliver.identity import Process
from tracing.deliver.lease import Holder, Lease
from tracing.deliver.status import BackendStatus, write_status
from tracing.doctor.findings import Finding
from tracing.doctor.spool import look_at_spools
from tracing.span import Span
from tracing.spool import losses
from tracing.spool.locks import FileLock
from tracing.spool.losses import Ledger
from tracing.spool.quarantine import quarantine
from tracing.spool.records import end_frame
from tracing.spool.segments import SegmentWriter


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A spool in a TRACING_DIR."""
    path = tmp_path / "spool" / "abc"
    path.mkdir(parents=True)
    return path


def findings(tmp_path: Path) -> list[Finding]:
    """The findings, with paths and times made the same everywhere."""
    return [
        found._replace(text=_same_everywhere(found.text.replace(str(tmp_path), "")))
        for found in look_at_spools(tmp_path)
    ]


def _same_everywhere(text: str) -> str:
    text = re.sub(r"for [\d,]+ s", "for N s", text)
    return re.sub(r"[\d.]+ KiB", "N KiB", re.sub(r"\d{4}-.{14}", "TIME", text))


def write(spool: Path, *spans: Span) -> SegmentWriter:
    """An agent's open segment with these spans."""
    writer = SegmentWriter(spool, resource={}, ledger=Ledger(spool))
    writer.open()
    for span in spans:
        writer.append(end_frame(span, span.attributes))
    return writer


def test_nothing_was_written_yet(tmp_path: Path) -> None:
    """No spool is no fault."""
    assert findings(tmp_path) == [Finding("spool", "ok", "no agent has written spans here yet")]


def test_waiting_spans_without_a_drainer_are_to_mend(tmp_path: Path, spool: Path) -> None:
    """They say who will deliver them, and which backend refused them in which words."""
    writer = write(spool, make_span(1))
    otlp = BackendStatus("otlp", "http://x", "paused", detail="answered 401: no", tenant="user 1")
    write_status(spool, [otlp])
    assert findings(tmp_path) == [
        Finding(
            "spool abc",
            "mend",
            "1 span waiting in N KiB, the oldest for N s; 1 agent process writing, no drainer",
            "the next agent for user 1 delivers them",
        ),
        Finding(
            "spool abc, otlp",
            "mend",
            "paused since TIME: answered 401: no",
            "mend what it says; they wait, and go then",
        ),
    ]
    writer.close()


def test_losses_are_named_by_reason(tmp_path: Path, spool: Path) -> None:
    """Dropped spans are to mend; cut attributes are only told."""
    ledger = Ledger(spool)
    ledger.count(losses.SPOOL_FULL, 512)
    ledger.count(losses.TRUNCATED)
    ledger.settle()
    quarantine(spool, "langfuse", make_span(1))
    assert [found.line for found in findings(tmp_path)[1:]] == [
        "spool abc, lost: 512 spans dropped: the spool was full: "
        "see that its backends take spans, or raise TRACING_SPOOL_MIB",
        "spool abc, changed: 1 attribute: an attribute was truncated",
        "spool abc, rejected: spans that the backend rejected are in "
        "/spool/abc/quarantine-langfuse.jsonl: see why in losses.jsonl; `replay` sends them again",
    ]
    assert [found.state for found in findings(tmp_path)[1:]] == ["mend", "note", "mend"]


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        (
            losses.LINES_NOT_TAKEN,
            "give OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, or set TRACING_LOGS=false",
        ),
        (losses.LINES_DELETED, "see that its backends take log lines"),
        (losses.LINES_TOO_FAST, "raise the level of the logger that losses.jsonl in it names"),
        (losses.LINE_REJECTED, "see losses.jsonl in it"),
    ],
)
def test_lost_log_lines_have_their_mend(reason: str, how: str, tmp_path: Path, spool: Path) -> None:
    """A backend without a place for logs, as Jaeger is, is no riddle in a file."""
    ledger = Ledger(spool)
    ledger.count(reason, 6)
    ledger.settle()
    text = f"6 log lines dropped: {reason}"
    assert findings(tmp_path)[1:] == [Finding("spool abc, lost", "mend", text, how)]


def ended_ago(seconds: float) -> Span:
    """A span that ended so long ago."""
    ended = time.time_ns() - int(seconds * 1e9)
    return make_span(1)._replace(start_time_unix_nano=ended - 1, end_time_unix_nano=ended)


@pytest.mark.parametrize(
    ("waits_seconds", "delivers_since_seconds", "is_said"),
    [(120, 120, True), (30, 120, False), (120, 30, False)],
)
def test_drainer_that_lives_and_delivers_nothing_is_told(
    tmp_path: Path,
    spool: Path,
    waits_seconds: float,
    delivers_since_seconds: float,
    is_said: bool,
) -> None:
    """Where a span waits for more than a minute, and its backend took others for as long."""
    writer = write(spool, ended_ago(waits_seconds))
    lock = FileLock.take(spool / "drainer.lock")
    assert lock is not None
    Lease(lock, Holder(Process(7), "abc"))
    since = time.time() - delivers_since_seconds
    write_status(spool, [BackendStatus("otlp", "http://x", since=since)])
    said = Finding(
        "spool abc, drainer",
        "mend",
        "process 7 is alive and delivers nothing of what waits",
        "see its log, and end it: an agent starts another",
    )
    assert findings(tmp_path)[1:] == ([said] if is_said else [])
    writer.close()
    lock.release()
