"""The right to drain a spool: one process at a time, freed by the kernel when it dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tracing.deliver.identity import Process
from tracing.spool.locks import FileLock, is_locked

_FILE_NAME = "drainer.lock"


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, as its file says; the process is 0 in the instant before it says so."""

    process: Process
    settings: str = ""
    """The digest of what it delivers with."""
    in_agent: bool = False
    """Whether it is an agent, which nobody may end for its lease."""
    has_left: bool = False
    """Whether it had nothing more to do, and said so at its end."""

    @property
    def pid(self) -> int:
        """Its process id, in its own namespace."""
        return self.process.pid


NOBODY = Holder(Process(0))


class Lease:
    """A lease that is held until it is left; its file names the holder and its settings."""

    def __init__(self, lock: FileLock, holder: Holder) -> None:
        self._lock = lock
        self._holder = holder
        self._write()

    @classmethod
    def take(cls, directory: Path, settings_digest: str, *, in_agent: bool = False) -> Lease | None:
        """The lease, or None while another process has it.

        `in_agent` says that the holder is an agent, which nobody may end for its lease.
        """
        # Somebody who only asks whether it is held has it for a moment.
        lock = FileLock.take(directory / _FILE_NAME, pauses_seconds=(0.0, 0.002, 0.01, 0.03))
        if lock is None:
            return None
        return cls(lock, Holder(Process.current(), settings_digest, in_agent))

    def is_valid(self) -> bool:
        """Whether the lease's file is still where the next drainer would look for it."""
        return self._lock.is_in_place()

    def beat(self) -> None:
        """Give a sign of life that needs no room on the disk."""
        self._lock.touch()

    def leave(self) -> None:
        """Say that there is nothing more to do, so that the next one may begin at once."""
        self._holder = replace(self._holder, has_left=True)
        self._write()

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # a full disk
            self._lock.write(json.dumps(asdict(self._holder)))

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def holder(directory: Path) -> Holder | None:
    """Who drains the spool; None where nobody does."""
    return last_holder(directory) if is_locked(directory / _FILE_NAME) else None


def last_holder(directory: Path) -> Holder:
    """Who drains the spool, or did so last."""
    try:
        found = json.loads((directory / _FILE_NAME).read_text())
        process = Process(**found["process"])
        is_agent, has_left = found["in_agent"] is not False, found["has_left"] is True
        return Holder(process, str(found["settings"]), is_agent, has_left)
    except (OSError, ValueError, TypeError, KeyError):
        return NOBODY


def beat_at(directory: Path) -> float:
    """When the holder last gave a sign of life, by its wall clock; 0.0 where nobody ever did."""
    try:
        return (directory / _FILE_NAME).stat().st_mtime
    except OSError:
        return 0.0


def end_holder(directory: Path, *, within_seconds: float) -> bool:
    """Ask the drainer's process of the spool to stop, and wait until it has.

    False where it is not certain who that is, or where it is an agent: then nobody is asked.
    """
    if not _signal_holder(directory, signal.SIGTERM):
        return False
    deadline = time.monotonic() + within_seconds
    while holder(directory) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    return True


def kill_holder(directory: Path) -> bool:
    """End the drainer's process of the spool, which does not answer; False as in `end_holder`."""
    return _signal_holder(directory, signal.SIGKILL)


def _signal_holder(directory: Path, number: signal.Signals) -> bool:
    found = holder(directory)
    if found is None or found.in_agent or found.pid in (0, os.getpid()):
        return False
    return found.process.send(number)
