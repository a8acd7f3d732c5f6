"""Starts the process that drains a spool: one at a time among all agents, and ever more rarely.

A start has failed until the lease is seen held, whatever the program says when it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from tracing.config.backends import CONSOLE, Backend, dump
from tracing.deliver import lease
from tracing.deliver.confinement import WORKING_DIRECTORY, environment
from tracing.deliver.lease import Holder
from tracing.deliver.pace import Pace
from tracing.spool.locks import FileLock

LOG_NAME = "drainer.log"
_STARTS_NAME = "drainer.starts"
_MAX_LOG_BYTES = 2**20
_FAILURES_BEFORE_HOPELESS = 3
_PYTHON = re.compile("(python|pypy|graalpy)[^/\\\\]*", re.IGNORECASE)

# Runs isolated from the user's working directory and environment, with this process's own
# import path, so that what is importable here is importable there.
BOOTSTRAP = """
import json, sys
sys.path[:] = json.loads(sys.argv.pop(1))
from tracing.deliver.drainer import main
main()
"""


@dataclass(frozen=True)
class _Starts:
    """The last start in a row of starts that came to nothing; times are Unix seconds."""

    number: int = 0
    at: float = 0.0
    wait_seconds: float = 0.0
    """How long nobody starts again."""

    @classmethod
    def read(cls, text: str) -> _Starts:
        """What a file says; no starts where it cannot be read."""
        try:
            found = json.loads(text)
            return cls(int(found["number"]), float(found["at"]), float(found["wait_seconds"]))
        except (ValueError, TypeError, KeyError):
            return cls()

    def is_due(self) -> bool:
        """Whether the wait is over; a clock that was set back ends it."""
        return not 0 <= time.time() - self.at < self.wait_seconds

    def next(self, pace: Pace) -> _Starts:
        """The start that is made now."""
        wait = min(pace.first_restart_seconds * 2**self.number, pace.longest_restart_seconds)
        return _Starts(self.number + 1, time.time(), wait * random.uniform(0.75, 1.25))


class Starter:
    """Starts drainers of one spool from within one agent process, and collects them."""

    def __init__(
        self,
        directory: Path,
        backends: list[Backend],
        *,
        spool_bytes: int,
        max_age_seconds: float,
        pace: Pace,
        program: str,
    ) -> None:
        self._directory = directory
        self._backends = backends
        self._limits = [str(spool_bytes), str(max_age_seconds)]
        self._pace = pace
        self._program = program
        self.child: subprocess.Popen[bytes] | None = None
        self.hopeless = ""
        """Why no process can drain; "" as long as one may."""
        self._claim: FileLock | None = None
        """Held from a start until it has come to something or nothing."""
        self._started_at = 0.0
        self._failures = 0

    def start(self, *, is_last_chance: bool = False) -> None:
        """Start a drainer, unless one is being started or it is too early to try again.

        `is_last_chance` does not wait: this process ends.
        """
        if self.child is not None or self.hopeless:
            return
        claim = FileLock.take(self._directory / _STARTS_NAME)
        if claim is None:
            return  # another agent is at it
        starts = self._before(claim)
        if not (starts.is_due() or is_last_chance):
            claim.release()
            return
        claim.write(json.dumps(asdict(starts.next(self._pace))))
        self._claim, self._started_at = claim, time.monotonic()
        self._spawn()

    def tend(self, holder: Holder | None) -> None:
        """Say of our drainer's start what became of it, and collect it when it has ended."""
        if holder is not None:
            self._settle()
        if self.child is None:
            return
        status = self.child.poll()
        if status is None:
            is_late = time.monotonic() - self._started_at > self._pace.start_within_seconds
            if self._claim is not None and is_late:
                self.child.kill()
            return
        if self._claim is not None and lease.last_holder(self._directory).pid != self.child.pid:
            self._failed(status)
        else:
            self._settle()
        self.child = None

    def kill(self, pid: int) -> bool:
        """End a drainer that this process started; False for any other."""
        if self.child is None or self.child.pid != pid:
            return False
        self.child.kill()
        return True

    def _before(self, claim: FileLock) -> _Starts:
        """The starts that came to nothing; none where the last one has drained well."""
        starts = _Starts.read(claim.read())
        lived_seconds = lease.beat_at(self._directory) - starts.at
        has_left = lease.last_holder(self._directory).has_left and lived_seconds > 0
        return _Starts() if has_left or lived_seconds > self._pace.well_after_seconds else starts

    def _settle(self) -> None:
        self._failures = 0
        self._release()

    def _failed(self, status: int) -> None:
        self._failures += 1
        if self._failures >= _FAILURES_BEFORE_HOPELESS:
            self.hopeless = (
                f"it ended {self._failures} times before it began, the last time with status "
                f"{status} ({self._directory / LOG_NAME})"
            )
        self._release()

    def _release(self) -> None:
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def _spawn(self) -> None:
        executable, problem = interpreter()
        if problem:
            self.hopeless = problem
            self._release()
            return
        paths = json.dumps([os.path.abspath(path) for path in sys.path if path])
        arguments = [paths, str(self._directory), *self._limits]
        prints = any(backend.sender == CONSOLE for backend in self._backends)
        try:
            with open_log(self._directory / LOG_NAME) as log:
                self.child = subprocess.Popen(
                    [executable, "-I", "-c", self._program, *arguments],
                    stdin=subprocess.PIPE,
                    stdout=None if prints else subprocess.DEVNULL,
                    stderr=log,
                    cwd=WORKING_DIRECTORY,
                    env=environment(),
                    start_new_session=True,
                )
            assert self.child.stdin is not None
            with contextlib.suppress(BrokenPipeError), self.child.stdin as stdin:
                stdin.write(dump(self._backends).encode())
        except OSError as error:
            self.hopeless = str(error)
            self._release()


def interpreter() -> tuple[str, str]:
    """The program that runs Python here, and why it is none.

    A frozen application, or one with Python inside, would start itself a second time.
    """
    executable = sys.executable or ""
    if not executable:
        return "", "sys.executable is not set"
    if getattr(sys, "frozen", False):
        return "", f"{executable} is a frozen application"
    if not _PYTHON.fullmatch(Path(executable).name):
        return "", f"{executable} is no Python interpreter"
    return executable, ""


def open_log(path: Path) -> IO[bytes]:
    """The drainer's own log, for errors of ours; begun anew when it has grown too long."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with contextlib.suppress(OSError):
        if path.stat().st_size > _MAX_LOG_BYTES:
            flags |= os.O_TRUNC
    return os.fdopen(os.open(path, flags, 0o600), "ab")
