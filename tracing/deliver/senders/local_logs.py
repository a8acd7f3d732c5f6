"""The log lines of calls into the local store, beside the spans."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tracing.config.backends import Backend
from tracing.deliver.senders.sender import Unavailable
from tracing.deliver.senders.tally import Tally
from tracing.log_line import LogLine
from tracing.store.log_lines import LogLineStore


class LocalLogSender:
    """Inserts batches into the SQLite store; the database is opened by the first."""

    def __init__(self, backend: Backend, tally: Tally) -> None:
        self._path = Path(backend.url)
        self._store: LogLineStore | None = None

    def deliver(self, lines: Sequence[LogLine], /) -> None:
        """Store every line, or raise Unavailable where the database cannot be written."""
        try:
            if self._store is None:
                self._store = LogLineStore(self._path)
            self._store.add(lines)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise Unavailable(f"{self._path} cannot be written: {error}") from error

    def close(self) -> None:
        """Close the database; a next batch would open it again."""
        if self._store is not None:
            self._store.close()
            self._store = None
