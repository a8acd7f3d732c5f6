"""The log lines of stored calls: kept beside the spans, and deleted with their call.

They come on their own way, so a line may be there before the call's first span, or after its call
was deleted; what finds no call in the time that one is kept is deleted when the store is opened.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from xxhash import xxh3_64_intdigest

from tracing.limits import CALL_DAYS
from tracing.log_line import LogLine
from tracing.store.schema import closed_where_it_fails, open_to_write
from tracing.store.span_rows import clean_text, integer

_COLUMNS = LogLine._fields[2:-1]
_PUT = f"""INSERT OR IGNORE INTO log_lines (trace_id, span_id, digest, {", ".join(_COLUMNS)})
    VALUES ({", ".join("?" * (len(_COLUMNS) + 3))})"""
_SIGNED = 2**63


class LogLineStore:
    """Log lines in; for one thread at a time, beside the `Store` that writes the spans."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._db = open_to_write(path)
        too_old = int((clock() - CALL_DAYS * 86400) * 1e9)
        with closed_where_it_fails(self._db):
            self._db.execute(
                "DELETE FROM log_lines WHERE time_unix_nano < ?"
                " AND trace_id NOT IN (SELECT trace_id FROM calls)",
                (too_old,),
            )

    def add(self, lines: Sequence[LogLine]) -> None:
        """Store lines in one transaction; one that is there already stays as it is."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(_PUT, map(_to_row, lines))
            self._touch({line.trace_id.hex() for line in lines})
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _touch(self, trace_ids: Iterable[str]) -> None:
        """Something has come in for these calls."""
        now = self._clock()
        query = "UPDATE calls SET stored_unix = ? WHERE trace_id = ?"
        self._db.executemany(query, ((now, trace_id) for trace_id in trace_ids))

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def lines_of(db: sqlite3.Connection, trace_id: str) -> list[LogLine]:
    """The log lines of a call, by time; none in a file whose writer knew none."""
    try:
        rows = db.execute(
            f"SELECT trace_id, span_id, {', '.join(_COLUMNS)} FROM log_lines WHERE trace_id = ?"
            " ORDER BY time_unix_nano",
            (trace_id,),
        ).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise
    return [_from_row(row) for row in rows]


def delete_lines(db: sqlite3.Connection, trace_id: str) -> None:
    """Delete the log lines of a call."""
    db.execute("DELETE FROM log_lines WHERE trace_id = ?", (trace_id,))


def _to_row(line: LogLine) -> tuple[str | int, ...]:
    texts = [clean_text(v) if isinstance(v, str) else integer(v) for v in line[2:-1]]
    digest = xxh3_64_intdigest(repr((line.span_id, texts)).encode())
    return (line.trace_id.hex(), line.span_id.hex(), digest - _SIGNED, *texts)


class _Row(NamedTuple):
    """What `_to_row` writes, without the digest: the types of the columns."""

    trace_id: str
    span_id: str
    time_unix_nano: int
    level: int
    level_name: str
    logger: str
    message: str
    exception_type: str
    exception_message: str
    exception_stacktrace: str
    code_file: str
    code_line: int
    code_function: str


def _from_row(row: tuple[object, ...]) -> LogLine:
    """The line of a row; raises for one that `_to_row` has not written."""
    checked = msgspec.convert(row, _Row)
    trace_id, span_id = bytes.fromhex(checked.trace_id), bytes.fromhex(checked.span_id)
    return LogLine._make((trace_id, span_id, *checked[2:], {}))
