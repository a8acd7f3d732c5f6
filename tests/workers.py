"""Run real LiveKit workers with an offline job, and hear what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes import ROOT

TYPED = ("Good evening.", "A table for two, please.", "Thank you.")
"""What the caller types in every call."""
CARD = "4111-1111"
"""A number that every answer gives away, and that the worker masks."""


@contextmanager
def offline_job(directory: Path, *arguments: str, **environ: str) -> Iterator[Any]:
    """A worker with one job that traces to the local store below `directory`; see offline_job."""
    settings = {"TRACING_BACKEND": "local", "TRACING_DIR": str(directory), **environ}
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.offline_job", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
    )
    try:
        yield worker
    finally:
        worker.kill()
        worker.communicate()


def heard(worker: Any, event: str) -> dict[str, Any]:
    """What the worker or its job says of an event."""
    for line in worker.stdout:
        said: dict[str, Any] = json.loads(line)
        if said["event"] == event:
            return said
    raise AssertionError(f"it never said {event!r}: {worker.stderr.read()}")
