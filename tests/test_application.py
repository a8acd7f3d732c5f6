"""`current_call()` in real jobs: in every executor, from everywhere, each word on its own call."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import ROOT, RecordingServer, until
from tests.test_jobs import environment
from tracing.deliver.lease import holder
from tracing.span import STATUS_ERROR, Span

_LIMIT_SECONDS = 120


def run(executor: str, jobs: int, directory: Path, ending: str = "done") -> tuple[list[Span], str]:
    """What the jobs of a worker left, all of them at once, and its log."""
    directory.mkdir()
    with RecordingServer() as server:
        work = {"executor": executor, "jobs": jobs, "ending": ending, "endpoint": server.url}
        result = subprocess.run(
            [sys.executable, "-m", "tests.job_speaker"],
            cwd=ROOT,
            env=environment(directory, work),
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
        )
        assert result.returncode == 0, result.stderr
        for spool in (directory / "spool").iterdir():
            until(lambda spool=spool: holder(spool) is None, seconds=30)
        return server.accepted, result.stderr


DURING = ("entrypoint", "on_enter", "own span", "callback", "task", "thread")
LATE = ("session end", "shutdown")


@pytest.mark.parametrize("executor", ["forkserver", "spawn", "thread"])
def test_each_word_is_on_the_root_of_its_own_call(executor: str, tmp_path: Path) -> None:
    """Of two calls at once, wherever it was said, until the job's end; their spans nest."""
    spans, log = run(executor, 2, tmp_path / "data")
    roots = {
        str(s.attributes["call.metadata.entrypoint"]): s for s in spans if not s.parent_span_id
    }
    assert sorted(roots) == ["room 0", "room 1"]
    for room, root in roots.items():
        said = {key: value for key, value in root.attributes.items() if key.startswith("call.m")}
        assert said == {f"call.metadata.{place}": room for place in (*DURING, *LATE)}
        assert root.attributes["call.tags"] == [room, f"tool {room}"]
        assert root.attributes["call.outcome"] == f"booked in {room}"
        [score] = json.loads(str(root.attributes["call.scores"]))
        assert root.start_time_unix_nano < score.pop("time") * 1e9 < root.end_time_unix_nano
        assert score == {"name": "csat", "value": 5, "comment": room}
        assert f"call {room} is {root.trace_id.hex()}" in log
        trace = [span for span in spans if span.trace_id == root.trace_id]
        by_name = {span.name: span for span in trace}
        tool = by_name["function_tool"]
        assert [(e.name, e.attributes) for e in tool.events] == [("booked", {"room": room})]
        assert by_name["look up"].parent_span_id == tool.span_id
        prompts = {
            (span.attributes.get("prompt.name"), span.attributes.get("prompt.version"))
            for span in trace
            if span.name == "llm_request"
        }
        assert prompts == {(f"clerk of {room}", 3)}
        tagged = [span.name for span in trace if "call.tags" in span.attributes]
        assert {"function_tool", "agent_turn", "agent_session", "job_shutdown"} <= {*tagged}
    assert "current_call" not in log


def test_what_was_said_by_then_is_on_the_root_of_a_killed_call(tmp_path: Path) -> None:
    """SIGKILL right after the last word: it is on disk when the call to say it returns."""
    spans, _ = run("forkserver", 1, tmp_path / "data", "kill")
    [root] = [span for span in spans if not span.parent_span_id]
    assert (root.name, root.status_code) == ("job_entrypoint", STATUS_ERROR)
    said = {key: value for key, value in root.attributes.items() if key.startswith("call.")}
    assert said == {
        **{f"call.metadata.{place}": "room 0" for place in DURING},
        "call.tags": ["room 0", "tool room 0"],
    }
    own = ("booked", "in the entrypoint", "in a step")
    noted = {
        (span.name, event.name, str(event.attributes))
        for span in spans
        for event in span.events
        if event.name in own
    }
    assert noted == {
        ("function_tool", "booked", "{'room': 'room 0'}"),
        ("agent_session", "in the entrypoint", "{'room': 'room 0'}"),
        ("step", "in a step", "{'seats': [2, 3]}"),
    }
    assert root.attributes["session.id"] == next(
        span.attributes["session.id"] for span in spans if span.name == "llm_request"
    )
