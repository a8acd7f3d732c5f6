"""The embedded backend: every span of every call in one SQLite file, `calls.db`.

The drainer writes, reports read, also at the same time. Imports neither livekit nor
OpenTelemetry, as the drainer must start fast. The tables: see `schema`.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from tracing.calls.facts import Facts, Told
from tracing.calls.transcribe import Line
from tracing.limits import CALL_DAYS, OncePerMinute
from tracing.log_line import LogLine
from tracing.safe_text import get_logger
from tracing.span import Span
from tracing.spool.files import UnsafePath
from tracing.store import recordings
from tracing.store.call_rows import CallSummary, goes_on_elsewhere, merge, nanos, summarize
from tracing.store.described_calls import (
    CAUGHT_UP_AT_ONCE,
    QUIET_SECONDS,
    DescribedCalls,
    not_current,
    read_call,
    read_lines,
    read_row,
    read_told,
    waiting,
)
from tracing.store.log_lines import delete_lines, lines_of
from tracing.store.schema import StoreError, closed_where_it_fails, open_to_read, open_to_write
from tracing.store.span_rows import COLUMNS, spans_of, to_row

logger = get_logger(__name__)

RETENTION_DAYS = CALL_DAYS
MAX_BYTES = 1024**3

_CALLS_DELETED_AT_ONCE = 100

_CHANGEABLE = [column for column in COLUMNS if column not in ("trace_id", "span_id")]
_PUT_SPAN = f"""
    INSERT INTO spans ({", ".join(COLUMNS)}) VALUES ({", ".join("?" * len(COLUMNS))})
    ON CONFLICT (trace_id, span_id) DO UPDATE
    SET {", ".join(f"{column} = excluded.{column}" for column in _CHANGEABLE)}
    WHERE excluded.end_time_unix_nano != 0 OR spans.end_time_unix_nano = 0"""
_SUMMARY = ", ".join(CallSummary._fields)


class Store:
    """Spans in, calls out; for one thread at a time, and for one writing process.

    What `add` took is on disk when it returns. Beyond `max_bytes` of data, or when nothing
    has come in for a call in `retention_days`, whole calls are deleted, the longest quiet
    first, and counted; the file keeps its size and reuses the room. Reading a store that does
    not exist yet finds no calls.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        retention_days: float = RETENTION_DAYS,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._retention_seconds = retention_days * 86400
        self._max_bytes = max_bytes
        self._clock = clock
        self._report = OncePerMinute(clock)
        self._unlogged_calls = 0
        with self._errors():
            self._db = open_to_read(path) if read_only else open_to_write(path)
            if read_only:
                return
            with closed_where_it_fails(self._db):
                self._described = DescribedCalls(self._db, clock)
                self._delete_old_calls()

    def add(self, spans: Sequence[Span]) -> None:
        """Store spans in one transaction; a later version of a span replaces an earlier.

        An ended span is never replaced by an open one.
        """
        if not spans:
            return
        with self._errors(), self._transaction():
            self._db.executemany(_PUT_SPAN, map(to_row, spans))
            for summary in summarize(spans):
                self._put_call(summary)
            for span in filter(goes_on_elsewhere, spans):
                query = "UPDATE calls SET is_call = 0 WHERE trace_id = ?"
                self._db.execute(query, (span.trace_id.hex(),))
            self._described.heard(spans)
        self.describe_waiting()
        with self._errors():
            self._delete_old_calls()

    def describe_waiting(self, most: int = CAUGHT_UP_AT_ONCE) -> int:
        """Describe a few of the calls that wait for it (see `DescribedCalls.due`); how many."""
        with self._errors():
            if due := self._described.due(most):
                with self._transaction():
                    for trace_id in due:
                        self._described.describe(trace_id)
            self._described.log_progress()
        return len(due)

    def calls(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        agent: str | None = None,
        model: str | None = None,
    ) -> Iterator[CallSummary]:
        """The calls that match (see `CallSummary.matches`), newest first."""
        bounds = (nanos(since, 0), nanos(until, 2**63 - 1))
        with self._errors():
            rows = self._db.execute(
                f"SELECT {_SUMMARY} FROM calls"
                " WHERE is_call AND started_unix_nano >= ? AND started_unix_nano < ?"
                " ORDER BY started_unix_nano DESC, trace_id",
                bounds,
            ).fetchall()
        return self._matching(rows, agent, model)

    def spans(self, trace_id: str) -> list[Span]:
        """The spans of a call in the order in which they started."""
        with self._errors(), self._foreign_rows():
            return spans_of(self._db, trace_id)

    def log_lines(self, trace_id: str) -> list[LogLine]:
        """What was logged in a call, by time."""
        with self._errors(), self._foreign_rows():
            return lines_of(self._db, trace_id)

    def describe(self, trace_id: str) -> dict[str, Any]:
        """The call as the report has it (see `describe`)."""
        with self._errors(), self._foreign_rows():
            known = read_call(self._db, trace_id)
        return Facts(self.spans(trace_id)).call if known is None else known

    def row(self, trace_id: str) -> dict[str, Any]:
        """The call as a row of the list (see `call_row`)."""
        with self._errors(), self._foreign_rows():
            known = read_row(self._db, trace_id)
        return Facts(self.spans(trace_id)).row if known is None else known

    def told(self, trace_id: str) -> Told | None:
        """What is kept of a call beside its spans; None where these have to tell it."""
        with self._errors(), self._foreign_rows():
            return read_told(self._db, trace_id)

    def lines(self, words: Iterable[str]) -> Iterator[tuple[str, Line]]:
        """With their trace ids, at least the lines in which all these (case-folded) words are."""
        with self._errors(), self._foreign_rows():
            found = read_lines(self._db, words)
            others = not_current(self._db)
        yield from found
        for trace_id in others:
            yield from ((trace_id, line) for line in Facts(self.spans(trace_id)).lines)

    def revisions(self) -> dict[str, float]:
        """Every call, newest first, with when something last came in for it."""
        with self._errors():
            return dict(
                self._db.execute(
                    "SELECT trace_id, stored_unix FROM calls WHERE is_call"
                    " ORDER BY started_unix_nano DESC, trace_id"
                )
            )

    def waiting_calls(self) -> int:
        """How many calls wait to be described, though nothing has come in for them lately."""
        with self._errors():
            return waiting(self._db, self._clock() - QUIET_SECONDS)

    def changes(self) -> int:
        """Another number after each change that another connection made."""
        with self._errors():
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    @property
    def deleted_calls(self) -> int:
        """How many calls retention has deleted since the store was made."""
        with self._errors():
            query = "SELECT value FROM counters WHERE name = 'deleted_calls'"
            row = self._db.execute(query).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Close the file; may be called again."""
        with self._errors():
            self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _matching(
        self, rows: Iterable[tuple[Any, ...]], agent: str | None, model: str | None
    ) -> Iterator[CallSummary]:
        for row in rows:
            with self._foreign_rows():
                summary = _summary(row)
            if summary.matches(agent=agent, model=model):
                yield summary

    def _put_call(self, summary: CallSummary) -> None:
        row = self._db.execute(
            f"SELECT {_SUMMARY} FROM calls WHERE trace_id = ?", (summary.trace_id,)
        ).fetchone()
        if row is not None:
            summary = merge(_summary(row), summary)
        values = summary._replace(models=json.dumps(summary.models))  # type: ignore[arg-type]
        self._db.execute(
            f"REPLACE INTO calls ({_SUMMARY}, stored_unix) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, self._clock()),
        )

    def _delete_old_calls(self) -> None:
        """Delete what is past its time, and what is over the bound except the latest call."""
        longest_quiet = self._db.execute(
            "SELECT trace_id, stored_unix FROM calls ORDER BY stored_unix LIMIT ?",
            (_CALLS_DELETED_AT_ONCE + 1,),
        ).fetchall()
        too_old = self._clock() - self._retention_seconds
        deleted = 0
        for trace_id, stored_unix in longest_quiet:
            is_latest = deleted == len(longest_quiet) - 1
            is_over = not is_latest and self._used_bytes() > self._max_bytes
            if stored_unix >= too_old and not is_over:
                break
            self._delete_call(trace_id)
            deleted += 1
        if deleted:
            self._described.purge()
        self._log_deleted(deleted)

    def _delete_call(self, trace_id: str) -> None:
        recorded = recordings.names_of(self._db, trace_id)
        with self._transaction():
            self._db.execute("DELETE FROM spans WHERE trace_id = ?", (trace_id,))
            self._db.execute("DELETE FROM calls WHERE trace_id = ?", (trace_id,))
            self._described.delete(trace_id)
            delete_lines(self._db, trace_id)
            self._db.execute(
                "INSERT INTO counters VALUES ('deleted_calls', 1)"
                " ON CONFLICT (name) DO UPDATE SET value = value + 1"
            )
        recordings.delete(self.path.parent, recorded)

    def _used_bytes(self) -> int:
        pages, free, size = (
            self._db.execute(f"PRAGMA {pragma}").fetchone()[0]
            for pragma in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _log_deleted(self, count: int) -> None:
        self._unlogged_calls += count
        if self._unlogged_calls and self._report.is_due():
            logger.info(
                "deleted the %d oldest calls of %s: it keeps %.0f days and %d MiB",
                self._unlogged_calls,
                self.path,
                self._retention_seconds / 86400,
                self._max_bytes // 1024**2,
            )
            self._unlogged_calls = 0

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite has rolled back itself when the disk is full
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (StoreError, UnsafePath):
            raise
        except (sqlite3.Error, OSError, ValueError) as error:
            raise StoreError(f"{self.path}: {error}") from error

    @contextmanager
    def _foreign_rows(self) -> Iterator[None]:
        """Say it in one sentence where a row is none that this package has written."""
        try:
            yield
        except _NOT_OURS as error:
            raise StoreError(
                f"{self.path} holds what this package has not written, or is damaged: {error!r}:"
                " move the file away"
            ) from error


_NOT_OURS = (
    AttributeError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    msgspec.DecodeError,
)


def _summary(row: tuple[Any, ...]) -> CallSummary:
    values = (*row[:4], json.loads(row[4]), *row[5:7], bool(row[7]))
    return msgspec.convert(values, CallSummary)
