"""Two real calls at once in every executor: each line is in its own call once, killed or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import ROOT, RecordingServer, until
from tracing import names
from tracing.deliver.lease import holder
from tracing.log_line import LogLine
from tracing.span import Span

ROOMS = ("room 0", "room 1")
EVERYWHERE = ("in the entrypoint", "in a tool", "in the executor", "it failed", "at the end")
"""Where a call logs, whoever runs it."""
ALONE = "in a thread of its own"
"""Where only a process that has but one call can tell which it is."""


@dataclass
class Left:
    """What a worker left."""

    lines: list[LogLine]
    spans: list[Span]
    log: str

    def rooms(self) -> dict[str, bytes]:
        """The trace of each room."""
        roots = [span for span in self.spans if span.name == names.JOB_ENTRYPOINT]
        return {str(names.first(root.attributes, names.ROOM_NAME)): root.trace_id for root in roots}

    def said(self, trace_id: bytes) -> list[str]:
        """What the application logged in a trace."""
        return [x.message for x in self.lines if x.trace_id == trace_id and x.logger == "my.app"]


def run(directory: Path, executor: str, *, kill: bool = False) -> Left:
    """Run a worker to its end, and wait until all it left is delivered."""
    meeting = directory / "meeting"
    meeting.mkdir()
    with RecordingServer() as server:
        work: dict[str, Any] = {"executor": executor, "endpoint": server.url, "kill": kill}
        mine = {
            "PYTHONPATH": str(ROOT),
            "TRACING_DIR": str(directory / "data"),
            "TEST_JOB": json.dumps({**work, "meeting": str(meeting)}),
        }
        result = subprocess.run(
            [sys.executable, "-m", "tests.logging_agent"],
            cwd=directory,
            env={**os.environ, **mine},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
        for spool in (directory / "data" / "spool").iterdir():
            until(lambda spool=spool: holder(spool) is None, seconds=60)  # type: ignore[misc]
        return Left(server.logs, server.accepted, result.stderr)


@pytest.mark.parametrize("executor", ["forkserver", "spawn", "thread"])
def test_each_line_is_in_its_own_call_once(tmp_path: Path, executor: str) -> None:
    """With the span that was open; the worker prints what jobs log and does not record it again."""
    left = run(tmp_path, executor)
    places = [*EVERYWHERE, *([ALONE] if executor != "thread" else [])]
    rooms = left.rooms()
    assert set(rooms) == set(ROOMS)
    for room, trace_id in rooms.items():
        assert Counter(left.said(trace_id)) == Counter(f"{room}: {place}" for place in places)
        assert f"WARNING my.app {room}: in a tool" in left.log
    spans = {span.span_id: span.name for span in left.spans}
    in_spans = {x.message.partition(": ")[2]: spans[x.span_id] for x in left.lines}
    assert in_spans["in the entrypoint"] == names.JOB_ENTRYPOINT
    assert in_spans["in a tool"] == in_spans["in the executor"] == names.FUNCTION_TOOL
    assert {x.logger for x in left.lines if x.logger.startswith(("urllib3", "tracing"))} == set()
    failed = [x for x in left.lines if x.exception_type]
    assert sorted(x.exception_message for x in failed) == list(ROOMS)
    for span in left.spans:
        if span.name == names.JOB_ENTRYPOINT:
            counts = span.attributes["call.log.warnings"], span.attributes["call.log.errors"]
            assert counts[1] == 1
            assert isinstance(counts[0], int)
            assert counts[0] >= len(places) - 1


@pytest.mark.parametrize("executor", ["forkserver", "spawn"])
def test_what_a_killed_call_had_logged_is_there(tmp_path: Path, executor: str) -> None:
    """SIGKILL in the middle of both calls."""
    left = run(tmp_path, executor, kill=True)
    places = [*EVERYWHERE[:-1], ALONE]
    traces = {span.trace_id for span in left.spans if span.name == names.JOB_ENTRYPOINT}
    said = sorted(sorted(left.said(trace_id)) for trace_id in traces)  # no room: it is content
    assert said == [sorted(f"{room}: {place}" for place in places) for room in ROOMS]
