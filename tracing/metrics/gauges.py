"""How full the spool is and what it lost, as gauges of one process for all that write to it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from tracing.deliver.flush import waiting_bytes
from tracing.spool.locks import try_lock
from tracing.spool.losses import FILE_NAME as LOSSES_NAME
from tracing.spool.losses import count_losses

_LOCK_NAME = "gauges.lock"


class SpoolGauges:
    """How full the spool is and what was lost, by one process for all that write to it.

    `host.name` is a label, because a backend may know an instance by its process alone.
    """

    def __init__(self, meter: Meter) -> None:
        self.spool: Path | None = None
        self._host = socket.gethostname()
        self._lock_fd: int | None = None
        self._losses: dict[str, int] = {}
        self._losses_state: object = None
        meter.create_observable_gauge(
            "tracing.spool.waiting",
            [self._observe_waiting],
            unit="By",
            description="Spans on disk that some backend has not taken",
        )
        meter.create_observable_gauge(
            "tracing.spool.losses",
            [self._observe_losses],
            description="What was dropped or changed since the spool was made, by reason",
        )

    def leave(self) -> None:
        """Let another process observe."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _observe_waiting(self, options: CallbackOptions) -> Iterable[Observation]:
        if self.spool is not None and self._is_mine(self.spool):
            yield Observation(waiting_bytes(self.spool), self._labels(self.spool))

    def _observe_losses(self, options: CallbackOptions) -> Iterable[Observation]:
        if self.spool is None or not self._is_mine(self.spool):
            return
        try:
            status = (self.spool / LOSSES_NAME).stat()
        except FileNotFoundError:
            return
        state = (status.st_size, status.st_mtime_ns)
        if state != self._losses_state:
            self._losses, self._losses_state = count_losses(self.spool), state
        for reason, number in self._losses.items():
            yield Observation(number, {**self._labels(self.spool), "reason": reason})

    def _labels(self, spool: Path) -> dict[str, str]:
        return {"host.name": self._host, "spool": spool.name}

    def _is_mine(self, spool: Path) -> bool:
        """Whether this is the process that observes the spool; the first one stays it."""
        if self._lock_fd is None:
            try:
                fd = os.open(spool / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError:
                return False
            if not try_lock(fd):
                os.close(fd)
                return False
            self._lock_fd = fd
        return True
