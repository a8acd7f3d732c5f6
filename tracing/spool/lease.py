"""The right to drain a spool: one process at a time, freed by the kernel when it dies."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from tracing.spool.locks import is_locked, try_lock

_FILE_NAME = "drainer.lock"


class Lease:
    """A lease that is held until it is left; its file names the holder and its settings."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path

    @classmethod
    def take(cls, directory: Path, settings_digest: str) -> Lease | None:
        """The lease, or None while another process has it."""
        path = directory / _FILE_NAME
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not try_lock(fd):
            os.close(fd)
            return None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()} {settings_digest}".encode())
        return cls(fd, path)

    def is_valid(self) -> bool:
        """Whether the lease's file is still where the next drainer would look for it."""
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except OSError:
            return False

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def holder(directory: Path) -> tuple[int, str] | None:
    """Pid and settings digest of the process that drains the spool; None where none does."""
    path = directory / _FILE_NAME
    if not is_locked(path):
        return None
    try:
        pid, _, settings_digest = path.read_text().partition(" ")
        return int(pid), settings_digest
    except (OSError, ValueError):
        return 0, ""


def end_holder(directory: Path, *, within_seconds: float) -> None:
    """Ask the process that drains the spool to stop, and wait until it has."""
    pid, _ = holder(directory) or (0, "")
    if pid in (0, os.getpid()):
        return
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + within_seconds
    while holder(directory) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
