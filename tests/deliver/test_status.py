"""The drainer's status and notices: whole files, read by whoever asks, notices taken once."""

from __future__ import annotations

import logging
import os
import stat
import time
from pathlib import Path

from tests.fakes import run_python
from tracing.deliver.status import (
    BackendStatus,
    post_notice,
    read_status,
    take_notices,
    write_status,
)


def test_status_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Each backend's state, where it is and what it waits for."""
    before = time.time()
    paused = BackendStatus("otlp", "http://x/v1/traces", "paused", 5.0, "answered 401", 7, 100, 9.0)
    write_status(tmp_path, [paused])
    status = read_status(tmp_path)
    assert before <= status.pop("at") <= time.time()
    assert status == {
        "pid": os.getpid(),
        "backends": [
            {
                "name": "otlp",
                "url": "http://x/v1/traces",
                "state": "paused",
                "since": 5.0,
                "detail": "answered 401",
                "delivered_spans": 7,
                "pending_bytes": 100,
                "asking_since": 9.0,
                "beside": "",
                "tenant": "",
            }
        ],
    }
    assert stat.S_IMODE((tmp_path / "status.json").stat().st_mode) == 0o600


def test_no_status_is_an_empty_one(tmp_path: Path) -> None:
    """A spool that was never drained, and a damaged file, say nothing."""
    assert read_status(tmp_path) == {}
    for content in ("{", "[]", "5"):
        (tmp_path / "status.json").write_text(content)
        assert read_status(tmp_path) == {}, content


def test_notices_are_taken_once(tmp_path: Path) -> None:
    """Each sentence is logged by one process; a newer one of the same backend replaces it."""
    post_notice(tmp_path, "otlp", logging.WARNING, "old")
    post_notice(tmp_path, "otlp", logging.WARNING, "is away")
    post_notice(tmp_path, "langfuse", logging.INFO, "is back")
    assert take_notices(tmp_path) == [(logging.INFO, "is back"), (logging.WARNING, "is away")]
    assert take_notices(tmp_path) == []
    assert list((tmp_path / "notices").iterdir()) == []
    assert stat.S_IMODE((tmp_path / "notices").stat().st_mode) == 0o700


def test_spool_without_notices_has_none(tmp_path: Path) -> None:
    """Nothing was ever said."""
    assert take_notices(tmp_path) == []


def test_damaged_notices_do_not_hide_the_others(tmp_path: Path) -> None:
    """A notice that cannot be read is passed over, and does not stay."""
    post_notice(tmp_path, "z", logging.WARNING, "good")
    for name, content in (("a", "{"), ("b", "5"), ("c", "[1]"), ("d", '["x", "y"]')):
        (tmp_path / "notices" / f"{name}.json").write_text(content)
    assert take_notices(tmp_path) == [(logging.WARNING, "good")]
    assert take_notices(tmp_path) == []


TAKE = """
import json, sys
from pathlib import Path
from tracing.deliver.status import take_notices

sys.stdin.readline()
print(len(take_notices(Path(sys.argv[1]))))
"""


def test_another_process_does_not_take_what_was_taken(tmp_path: Path) -> None:
    """The first to come has it."""
    post_notice(tmp_path, "otlp", logging.WARNING, "is away")
    taken = [run_python(TAKE, tmp_path) for _ in range(2)]
    assert taken == ["1\n", "0\n"]
