"""Has the recordings that wait in a spool measured, by a short process of their own.

Neither an agent nor the drainer decodes anything. One process at a time, ended where it takes too
long; what it could not measure costs a sentence in an agent's log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tracing.deliver.confinement import WORKING_DIRECTORY, environment
from tracing.deliver.starter import interpreter
from tracing.heard.waiting import give_up, left

_LONGEST_SECONDS = 180.0
_TRIES_APART_SECONDS = 2.0
"""Between two processes where the first has left something."""

_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv.pop(1))
from tracing.heard.__main__ import main
main()
"""


class Measuring:
    """Starts the process where something waits, collects it, and says what it said."""

    def __init__(
        self,
        spool: Path,
        say: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._say = say
        self._clock = clock
        self._process: subprocess.Popen[str] | None = None
        self._started_at = float("-inf")

    def has_work(self) -> bool:
        """Whether something is measured or waits for it."""
        return self._process is not None or bool(left(self._spool))

    def tend(self) -> None:
        """Collect a process that has ended, end one that takes too long, start one where due."""
        if self._process is not None:
            self._collect(self._process)
        elif self._clock() - self._started_at > _TRIES_APART_SECONDS and left(self._spool):
            self._start()

    def stop(self) -> None:
        """End what runs: it is tried again by whoever drains next."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> None:
        self._started_at = self._clock()
        executable, problem = interpreter()
        if problem:
            self._give_up(problem)
            return
        paths = json.dumps([os.path.abspath(path) for path in sys.path if path])
        try:
            self._process = subprocess.Popen(
                [executable, "-I", "-c", _PROGRAM, paths, str(self._spool)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=WORKING_DIRECTORY,
                env=environment(),
                text=True,
            )
        except OSError as error:
            self._give_up(str(error))

    def _collect(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            if self._clock() - self._started_at > _LONGEST_SECONDS:
                process.kill()
            return
        self._process = None
        for sentence in process.communicate()[0].splitlines():
            self._say(sentence)

    def _give_up(self, why: str) -> None:
        """Leave nothing waiting that nobody can measure."""
        waiting = left(self._spool)
        for path in waiting:
            give_up(self._spool, path)
        self._say(f"{len(waiting)} recordings were not measured, for no process can be had: {why}")
