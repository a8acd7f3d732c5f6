"""The files of LiveKit's reports: found by their call, bounded."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tracing.store.reports import file_name, find_reports, write_report


def write(directory: Path, number: int, *, days_old: float = 0.0, **bounds: int) -> Path:
    """The report of a session of trace `number`, so many days old."""
    name = file_name(number.to_bytes(16, "big"), b"12345678")
    path = directory / "reports" / name
    write_report(path, {"number": number}, **bounds)
    written = time.time() - days_old * 86400 - 1000 + number
    os.utime(path, (written, written))
    return path


def test_the_reports_of_a_call_are_found(tmp_path: Path) -> None:
    """Those of its sessions, and of no other call; a damaged one is left out."""
    write(tmp_path, 1)
    other = write(tmp_path, 2)
    other.with_name(f"{1:032x}-ffff.json").write_text("{")
    assert find_reports(tmp_path, f"{1:032x}") == [{"number": 1}]
    assert find_reports(tmp_path, f"{3:032x}") == []
    assert find_reports(tmp_path / "elsewhere", f"{1:032x}") == []


def test_old_reports_go(tmp_path: Path) -> None:
    """After 30 days, when the next one is written."""
    old, young = write(tmp_path, 1, days_old=31), write(tmp_path, 2, days_old=29)
    latest = write(tmp_path, 3)
    assert (old.exists(), young.exists(), latest.exists()) == (False, True, True)


@pytest.mark.parametrize(("bound", "value"), [("max_reports", 2), ("max_bytes", 30)])
def test_the_oldest_reports_go_when_they_are_too_many(
    tmp_path: Path, bound: str, value: int
) -> None:
    """By their number, and by their bytes (13 each); the newest stays in any case."""
    paths = [write(tmp_path, number, **{bound: value}) for number in range(1, 5)]
    assert [path.exists() for path in paths] == [False, False, True, True]
