"""What the doctor says of the spools."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fakes import make_span
from tracing.commands.doctor import Check, check_spools
from tracing.deliver.status import BackendStatus, write_status
from tracing.spool import losses
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


def checks(tmp_path: Path) -> list[Check]:
    """The checks, with paths and times made the same everywhere."""
    return [
        check._replace(text=_same_everywhere(check.text.replace(str(tmp_path), "")))
        for check in check_spools(tmp_path)
    ]


def _same_everywhere(text: str) -> str:
    return re.sub(r"[\d.]+ KiB", "N KiB", re.sub(r"\d{4}-.{14}", "TIME", text))


def test_nothing_was_written_yet(tmp_path: Path) -> None:
    """No spool is no fault."""
    assert check_spools(tmp_path) == [Check("spool", True, "no agent has written spans here yet")]


def test_waiting_spans_without_a_drainer_are_to_mend(tmp_path: Path, spool: Path) -> None:
    """They say who will deliver them, and which backend refused them in which words."""
    writer = SegmentWriter(spool, resource={}, ledger=Ledger(spool))
    writer.open()
    span = make_span(1)
    writer.append(end_frame(span, span.attributes))
    otlp = BackendStatus("otlp", "http://x", "paused", detail="answered 401: no", tenant="user 1")
    write_status(spool, [otlp])
    found = checks(tmp_path)
    assert found == [
        Check(
            "spool abc",
            False,
            "1 span waiting in N KiB; 1 agent process writing, no drainer: "
            "the next agent for user 1 delivers them",
        ),
        Check("spool abc, otlp", False, "paused since TIME: answered 401: no"),
    ]
    writer.close()


def test_losses_are_named_by_reason(tmp_path: Path, spool: Path) -> None:
    """Dropped spans are to mend; cut attributes are only told."""
    ledger = Ledger(spool)
    ledger.count(losses.SPOOL_FULL, 512)
    ledger.count(losses.TRUNCATED)
    ledger.settle()
    quarantine(spool, "langfuse", make_span(1))
    assert checks(tmp_path)[1:] == [
        Check("spool abc, lost", False, "512 spans dropped: the spool was full"),
        Check("spool abc, changed", True, "1 attribute: an attribute was truncated"),
        Check(
            "spool abc, rejected",
            False,
            "spans that the backend rejected are in /spool/abc/quarantine-langfuse.jsonl",
        ),
    ]
