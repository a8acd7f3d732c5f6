"""Waiting, within bounds, until the backends have what is on disk."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from tracing.deliver import lease
from tracing.deliver.status import read_status
from tracing.heard import waiting
from tracing.spool.acks import acknowledged_offset
from tracing.spool.formats import is_foreign
from tracing.spool.moved import moved_places
from tracing.spool.segments import segment_paths, size_of

_POLL_SECONDS = 0.02
_NO_ANSWER_SECONDS = 1.0

HURRY_NAME = "hurry"
"""A file that is touched to ask the drainer to send at once what is there."""


def flush_spool(directory: Path, timeout_seconds: float, *, patient: bool = False) -> bool:
    """Wait until all that is on disk now is acknowledged; False when something is left.

    What a recording tells is on disk once that is measured.

    Gives up early where every backend that something waits for has failed or does not
    answer, unless `patient`, and where only segments of another version are left. A directory
    that is not there tells nothing of what was in it: False.
    """
    deadline = time.monotonic() + timeout_seconds
    _hurry(directory)
    while moved_places(directory) or waiting.left(directory):
        if not _wait(directory, deadline, patient=patient):
            return False
    wanted = {path.name: size_of(path) for path in segment_paths(directory)}
    foreign = {name for name in wanted if is_foreign(directory / name)}
    while True:
        left = {name for name, size in wanted.items() if not _is_delivered(directory, name, size)}
        if not left:
            return directory.is_dir()
        if left <= foreign or not _wait(directory, deadline, patient=patient):
            return False


def _wait(directory: Path, deadline: float, *, patient: bool) -> bool:
    """Wait a little, unless the time is over or there is no hope."""
    remaining = deadline - time.monotonic()
    if remaining <= 0 or (not patient and _is_hopeless(directory)):
        return False
    time.sleep(min(_POLL_SECONDS, remaining))
    return True


def waiting_bytes(directory: Path) -> int:
    """How much is on disk that some backend has not taken."""
    return sum(
        max(size_of(path) - acknowledged_offset(directory, path.name), 0)
        for path in segment_paths(directory)
    )


def _is_delivered(directory: Path, name: str, size: int) -> bool:
    if not (directory / name).exists():
        return True
    return acknowledged_offset(directory, name) >= size


def _is_hopeless(directory: Path) -> bool:
    """Whether some backend takes nothing now: it failed last time, or lets a request hang.

    Only what the present drainer said counts: one that is no more tells nothing of what the
    next will find.
    """
    drainer, status = lease.holder(directory), read_status(directory)
    if drainer is None or drainer.pid != status.get("pid"):
        return False
    now = time.time()
    return any(
        backend["state"] != "delivering"
        or (backend["asking_since"] and now - backend["asking_since"] > _NO_ANSWER_SECONDS)
        for backend in status["backends"]
    )


def _hurry(directory: Path) -> None:
    with contextlib.suppress(OSError):
        path = directory / HURRY_NAME
        path.touch(mode=0o600)
        os.utime(path)
