"""Arize Phoenix, a reader of OTLP that nobody here wrote, shows a recorded call as it was.

Opt-in: `TRACING_TEST_PHOENIX` names the Python of an environment with `arize-phoenix` (850 MB).
Its gRPC port, which is not used, listens on every interface.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dialects.recorded import LATEST, RECORDINGS
from tests.integration import processes
from tests.integration.processes import free_port, get_json, running, wait_for
from tracing.commands.redelivery import replay
from tracing.config.load import load_settings
from tracing.span import STATUS_ERROR, Span
from tracing.store.store import Store

PYTHON = os.environ.get("TRACING_TEST_PHOENIX", "")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not PYTHON, reason="TRACING_TEST_PHOENIX names no Python that has arize-phoenix"
    ),
]

STATUS = {0: "UNSET", 1: "OK", STATUS_ERROR: "ERROR"}


@pytest.fixture
def phoenix(tmp_path: Path) -> Iterator[str]:
    """A Phoenix with a database of its own; its URL."""
    port, log = free_port(), tmp_path / "phoenix.log"
    environ = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_WORKING_DIR": str(tmp_path / "phoenix"),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    url = f"http://127.0.0.1:{port}"
    with running([PYTHON, "-m", "phoenix.server.main", "serve"], log=log, environ=environ):
        wait_for(lambda: processes.answers(f"{url}/healthz"), 90, f"Phoenix; see {log}")
        yield url


@pytest.mark.parametrize("scenario", ["tools", "voice"])
def test_recorded_call_is_shown_whole(tmp_path: Path, phoenix: str, scenario: str) -> None:
    """The same spans under the same parents, with their names, and the failures of the call."""
    settings = load_settings(["otlp", "local"], endpoint=phoenix, directory=tmp_path)
    done = replay([RECORDINGS / LATEST / f"{scenario}.json"], settings)
    assert (done.waiting_bytes, done.lost) == (0, {})
    with Store(tmp_path / "calls.db", read_only=True) as store:
        [call] = store.calls()
        spans = store.spans(call.trace_id)
    # It says yes before it stores.
    shown = wait_for(
        lambda: found if len(found := shown_spans(phoenix)) >= len(spans) else None, 60, "all spans"
    )
    assert sorted(map(as_shown, shown)) == sorted(map(as_stored, spans))


def shown_spans(url: str) -> list[dict[str, Any]]:
    """What its API tells of every span."""
    answer = get_json(f"{url}/v1/projects/default/spans?limit=1000")
    spans: list[dict[str, Any]] = answer["data"] if answer else []
    return spans


def as_shown(span: dict[str, Any]) -> tuple[str, ...]:
    """A span of its API in a few words."""
    ids = span["context"]
    parent, status = span["parent_id"] or "", span["status_code"]
    return ids["trace_id"], ids["span_id"], parent, span["name"], status


def as_stored(span: Span) -> tuple[str, ...]:
    """A span of the local store in the same words."""
    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    return *ids, span.name, STATUS[span.status_code]
