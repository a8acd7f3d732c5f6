"""Real LiveKit jobs in every executor, set up everywhere: each call is one rooted trace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import ROOT, RecordingServer, Reply, until
from tracing.deliver.lease import end_holder, holder
from tracing.span import STATUS_ERROR, Span

_LIMIT_SECONDS = 120
_AT_ONCE = 2
_LATE = "setup_tracer was called inside a job"


@dataclass(frozen=True)
class Work:
    """One worker's jobs."""

    executor: str
    place: str
    jobs: int = 1
    ending: str = "done"

    @property
    def name(self) -> str:
        """For the test's id."""
        more = f"-{self.jobs}" * (self.jobs > 1) + f"-{self.ending}" * (self.ending != "done")
        return f"{self.executor}-{self.place}{more}"


@dataclass
class Outcome:
    """What a worker left."""

    spans: list[Span] = field(default_factory=list)
    log: str = ""
    exit_status: int | None = None

    def traces(self) -> list[dict[bytes, Span]]:
        """The spans of each trace by id."""
        by_trace: dict[bytes, dict[bytes, Span]] = {}
        for span in self.spans:
            by_trace.setdefault(span.trace_id, {})[span.span_id] = span
        return list(by_trace.values())


WORKS = [
    *(
        Work(executor, place)
        for executor in ("forkserver", "spawn")
        for place in ("import", "prewarm", "entrypoint")
    ),
    *(Work("thread", place, jobs=2) for place in ("import", "prewarm", "entrypoint")),
    Work("forkserver", "import", ending="kill"),
]


def environment(directory: Path, work: dict[str, Any], **more: str) -> dict[str, str]:
    """The variables of a worker."""
    mine = {"PYTHONPATH": str(ROOT), "TRACING_DIR": str(directory), "TEST_JOB": json.dumps(work)}
    foreign = ("OTEL_", "LANGFUSE_", "TRACING_", "LIVEKIT_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, **mine, **more}


def run(work: Work, directory: Path) -> Outcome:
    """Run a worker to its end, and wait until all it left is delivered."""
    directory.mkdir()
    with RecordingServer() as server:
        given = {**vars(work), "endpoint": server.url, "serve": False}
        result = subprocess.run(
            [sys.executable, "-m", "tests.job_agent"],
            cwd=directory,
            env=environment(directory, given),
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
        )
        for spool in (directory / "spool").iterdir():
            until(lambda spool=spool: holder(spool) is None, seconds=30)
        return Outcome(server.accepted, result.stderr, result.returncode)


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Work, Future[Outcome]]]:
    """What each worker that a selected test asks for leaves; two run at a time."""
    base = tmp_path_factory.mktemp("jobs")
    selected = [
        item.callspec.params["work"]
        for item in request.session.items
        if item.module is request.module and hasattr(item, "callspec")  # type: ignore[attr-defined]
    ]
    wanted = [work for work in WORKS if work in selected]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield {work: pool.submit(run, work, base / work.name) for work in wanted}
    for lock in base.rglob("drainer.lock"):
        end_holder(lock.parent, within_seconds=5)


def ids(works: list[Work]) -> list[str]:
    """Test ids."""
    return [work.name for work in works]


ALL_DONE = [work for work in WORKS if work.ending == "done"]


@pytest.mark.parametrize("work", ALL_DONE, ids=ids(ALL_DONE))
def test_each_call_is_one_rooted_trace(work: Work, outcomes: dict[Work, Future[Outcome]]) -> None:
    """One parentless span, job_entrypoint, which ends in order; nobody's parent is missing."""
    outcome = outcomes[work].result(_LIMIT_SECONDS)
    assert outcome.exit_status == 0, outcome.log
    traces = outcome.traces()
    assert len(traces) == work.jobs
    assert max(Counter(span.span_id for span in outcome.spans).values()) == 1
    for trace in traces:
        spans = list(trace.values())
        roots = [span for span in spans if not span.parent_span_id]
        lost = [span.name for span in spans if span.parent_span_id not in {b"", *trace}]
        assert ([span.name for span in roots], lost) == (["job_entrypoint"], [])
        names = Counter(span.name for span in spans)
        assert {name: names[name] for name in ("agent_session", "agent_turn", "job_shutdown")} == {
            "agent_session": 1,
            "agent_turn": 3,
            "job_shutdown": 1,
        }
        failed = {span.name for span in spans if span.status_code == STATUS_ERROR}
        assert failed <= {"event_loop_blocked"}  # LiveKit's own, where the machine is busy
        [shutdown] = [span for span in spans if span.name == "job_shutdown"]
        assert roots[0].end_time_unix_nano >= shutdown.end_time_unix_nano
        turns = [span for span in spans if span.name == "agent_turn"]
        assert sorted(int(str(turn.attributes["turn.number"])) for turn in turns) == [1, 2, 3]


@pytest.mark.parametrize("work", ALL_DONE, ids=ids(ALL_DONE))
def test_each_span_of_a_call_carries_its_session(
    work: Work, outcomes: dict[Work, Future[Outcome]]
) -> None:
    """One session id per call, made of its room and its job, on every span."""
    outcome = outcomes[work].result(_LIMIT_SECONDS)
    sessions = [
        {span.attributes.get("session.id") for span in trace.values()} for trace in outcome.traces()
    ]
    rooms = sorted(str(name).partition("/")[0] for names in sessions for name in names)
    assert [len(names) for names in sessions] == [1] * work.jobs
    assert rooms == [f"room {number}" for number in range(work.jobs)]


@pytest.mark.parametrize("work", ALL_DONE, ids=ids(ALL_DONE))
def test_late_set_up_is_said_once(work: Work, outcomes: dict[Work, Future[Outcome]]) -> None:
    """In the entrypoint it is too late for LiveKit's own root, and the log says so."""
    outcome = outcomes[work].result(_LIMIT_SECONDS)
    assert outcome.log.count(_LATE) == (1 if work.place == "entrypoint" else 0)


KILLED = [work for work in WORKS if work.ending == "kill"]


@pytest.mark.parametrize("work", KILLED, ids=ids(KILLED))
def test_killed_job_is_a_readable_call(work: Work, outcomes: dict[Work, Future[Outcome]]) -> None:
    """SIGKILL in the middle of an answer: one root, what was open is closed as an error."""
    outcome = outcomes[work].result(_LIMIT_SECONDS)
    [trace] = outcome.traces()
    spans = list(trace.values())
    roots = [span for span in spans if not span.parent_span_id]
    lost = [span.name for span in spans if span.parent_span_id not in {b"", *trace}]
    assert ([span.name for span in roots], lost) == (["job_entrypoint"], [])
    errors = [span for span in spans if span.status_code == STATUS_ERROR]
    assert {"job_entrypoint", "agent_session", "agent_turn"} <= {span.name for span in errors}
    assert {span.attributes["error.type"] for span in errors} == {"process_died"}
    names = Counter(span.name for span in spans)
    assert (names["agent_turn"], names["job_shutdown"]) == (2, 0)
    assert {str(span.attributes["session.id"]).partition("/")[0] for span in spans} == {"room 0"}


def stop_worker(
    directory: Path, server: RecordingServer, backend: Reply, stop_seconds: float
) -> tuple[float, int, str]:
    """Start a worker on LiveKit's command line, stop it by SIGTERM; seconds, status, log."""
    work = {"place": "import", "executor": "thread", "jobs": 0, "ending": "done"}
    given = {**work, "endpoint": server.url, "serve": True}
    more = {
        "LIVEKIT_URL": "ws://127.0.0.1:1",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "a secret that is long enough for a signature",
        "TRACING_STOP_SECONDS": str(stop_seconds),
    }
    server.reply = backend
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.job_agent"],
        cwd=directory,
        env=environment(directory / "data", given, **more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines: list[str] = []
    reading = threading.Thread(target=lambda: lines.extend(process.stderr or ()))
    reading.start()
    try:
        until(lambda: server.requests, seconds=60)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        return time.monotonic() - began, process.returncode, "".join(lines)
    finally:
        process.kill()
        process.wait(10)
        reading.join(10)
        process.stderr.close()


def test_worker_stopped_by_sigterm_gives_the_drain_bounded_time(tmp_path: Path) -> None:
    """A backend that takes nothing: the worker waits, says what is left, and ends."""
    with RecordingServer() as server:
        seconds, status, log = stop_worker(tmp_path, server, Reply(503), 1.5)
        assert status == 0, log
        assert 1.5 <= seconds < 20
        said = [line for line in log.splitlines() if "not delivered yet" in line]
        assert len(said) == 1
        assert f"they wait in {tmp_path / 'data' / 'spool'}" in said[0]


def test_worker_stopped_by_sigterm_leaves_nothing_where_the_backend_works(tmp_path: Path) -> None:
    """Everything is delivered when the process has ended, and nothing is said."""
    with RecordingServer() as server:
        seconds, status, log = stop_worker(tmp_path, server, Reply(), 30.0)
        assert status == 0, log
        assert seconds < 25
        assert server.accepted_names() == ["of the worker"]
        assert "not delivered yet" not in log
