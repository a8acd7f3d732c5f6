"""Processes that are set up: killed, forked, left, restarted with other keys; nothing is lost."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import ROOT, RecordingServer, Reply, run_python, running_python, until
from tracing import setup_tracer
from tracing.deliver.lease import holder
from tracing.span import STATUS_ERROR, Span
from tracing.spool.segments import segment_paths

PUBLIC_KEY, SECRET_KEY = "pk-lf-1234", "sk-lf-5678-very-secret"
LANGFUSE: dict[str, Any] = {"public_key": PUBLIC_KEY, "secret_key": SECRET_KEY, "scores": False}


def last_versions(server: RecordingServer) -> dict[str, Span]:
    """What a backend shows that replaces a span by its later version."""
    return {span.name: span for span in server.accepted}


SCRIPT = """
import json, os, signal, sys, threading, time
options = json.loads(sys.argv[1])
from livekit.agents.telemetry import tracer
from tracing import setup_tracer
handle = setup_tracer(**options)

def wait_for_drainer():
    from tracing.deliver.lease import holder
    while holder(handle.directory) is None:
        time.sleep(0.01)
"""


def program(code: str, **options: Any) -> tuple[str, str]:
    """A program that has set up with these options."""
    return SCRIPT + code, json.dumps(options)


KILLED = """
with tracer.start_as_current_span("job_entrypoint"):
    with tracer.start_as_current_span("agent_session"):
        for number in range(50):
            with tracer.start_as_current_span(f"step {number}"):
                pass
        wait_for_drainer()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_process_leaves_a_whole_trace(server: RecordingServer, tmp_path: Path) -> None:
    """Ended spans as they were, open ones as errors, one root; and the drainer leaves, too."""
    with running_python(*program(KILLED, backend="otlp", endpoint=server.url)) as process:
        assert process.wait(60) == -signal.SIGKILL
        until(lambda: len(server.accepted) >= 52)
    spans = {span.name: span for span in server.accepted}
    assert len(server.accepted) == 52
    root, session = spans.pop("job_entrypoint"), spans.pop("agent_session")
    assert sorted(spans) == sorted(f"step {number}" for number in range(50))
    assert {span.parent_span_id for span in spans.values()} == {session.span_id}
    assert (session.parent_span_id, root.parent_span_id) == (root.span_id, b"")
    last = max(span.end_time_unix_nano for span in spans.values())
    for span in (root, session):
        assert span.status_code == STATUS_ERROR
        assert span.attributes["error.type"] == "process_died"
        assert span.end_time_unix_nano >= last
    [spool] = (tmp_path / ".tracing" / "spool").iterdir()
    until(lambda: holder(spool) is None)
    assert segment_paths(spool) == []


LEFT = """
for number in range(20):
    tracer.start_span(f"step {number}").end()
wait_for_drainer()
os._exit(0)
"""


def test_process_that_leaves_without_a_word_loses_nothing(server: RecordingServer) -> None:
    """LiveKit's job processes on Linux leave like this."""
    with running_python(*program(LEFT, backend="otlp", endpoint=server.url)) as process:
        assert process.wait(60) == 0
        until(lambda: len(server.accepted) >= 20)
    assert server.accepted_names() == sorted(f"step {number}" for number in range(20))


FORKED = """
tracer.start_span("before").end()
child = os.fork()
tracer.start_span("child" if child == 0 else "parent").end()
if child == 0:
    print(json.dumps(sorted(thread.name for thread in threading.enumerate())), flush=True)
    os._exit(0)
os.waitpid(child, 0)
wait_for_drainer()  # who leaves within milliseconds may leave nobody who delivers
os._exit(0)
"""


def test_forked_child_records_on_its_own(server: RecordingServer) -> None:
    """Both deliver, each span once, and the child has its own thread."""
    code, options = program(FORKED, backend="otlp", endpoint=server.url)
    told = run_python(code, options)
    assert json.loads(told) == ["MainThread", "tracing-keeper"]
    until(lambda: len(server.accepted) >= 3)
    assert server.accepted_names() == ["before", "child", "parent"]


SHUT_DOWN = """
handle.shutdown()
child = os.fork()
if child == 0:
    time.sleep(0.3)
    print(json.dumps(sorted(thread.name for thread in threading.enumerate())), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_forked_child_of_a_pipeline_that_was_shut_down_has_none(server: RecordingServer) -> None:
    """A shutdown holds for the processes that come after it."""
    code, options = program(SHUT_DOWN, backend="otlp", endpoint=server.url)
    assert json.loads(run_python(code, options)) == ["MainThread"]


WRONG_KEY = """
tracer.start_span("with the wrong key").end()
path = handle.directory / "status.json"
while '"paused"' not in (path.read_text() if path.exists() else ""):
    time.sleep(0.02)
"""
RIGHT_KEY = """
tracer.start_span("with the right key").end()
deadline = time.monotonic() + 30
while not handle.flush(5) and time.monotonic() < deadline:
    time.sleep(0.1)
"""


@pytest.mark.parametrize(
    ("wrong_public", "leave"),
    [
        (PUBLIC_KEY, {"with the wrong key", "with the right key"}),
        ("pk-lf-o", {"with the right key"}),
    ],
    ids=["same public key", "other public key"],
)
def test_spans_that_a_wrong_key_kept_back_leave_with_the_right_one(
    server: RecordingServer, wrong_public: str, leave: set[str]
) -> None:
    """The agent is restarted with the right key; another public key is another project's."""
    pair = base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode()
    server.authorization = f"Basic {pair}"
    options = {"backend": "langfuse", "base_url": server.url, "scores": False}
    wrong = program(WRONG_KEY, public_key=wrong_public, secret_key="sk-lf-wrong", **options)
    right = program(RIGHT_KEY, public_key=PUBLIC_KEY, secret_key=SECRET_KEY, **options)
    run_python(*wrong)
    assert server.accepted == []
    run_python(*right)
    until(lambda: leave <= last_versions(server).keys())
    assert leave == last_versions(server).keys()


def test_wrong_key_is_said_in_the_agents_log(server: RecordingServer) -> None:
    """URL, the server's words and the mend, once, and no key."""
    server.authorization = "Basic right"
    code = "import logging; logging.basicConfig()\n" + SCRIPT + WRONG_KEY + "time.sleep(2.5)"
    options = {"base_url": server.url, **LANGFUSE}
    result = subprocess.run(
        [sys.executable, "-c", code, json.dumps({"backend": "langfuse", **options})],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    url = f"{server.url}/api/public/otel/v1/traces"
    said = [line for line in result.stderr.splitlines() if "401" in line]
    assert said == [
        f"WARNING:tracing.deliver.keeper:POST {url} answered 401: wrong key. No span is lost: they "
        "wait on disk. Mend: check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, and that "
        "LANGFUSE_BASE_URL is the region or server that issued them."
    ]
    assert "5678" not in result.stderr


def test_record_of_a_former_process_leaves_with_the_next(
    server: RecordingServer, tmp_path: Path
) -> None:
    """A backend that was down for the whole life of the process: restart with it up."""
    server.reply = Reply(503)
    run_python(*program("tracer.start_span('first').end()", backend="otlp", endpoint=server.url))
    [spool] = (tmp_path / ".tracing" / "spool").iterdir()
    found = until(lambda: holder(spool))
    assert found is not None
    pid = found.pid
    os.kill(pid, signal.SIGKILL)
    server.reply = Reply()
    handle = setup_tracer("otlp", endpoint=server.url)
    tracer = handle.provider.get_tracer("livekit-agents")
    tracer.start_span("second").end()
    assert handle.flush(30)
    assert server.accepted_names() == ["first", "second"]


def test_process_that_ends_at_once_leaves_somebody_who_delivers(server: RecordingServer) -> None:
    """A program shorter than the first look of its keeper: the drainer is started at its end."""
    code = "tracer.start_span('short').end()"
    run_python(*program(code, backend="otlp", endpoint=server.url))
    until(lambda: server.accepted_names() == ["short"])
