"""A worker and its jobs choose the same, say it once, and record wherever set-up is called."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fakes import ROOT, RecordingServer, until
from tracing.deliver.lease import holder
from tracing.doctor.spool import look_at_spools

EXECUTORS = ("forkserver", "spawn", "thread")


class Worked(NamedTuple):
    """What a worker with one job left."""

    roots: int
    said: list[str]
    spools: list[Path]


def work(directory: Path, agent: str, executor: str, **environ: str) -> Worked:
    """Run a worker with one job of this agent's, and wait until all is delivered."""
    directory.mkdir(exist_ok=True)
    (directory / "agent_of_test.py").write_text(agent)
    job = {"executor": executor, "place": "nowhere", "jobs": 1, "ending": "done", "serve": False}
    result = subprocess.run(
        [sys.executable, "-m", "agent_of_test"],
        cwd=directory,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{directory}",
            "TEST_JOB": json.dumps(job),
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    spools = list((directory / ".tracing" / "spool").iterdir())
    for spool in spools:
        until(lambda spool=spool: holder(spool) is None, seconds=30)
    said = [line for line in result.stderr.splitlines() if " tracing.setup " in line]
    return Worked(0, said, spools)


LOADING = """
import os
from dotenv import load_dotenv
if os.environ["TEST_LOAD"] == "before":
    load_dotenv(os.environ["TEST_FILE"])
from tracing import setup_tracer
setup_tracer()
if os.environ["TEST_LOAD"] == "after":
    load_dotenv(os.environ["TEST_FILE"])

import tests.job_agent as agent
agent.TURNS = 1
if __name__ == "__main__":
    agent.main()
"""


def load(directory: Path, executor: str, place: str, file: str) -> Worked:
    """One worker whose variables are in a file, which it loads before its set-up, after, or not."""
    directory.mkdir()
    with RecordingServer() as server:
        keys = "LANGFUSE_PUBLIC_KEY=pk-1\nLANGFUSE_SECRET_KEY=sk-1\nTRACING_SCORES=false\n"
        (directory / file).write_text(f"{keys}LANGFUSE_BASE_URL={server.url}\n")
        found = work(directory, LOADING, executor, TEST_LOAD=place, TEST_FILE=file)
        url = f"{server.url}/api/public/otel/v1/traces"
        line = f"INFO tracing.setup tracing to langfuse at {url} (LANGFUSE_PUBLIC_KEY)"
        assert found.said == [line]
        ended = [span for span in server.accepted if span.name.startswith("call ")]
        return found._replace(roots=len({span.trace_id for span in ended}))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_worker_and_its_jobs_choose_the_same(tmp_path: Path, executor: str) -> None:
    """Wherever `load_dotenv` is called: one backend, one spool, one line said."""
    places: Sequence[tuple[str, str]] = [
        ("before", ".env"),
        ("after", ".env.local"),
        ("without", ".env"),
    ]
    with ThreadPoolExecutor(2) as pool:
        works = [
            pool.submit(load, tmp_path / place, executor, place, file) for place, file in places
        ]
    for found in (one.result() for one in works):
        assert (found.roots, len(found.spools)) == (1, 1)


@pytest.mark.parametrize("executor", ["forkserver", "thread"])
def test_file_of_any_name_settles_the_choice_until_the_worker_starts(
    tmp_path: Path, executor: str
) -> None:
    """Loaded below the set-up, it cannot be known there; the worker begins with what it says."""
    assert load(tmp_path / "other", executor, "after", "settings").roots == 1


GUARDED = """
import tests.job_agent as agent
agent.TURNS = 1
if __name__ == "__main__":
    from tracing import setup_tracer
    setup_tracer("otlp", endpoint={url!r}, mask={mask})
    agent.main()
"""


@pytest.mark.parametrize("executor", EXECUTORS)
def test_set_up_under_the_main_guard_is_repeated_in_jobs(tmp_path: Path, executor: str) -> None:
    """Job processes do not see it, so they are given it."""
    with RecordingServer() as server:
        found = work(tmp_path, GUARDED.format(url=server.url, mask="str.lower"), executor)
        assert [span.name for span in server.accepted].count("job_entrypoint") == 1
    line = f"INFO tracing.setup tracing to otlp at {server.url}/v1/traces (backend=)"
    assert found.said == [line]


def test_set_up_that_cannot_be_repeated_is_said_and_doctor_says_it(tmp_path: Path) -> None:
    """A mask that only the worker has is not left out."""
    with RecordingServer() as server:
        guarded = GUARDED.format(url=server.url, mask="lambda text: text")
        directory = tmp_path / "agent"
        directory.mkdir()
        (directory / "agent_of_test.py").write_text(guarded)
        found = work(directory, guarded, "forkserver")
        assert server.accepted == []
    (line,) = [check for check in look_at_spools(directory / ".tracing") if check.state != "ok"]
    # LiveKit starts another process where the first one is slow.
    said = "process(es)? dropped: setup_tracer was not called in the job's process"
    assert re.fullmatch(rf"\d+ {said}", line.text)
    assert len(found.spools) == 1


@pytest.mark.parametrize("command", ["start", "dev"])
def test_choice_is_said_where_a_person_sees_it(tmp_path: Path, command: str) -> None:
    """LiveKit's command line configures logging after the agent's module is imported."""
    (tmp_path / ".env").write_text("LANGFUSE_PUBLIC_KEY=pk-lf-1\nLANGFUSE_SECRET_KEY=sk-lf-1\n")
    (tmp_path / "agent_of_test.py").write_text(SERVING)
    with subprocess.Popen(
        [sys.executable, "agent_of_test.py", command],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "LIVEKIT_URL": "ws://127.0.0.1:1",
            "LIVEKIT_API_KEY": "key",
            "LIVEKIT_API_SECRET": "a secret that is long enough for a signature",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as worker:
        lines = iter(worker.stdout or ())
        before = list(itertools.takewhile(lambda line: "starting worker" not in line, lines))
        worker.kill()
    said = [line for line in before if "tracing to langfuse at https://cloud.langfuse.com" in line]
    assert len(said) == 1, before


SERVING = """
from livekit.agents import AgentServer, JobContext, cli
from tracing import setup_tracer
setup_tracer()
server = AgentServer(host="127.0.0.1", port=0)

@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    pass

if __name__ == "__main__":
    cli.run_app(server)
"""
