"""The doctor as a whole: its deadline, what hangs, what fails, and how it ends as a program."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.doctor.servers import ApiServer, drips, listening, says_nothing, serve
from tests.fakes import ROOT, Reply
from tracing.doctor.examine import Subject, look_at_all
from tracing.doctor.findings import Finding, ok
from tracing.doctor.time_left import TimeLeft

MOST_SECONDS = 20.0
"""What the whole program may take against anything that hangs."""


def test_what_hangs_keeps_nobody_and_loses_nothing() -> None:
    """All are looked at at once; what one had found by the deadline is told, and that it hung."""
    released = threading.Event()

    def hangs(time_left: TimeLeft) -> Iterator[Finding]:
        yield ok("first", "it went well")
        released.wait()

    def fails(time_left: TimeLeft) -> Iterator[Finding]:
        yield ok("second", "it went well")
        raise OSError(5, "Input/output error", "calls.db")

    subjects = [
        Subject("hangs", hangs),
        Subject("fails", fails),
        Subject("is quick", lambda time_left: [ok("third", "it went well")]),
    ]
    began = time.monotonic()
    assert look_at_all(subjects, 0.3) == [
        Finding("first", "ok", "it went well"),
        Finding(
            "hangs",
            "unknown",
            "no end came within 0.3 s, findings so far: 1",
            "look again, or at its server's log",
        ),
        Finding("second", "ok", "it went well"),
        Finding("fails", "unknown", "[Errno 5] Input/output error: 'calls.db'"),
        Finding("third", "ok", "it went well"),
    ]
    assert time.monotonic() - began < 5
    released.set()


def doctor(directory: Path, code: str = "", **environ: str) -> tuple[int, dict[str, str]]:
    """Run the program without a shell: its status, and state and line of what is not ok."""
    environ = {"PYTHONPATH": str(ROOT), "LIVEKIT_URL": "wss://livekit.example", **environ}
    command = [sys.executable, "-m", "tracing", "doctor", "--json"]
    if code:
        command = [sys.executable, "-c", f"{code}\nfrom tracing.cli import main\nmain()"]
        command += ["doctor", "--json"]
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=directory, env=environ, capture_output=True, text=True, timeout=60
    )
    assert time.monotonic() - began < MOST_SECONDS
    assert "sk-lf-test" not in done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["status"] == done.returncode
    found = [Finding(**one) for one in document["findings"]]
    return done.returncode, {one.name: one.line for one in found if one.state != "ok"}


def _langfuse(url: str) -> dict[str, str]:
    keys = {"LANGFUSE_PUBLIC_KEY": "pk-lf-test", "LANGFUSE_SECRET_KEY": "sk-lf-test"}
    return {**keys, "LANGFUSE_BASE_URL": url}


@pytest.mark.parametrize("talk", [says_nothing, drips], ids=["says nothing", "drips"])
def test_server_that_hangs_is_told_in_time(tmp_path: Path, talk: Callable[..., None]) -> None:
    """The program ends, with the line for it."""
    with listening(talk) as port:
        status, found = doctor(tmp_path, **_langfuse(f"http://127.0.0.1:{port}"))
    assert status == 1
    assert list(found) == ["langfuse, connection"]
    assert "/api/public/health cannot be reached: no whole answer within 5 s" in str(found)


def test_server_that_is_slow_at_every_step_is_told_in_time(tmp_path: Path) -> None:
    """Each answer comes within its own time, and all together do not."""
    with ApiServer() as api:

        def slowly(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
            time.sleep(4.0)
            return api.reply(method, path, headers, body)

        slow = serve(slowly)
        status, found = doctor(tmp_path, **_langfuse(f"http://127.0.0.1:{slow.server_address[1]}"))
        slow.shutdown()
        slow.server_close()
    assert (status, list(found)) == (2, ["langfuse"])
    assert found["langfuse"].startswith("langfuse: no end came within 15 s, findings so far: 3")


RESOLVER_HANGS = """
import socket, time
socket.getaddrinfo = lambda *arguments, **options: time.sleep(600)
"""


def test_resolver_that_hangs_is_told_in_time(tmp_path: Path) -> None:
    """A call into it cannot be ended, so it is left behind."""
    status, found = doctor(tmp_path, RESOLVER_HANGS, **_langfuse("https://lf.example"))
    assert (status, list(found)) == (1, ["langfuse, DNS"])
    assert found["langfuse, DNS"] == (
        "langfuse, DNS: nobody says within 5 s which address lf.example has: "
        "check the DNS servers of this machine or container"
    )


def test_all_is_fine_with_langfuse(tmp_path: Path) -> None:
    """Status 0, from the variables of a file."""
    with ApiServer() as server:
        lines = "".join(f"{name}={value}\n" for name, value in server.environ.items())
        (tmp_path / ".env.local").write_text(lines)
        assert doctor(tmp_path) == (0, {})
        assert len(server.deleted) == 1
