"""Keeps a drainer at work from within an agent process, and says what the drainer has to say.

One daemon thread per process. Several times a second it runs the processor's checkpoint of open
spans; once a second it starts the drainer's process when none holds the spool's lease, or
drains in a thread where no process can be started.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tracing.config.backends import Backend, digest
from tracing.deliver import lease
from tracing.deliver.lease import Holder
from tracing.deliver.pace import PRODUCTION, Pace
from tracing.deliver.starter import BOOTSTRAP, Starter
from tracing.deliver.status import read_backends, take_notices
from tracing.deliver.watch import Watch
from tracing.safe_text import get_logger
from tracing.spool.locks import leave_locks_to_parent
from tracing.spool.losses import Ledger
from tracing.spool.segments import segment_paths

if TYPE_CHECKING:
    from tracing.deliver.drainer import Drainer

logger = get_logger(__name__)

_LAST_CHANCE_SECONDS = 1.0
_STOP_WITHIN_SECONDS = 1.0


class Keeper:
    """Sees to it that the spool of this process is drained."""

    def __init__(
        self,
        directory: Path,
        backends: list[Backend],
        ledger: Ledger,
        *,
        checkpoint: Callable[[], None] = lambda: None,
        look: Callable[[], object] = lambda: None,
        place: Literal["process", "thread"] = "process",
        spool_bytes: int,
        max_age_seconds: float,
        pace: Pace = PRODUCTION,
        program: str = BOOTSTRAP,
    ) -> None:
        """Keep the spool drained; `program` is the Python that a drainer's process runs.

        `look` sees whether what this process wrote is where it is looked for.
        """
        self._directory = directory
        self._backends = backends
        self._digest = digest(backends)
        self._ledger = ledger
        self._checkpoint = checkpoint
        self._look = look
        self._place = place
        self._spool_bytes = spool_bytes
        self._max_age_seconds = max_age_seconds
        self._pace = pace
        self._program = program
        self._begin_process()

    def _begin_process(self) -> None:
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._tending = threading.Lock()
        self._starter = Starter(
            self._directory,
            self._backends,
            spool_bytes=self._spool_bytes,
            max_age_seconds=self._max_age_seconds,
            pace=self._pace,
            program=self._program,
        )
        self._watch = Watch(self._directory, self._pace)
        self._holder: Holder | None = None
        """Who was last seen to drain."""
        self._said_silent = False
        self._gave_up_on: Holder | None = None
        """The drainer that stood still and was ended, or could not be."""
        self._said_thread = False
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
            _guarded(lambda: self._tend(is_last_chance=True))

    def after_fork(self) -> None:
        """In a forked child: the thread stayed in the parent, so start one here."""
        leave_locks_to_parent()
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

    def _tend(self, *, is_last_chance: bool = False) -> None:
        """See to the drainer, one thread at a time.

        At the process's end the keeper's own thread may be just starting one: it would be cut off
        before it has told that what to deliver.
        """
        if not self._tending.acquire(timeout=_LAST_CHANCE_SECONDS if is_last_chance else -1):
            return
        try:
            self._see_to_drainer(is_last_chance=is_last_chance)
        finally:
            self._tending.release()

    def _see_to_drainer(self, *, is_last_chance: bool) -> None:
        _guarded(self._look)
        self._ledger.settle()
        for level, text in take_notices(self._directory):
            logger.log(level, "%s", text)
        holder = lease.holder(self._directory)
        self._starter.tend(holder)
        if holder is not None:
            self._holder = holder
            self._mind(holder)
            return
        if self._holder is not None:
            self._holder.process.reap()
        if segment_paths(self._directory):
            self._drain(is_last_chance=is_last_chance)

    def _mind(self, holder: Holder) -> None:
        """See whether the drainer at work does work, and with settings that its backends take."""
        silent_seconds = self._watch.silent_seconds(holder)
        if silent_seconds >= self._pace.silent_say_seconds:
            self._mind_silence(holder, silent_seconds)
            return
        self._said_silent = False
        if holder.settings != self._digest and self._is_refused():
            lease.end_holder(self._directory, within_seconds=0.0)

    def _mind_silence(self, holder: Holder, seconds: float) -> None:
        """Say that the drainer stands still; end it after a while, so that another one begins."""
        if not os.access(self._directory, os.W_OK):
            return  # on a disk that can only be read nobody can give a sign of life
        if not self._said_silent:
            self._said_silent = True
            logger.warning(
                "the drainer of %s (process %d) has given no sign of life for %.0f s: "
                "nothing is lost, spans wait on disk",
                self._directory,
                holder.pid,
                seconds,
            )
        if seconds < self._pace.silent_end_seconds or self._gave_up_on == holder:
            return
        if self._starter.kill(holder.pid) or lease.kill_holder(self._directory):
            logger.warning("the drainer that stood still (process %d) was ended", holder.pid)
        else:
            logger.warning(
                "process %d cannot be ended from here: it is an agent, or in another container. "
                "Mend: see whether it is stopped, and end it",
                holder.pid,
            )
        self._gave_up_on = holder

    def _is_refused(self) -> bool:
        """Whether the drainer at work waits for other settings; perhaps ours are the mended."""
        backends = read_backends(self._directory)
        return any(backend["state"] == "paused" for backend in backends)

    def _drain(self, *, is_last_chance: bool) -> None:
        if self._place == "process":
            self._starter.start(is_last_chance=is_last_chance)
        if self._place == "process" and not self._starter.hopeless:
            return
        if self._starter.hopeless and not self._said_thread:
            self._said_thread = True
            reason = self._starter.hopeless
            logger.info("draining in a thread, because no process can be started: %s", reason)
        if self._drainer_thread is None or not self._drainer_thread.is_alive():
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
        if self._stopping.is_set():  # while it was made
            return
        self._drainer_thread = threading.Thread(
            target=_guarded, args=(self._drainer.run,), name="tracing-drainer", daemon=True
        )
        self._drainer_thread.start()


def _guarded(tend: Callable[[], object]) -> None:
    try:
        tend()
    except Exception:
        logger.debug("tending the drainer failed", exc_info=True)
