"""Every test starts in a directory of its own, with no setting of the caller's, and no pipeline."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.fakes import RecordingServer

_FOREIGN = ("TRACING_", "LANGFUSE_", "OTEL_", "LIVEKIT_")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def pytest_configure(config: pytest.Config) -> None:
    """A segment's file is closed with its last reference, because other threads may write."""
    config.addinivalue_line(
        "filterwarnings", "ignore:unclosed file <(_io.FileIO|File) :ResourceWarning"
    )


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No tracing, vendor, LiveKit or proxy setting; the default TRACING_DIR is in tmp_path."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) or name.upper() in _PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def no_pipeline_is_left(clean_environ: None, tmp_path: Path) -> Iterator[None]:
    """After each test the process's pipeline and the drainers of its spools are gone."""
    yield
    if "tracing.setup" in sys.modules:
        _end_pipeline()
    if "tracing.safe_text" in sys.modules:
        _forget_secrets()
    if "tracing.deliver.lease" in sys.modules:
        _end_drainers(tmp_path)
    if "livekit.agents.worker" in sys.modules:
        _restore_livekit()


def _end_pipeline() -> None:
    """Shut down, and reap the drainer's process so that it is no warning later."""
    import tracing.capture.jobs
    import tracing.handle

    tracing.capture.jobs._late_was_said = False
    handle = tracing.handle.current_tracing()
    if handle is None:
        return
    handle.shutdown()
    child = handle._keeper._starter.child if handle._keeper is not None else None
    if child is not None:
        child.terminate()
        child.wait(10)


def _forget_secrets() -> None:
    """What one test has for a secret is a word to the next."""
    import tracing.safe_text

    tracing.safe_text._known = tracing.safe_text._Known()


def _end_drainers(directory: Path) -> None:
    """End the drainers of every spool below `directory`, threads of this process among them."""
    from tracing.deliver import lease

    for lock in directory.rglob("drainer.lock"):
        lease.end_holder(lock.parent, within_seconds=10)
        lease.kill_holder(lock.parent)
    for thread in threading.enumerate():
        if thread.name == "tracing-drainer":
            thread.join(10)


def _restore_livekit() -> None:
    """LiveKit's worker and tracer, and OpenTelemetry's global, are as they were at import."""
    from livekit.agents.telemetry import traces
    from livekit.agents.worker import AgentServer
    from opentelemetry import trace
    from opentelemetry.util._once import Once

    for name in ("aclose", "run"):
        method = getattr(AgentServer, name)
        setattr(AgentServer, name, getattr(method, "__wrapped__", method))
    trace._TRACER_PROVIDER = None
    trace._TRACER_PROVIDER_SET_ONCE = Once()
    traces.tracer.set_provider(trace._PROXY_TRACER_PROVIDER)


@pytest.fixture
def in_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drain in a thread, which starts faster than a process."""
    monkeypatch.setenv("TRACING_DRAINER", "thread")


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """A backend that works."""
    from tests.fakes import RecordingServer

    with RecordingServer() as server:
        yield server


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
