"""Keeps a drainer at work from within an agent process, and says what the drainer has to say.

One daemon thread per process. Several times a second it runs the processor's checkpoint of open
spans; once a second it starts the drainer's process when none holds the spool's lease, or
drains in a thread where no process can be started.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from tracing.config.backends import CONSOLE, Backend, digest, dump
from tracing.deliver import lease
from tracing.deliver.confinement import WORKING_DIRECTORY, environment
from tracing.deliver.pace import PRODUCTION, Pace
from tracing.deliver.status import read_backends, take_notices
from tracing.safe_text import get_logger
from tracing.spool.losses import Ledger
from tracing.spool.segments import segment_paths

if TYPE_CHECKING:
    from tracing.deliver.drainer import Drainer

logger = get_logger(__name__)

_STOP_WITHIN_SECONDS = 1.0
_FAILURES_BEFORE_THREAD = 3
_MAX_LOG_BYTES = 2**20
LOG_NAME = "drainer.log"

# Runs isolated from the user's working directory and environment, with this process's own
# import path, so that what is importable here is importable there.
_BOOTSTRAP = """
import json, sys
sys.path[:] = json.loads(sys.argv.pop(1))
from tracing.deliver.drainer import main
main()
"""


class Keeper:
    """Sees to it that the spool of this process is drained."""

    def __init__(
        self,
        directory: Path,
        backends: list[Backend],
        ledger: Ledger,
        *,
        checkpoint: Callable[[], None] = lambda: None,
        place: Literal["process", "thread"] = "process",
        spool_bytes: int,
        max_age_seconds: float,
        pace: Pace = PRODUCTION,
        program: str = _BOOTSTRAP,
    ) -> None:
        """Keep the spool drained; `program` is the Python that a drainer's process runs."""
        self._directory = directory
        self._backends = backends
        self._digest = digest(backends)
        self._ledger = ledger
        self._checkpoint = checkpoint
        self._place = place
        self._spool_bytes = spool_bytes
        self._max_age_seconds = max_age_seconds
        self._pace = pace
        self._program = program
        self._begin_process()

    def _begin_process(self) -> None:
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._known_drainer: int | None = None
        self._failures = 0
        self._drainer: Drainer | None = None
        self._drainer_thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="tracing-keeper", daemon=True)
            self._thread.start()

    def tidy_up(self) -> None:
        """At the process's end: write what was counted, and leave no spool without a drainer."""
        if self._stopping.is_set():
            return
        self._ledger.settle(finally_=True)
        _guarded(self._checkpoint)
        if self._place == "process":
            _guarded(self._tend)

    def after_fork(self) -> None:
        """In a forked child: the thread stayed in the parent, so start one here."""
        lease.leave_to_parent()
        if self._stopping.is_set():
            return  # a shutdown holds for the processes that come after it
        self._begin_process()
        self.start()

    def stop(self) -> None:
        """End the thread; a drainer in a process of its own goes on."""
        self._stopping.set()
        if self._drainer is not None:
            self._drainer.stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_STOP_WITHIN_SECONDS)

    def _run(self) -> None:
        next_tick = 0.0
        while True:
            _guarded(self._checkpoint)
            if time.monotonic() >= next_tick:
                _guarded(self._tend)
                next_tick = time.monotonic() + self._pace.keeper_tick_seconds
            if self._stopping.wait(self._pace.checkpoint_seconds):
                return

    def _tend(self) -> None:
        self._ledger.settle()
        for level, text in take_notices(self._directory):
            logger.log(level, "%s", text)
        self._reap()
        drainer = lease.holder(self._directory)
        if drainer is None:
            if segment_paths(self._directory):
                self._drain()
            return
        self._known_drainer, settings = drainer
        if settings != self._digest and self._is_refused():
            lease.end_holder(self._directory, within_seconds=0.0)

    def _is_refused(self) -> bool:
        """Whether the drainer at work waits for other settings; perhaps ours are the mended."""
        backends = read_backends(self._directory)
        return any(backend["state"] == "paused" for backend in backends)

    def _drain(self) -> None:
        if self._place == "process" and self._failures < _FAILURES_BEFORE_THREAD:
            if self._child is None:
                self._spawn()
        elif self._drainer_thread is None or not self._drainer_thread.is_alive():
            self._drain_in_thread()

    def _drain_in_thread(self) -> None:
        from tracing.deliver.drainer import Drainer

        self._drainer = Drainer(
            self._directory,
            self._backends,
            spool_bytes=self._spool_bytes,
            max_age_seconds=self._max_age_seconds,
            in_agent=True,
            pace=self._pace,
        )
        self._drainer_thread = threading.Thread(
            target=self._drainer.run, name="tracing-drainer", daemon=True
        )
        self._drainer_thread.start()

    def _spawn(self) -> None:
        paths = json.dumps([os.path.abspath(path) for path in sys.path if path])
        limits = [str(self._spool_bytes), str(self._max_age_seconds)]
        arguments = [paths, str(self._directory), *limits]
        prints = any(backend.sender == CONSOLE for backend in self._backends)
        try:
            with open_log(self._directory / LOG_NAME) as log:
                self._child = subprocess.Popen(
                    [sys.executable, "-I", "-c", self._program, *arguments],
                    stdin=subprocess.PIPE,
                    stdout=None if prints else subprocess.DEVNULL,
                    stderr=log,
                    cwd=WORKING_DIRECTORY,
                    env=environment(),
                    start_new_session=True,
                )
            assert self._child.stdin is not None
            with self._child.stdin as stdin:
                stdin.write(dump(self._backends).encode())
        except OSError as error:
            self._failures = _FAILURES_BEFORE_THREAD
            logger.info("draining in a thread, because no process can be started: %s", error)

    def _reap(self) -> None:
        """Collect drainers that ended: our own, and as process 1 those of dead processes."""
        if self._child is not None and self._child.poll() is not None:
            # A drainer that was killed (a negative status) says nothing against the next.
            self._failures = self._failures + 1 if self._child.returncode > 0 else 0
            self._child = None
        if os.getpid() == 1 and self._child is None and self._known_drainer:  # pragma: no cover
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._known_drainer, os.WNOHANG)


def open_log(path: Path) -> IO[bytes]:
    """The drainer's own log, for errors of ours; begun anew when it has grown too long."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with contextlib.suppress(OSError):
        if path.stat().st_size > _MAX_LOG_BYTES:
            flags |= os.O_TRUNC
    return os.fdopen(os.open(path, flags, 0o600), "ab")


def _guarded(tend: Callable[[], None]) -> None:
    try:
        tend()
    except Exception:
        logger.debug("tending the drainer failed", exc_info=True)
