"""The drainer's process: what it knows of its agent, and what it leaves when it fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.deliver.keepers import MakeKeeper, drainer_pid
from tests.fakes import (
    RecordingServer,
    append,
    make_span,
    otlp_backend,
    running_drainer,
    until,
    write_segment,
)
from tracing.config.backends import Backend
from tracing.deliver.starter import LOG_NAME
from tracing.deliver.status import read_status
from tracing.safe_text import STRUCK
from tracing.spool.segments import SegmentWriter

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells")

SENDER = """
class Fails:
    def __init__(self, backend, tally):
        self.kind = {"ValueError": ValueError, "KeyboardInterrupt": KeyboardInterrupt}[backend.url]
        self.headers = backend.headers

    def deliver(self, spans):
        raise self.kind(f"cannot deliver with {self.headers}\\x1b[2J")
"""


@on_linux
def test_drainer_gets_what_it_needs_and_no_more(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key of the agent's, no core file, and another working directory than the spool."""
    for name in ("OPENAI_API_KEY", "LANGFUSE_SECRET_KEY", "LIVEKIT_API_SECRET", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "5678-very-secret")
    monkeypatch.setenv("TZ", "UTC")
    with RecordingServer() as server:
        make_keeper(otlp_backend(server.url))
        append(writer, make_span(1))
        until(lambda: server.accepted == [make_span(1)])
        process = Path("/proc") / str(drainer_pid(spool))
        environ = process.joinpath("environ").read_bytes()
        assert b"TZ=UTC" in environ
        assert b"5678" not in environ
        assert b"5678" not in process.joinpath("cmdline").read_bytes()
        [core] = [
            line.split()[4:6]
            for line in process.joinpath("limits").read_text().splitlines()
            if line.startswith("Max core file size")
        ]
        assert core == ["0", "0"]
        assert process.joinpath("cwd").readlink() == Path("/")


def _log(spool: Path) -> str:
    return (spool / LOG_NAME).read_text()


@pytest.mark.parametrize("kind", ["ValueError", "KeyboardInterrupt"])
def test_drainer_that_fails_tells_no_secret(
    spool: Path,
    writer: SegmentWriter,
    make_keeper: MakeKeeper,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
) -> None:
    """Neither where the error is caught and logged, nor where it ends the thread."""
    (tmp_path / "failing_sender.py").write_text(SENDER)
    monkeypatch.syspath_prepend(str(tmp_path))
    headers = {"Authorization": "Bearer 5678-very-secret"}
    append(writer, make_span(1))
    make_keeper(Backend("own", "failing_sender:Fails", kind, headers))
    until(lambda: (spool / LOG_NAME).exists())
    until(lambda: f"\n{kind}: " in _log(spool))
    assert rf"{kind}: cannot deliver with {{'Authorization': '{STRUCK}'}}\x1b[2J" in _log(spool)
    assert "5678" not in _log(spool)
    assert "5678" not in "".join(p.read_text() for p in spool.rglob("*.json"))


def test_proxy_that_cannot_be_read_is_told_without_its_password(spool: Path) -> None:
    """The library that cannot read it repeats it in full."""
    write_segment(spool, make_span(1))
    proxy = "ftp://user:5678-very-secret@proxy"
    with running_drainer(spool, otlp_backend("http://127.0.0.1:1", proxy=proxy)):
        until(lambda: read_status(spool))
        until(lambda: read_status(spool)["backends"][0]["state"] == "retrying")
        [said] = [one["detail"] for one in read_status(spool)["backends"]]
    assert "5678" not in said
    assert said.replace("Not supported URL scheme ", "") == (  # which comes on Python 3.14
        "internal error: ProxySchemeUnknown('Proxy URL had unsupported scheme ftp, "
        "should use http:// or https://')"
    )
