"""The local store as a backend of the drainer."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tracing.config.backends import Backend
from tracing.deliver.senders.sender import Unavailable
from tracing.deliver.senders.tally import Tally
from tracing.span import Span
from tracing.store.store import Store


class LocalSender:
    """Inserts batches into the SQLite store; the database is opened by the first."""

    def __init__(self, backend: Backend, tally: Tally) -> None:
        self._path = Path(backend.url)
        self._store: Store | None = None

    def deliver(self, spans: Sequence[Span]) -> None:
        """Store every span, or raise Unavailable where the database cannot be written."""
        try:
            if self._store is None:
                self._store = Store(self._path)
            self._store.add(spans)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise Unavailable(f"{self._path} cannot be written: {error}") from error

    def use_spare_time(self) -> None:
        """Describe a call that waits for it; an error is met again by the next batch."""
        with contextlib.suppress(sqlite3.Error, OSError):
            if self._store is not None:
                self._store.describe_waiting(most=1)

    def close(self) -> None:
        """Close the database; a next batch would open it again."""
        if self._store is not None:
            self._store.close()
            self._store = None
