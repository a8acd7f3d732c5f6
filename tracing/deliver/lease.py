"""The right to drain a spool: one process at a time, freed by the kernel when it dies."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from tracing.spool.locks import is_locked, try_lock

_FILE_NAME = "drainer.lock"
_IN_AGENT = "agent"


class Lease:
    """A lease that is held until it is left; its file names the holder and its settings."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path

    @classmethod
    def take(cls, directory: Path, settings_digest: str, *, in_agent: bool = False) -> Lease | None:
        """The lease, or None while another process has it.

        `in_agent` says that the holder is an agent, which nobody may end for its lease.
        """
        path = directory / _FILE_NAME
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        _open_fds.add(fd)
        # Somebody who only asks whether it is held has it for a moment.
        if not any(_try(fd, pause) for pause in (0.0, 0.002, 0.01, 0.03)):
            _close(fd)
            return None
        os.ftruncate(fd, 0)
        where = _IN_AGENT if in_agent else "process"
        os.write(fd, f"{os.getpid()} {settings_digest} {where}".encode())
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
        _close(self._fd)


def _try(fd: int, pause_seconds: float) -> bool:
    time.sleep(pause_seconds)
    return try_lock(fd)


def leave_to_parent() -> None:
    """In a forked child: the leases of this process are the parent's, and end with it."""
    for fd in list(_open_fds):
        _close(fd)


_open_fds: set[int] = set()


def _close(fd: int) -> None:
    if fd in _open_fds:
        _open_fds.discard(fd)
        os.close(fd)


def holder(directory: Path) -> tuple[int, str] | None:
    """Pid and settings digest of the process that drains the spool; None where none does."""
    if not is_locked(directory / _FILE_NAME):
        return None
    pid, settings_digest, _ = _read(directory)
    return pid, settings_digest


def end_holder(directory: Path, *, within_seconds: float) -> None:
    """Ask the drainer's process of the spool to stop, and wait until it has."""
    if holder(directory) is None:
        return
    pid, _, where = _read(directory)
    if pid in (0, os.getpid()) or where == _IN_AGENT:
        return
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + within_seconds
    while holder(directory) is not None and time.monotonic() < deadline:
        time.sleep(0.05)


def _read(directory: Path) -> tuple[int, str, str]:
    """The pid, settings digest and kind of process that the lease's file names."""
    try:
        pid, _, rest = (directory / _FILE_NAME).read_text().partition(" ")
        settings_digest, _, where = rest.rpartition(" ")
        return int(pid), settings_digest, where
    except (OSError, ValueError):
        return 0, "", ""
