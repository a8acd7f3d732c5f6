"""The handle of this process's pipeline: what it lost, whether all has left, and its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry import trace

from tracing.capture.current import register
from tracing.capture.providers.of_livekit import follow_provider, other_provider
from tracing.capture.providers.of_opentelemetry import follow_global
from tracing.deliver.flush import flush_spool
from tracing.spool.losses import Ledger, count_losses

if TYPE_CHECKING:
    from tracing.capture.logged.handler import LogLines
    from tracing.capture.processor import TracingProcessor
    from tracing.config.asked import Asked
    from tracing.config.settings import Settings
    from tracing.deliver.keeper import Keeper
    from tracing.doctor.findings import Finding
    from tracing.metrics.export import Metrics
    from tracing.spool.queued import QueuedWriter

_FLUSH_ON_LOOP_SECONDS = 0.1

_current: Tracing | None = None


class Tracing:
    """The handle of this process's pipeline; also the no-op that a failed set-up leaves."""

    def __init__(
        self,
        provider: trace.TracerProvider,
        *,
        directory: Path | None = None,
        processor: TracingProcessor | None = None,
        writer: QueuedWriter | None = None,
        ledger: Ledger | None = None,
        keeper: Keeper | None = None,
        metrics: Metrics | None = None,
        log_lines: LogLines | None = None,
        asked: Asked | None = None,
        settings: Settings | None = None,
        choice: str = "",
    ) -> None:
        self.provider = provider
        self.directory = directory
        """The spool of this process's backends; None for a no-op."""
        self._processor = processor
        self._writer = writer
        self._ledger = ledger
        self._keeper = keeper
        self._metrics = metrics
        self._log_lines = log_lines
        self.asked = asked
        """The arguments of the set-up that is in force."""
        self.settings = settings
        """The settings in force; None where they were wrong."""
        self.choice = choice
        """Where spans go and why, until it has been said."""
        self.said_again = False
        """Whether it was said that a later set-up does not apply."""

    @property
    def enabled(self) -> bool:
        """Whether spans are recorded."""
        return self._processor is not None

    @property
    def dropped(self) -> Mapping[str, int]:
        """What this spool lost, by reason: spans, and attributes that were changed."""
        if self.directory is None or self._ledger is None:
            return {}
        self._ledger.settle()
        return count_losses(self.directory)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until every backend has what is on disk, at most `timeout` seconds.

        Never needed for safety: what is on disk is delivered without it. False when something
        is left or was lost, at once where a backend does not answer. On an event loop it waits a
        tenth of a second at the most; use `await asyncio.to_thread(tracing.flush)` there.
        """
        if self.directory is None:
            return True
        if _on_event_loop():
            timeout = min(timeout, _FLUSH_ON_LOOP_SECONDS)
        deadline = time.monotonic() + timeout
        if self._writer is not None and not (self._writer.settle(timeout) and self._writer.look()):
            return False
        return flush_spool(self.directory, max(deadline - time.monotonic(), 0.0))

    def check(self) -> list[Finding]:
        """What `python -m tracing doctor` says, of this process's own settings and arguments.

        It takes up to 15 s and sends a test trace to Langfuse, so an event loop is not held for
        it: `await asyncio.to_thread(tracing.check)` there. Never raises.
        """
        from tracing.doctor.check import check_here, on_event_loop

        if _on_event_loop():
            return [on_event_loop()]
        has_ended = self.enabled and _current is not self
        other = other_provider(self._processor) if self._processor is not None else ""
        return check_here(self.settings, self.asked, has_ended=has_ended, other_provider=other)

    def shutdown(self) -> None:
        """End the pipeline of this process; what is on disk is delivered all the same."""
        global _current
        if _current is self:
            _current = None
            register(None)
            follow_provider(None)
            follow_global(None)
        if self._log_lines is not None:
            self._log_lines.remove()
        if self._processor is not None:
            self._processor.close()
        if self._metrics is not None:
            self._metrics.stop()
        if self._keeper is not None:
            self._keeper.stop()
        if self._ledger is not None:
            self._ledger.settle(finally_=True)

    def become(self, other: Tracing) -> None:
        """Be the handle of another pipeline from now on, whoever holds this one."""
        self.__dict__.update(other.__dict__)

    def __repr__(self) -> str:
        where = str(self.directory) if self.enabled else "disabled"
        return f"Tracing({where})"


def current_tracing() -> Tracing | None:
    """The handle of this process's pipeline; None before set-up."""
    return _current


def make_current(tracing: Tracing) -> None:
    """Make it this process's handle, until its shutdown."""
    global _current
    _current = tracing


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
