"""Copies of the calls in a store, under ids and times of their own, made by SQLite itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tracing.store.span_rows import COLUMNS

_DAY_NANOS = 86_400 * 10**9
_COPY = "printf('%016x', :again) || substr(trace_id, 17)"
_LATER = f":again * {_DAY_NANOS}"
_TOLD = f"replace({{0}}, trace_id, {_COPY})"


def multiply(path: Path, calls: int) -> None:
    """Copy the calls of a store, of which ids begin with zeros, until there are so many."""
    with closing(sqlite3.connect(path)) as db, db:
        (stored,) = db.execute("SELECT count(*) FROM calls").fetchone()
        for again in range(1, -(-calls // stored)):
            for statement in _statements():
                db.execute(statement, {"again": again})
        # The index is filled at once, by what is not in it yet.
        db.execute(
            "INSERT INTO said_index (rowid, text) SELECT line, lower(text) FROM said"
            " WHERE trace_id NOT LIKE '0000000000000000%'"
        )
    db.close()


def _statements() -> list[str]:
    first = "WHERE trace_id LIKE '0000000000000000%'"
    spans = ", ".join(
        {
            "trace_id": _COPY,
            "start_time_unix_nano": f"start_time_unix_nano + {_LATER}",
            "end_time_unix_nano": f"end_time_unix_nano + {_LATER}",
        }.get(column, column)
        for column in COLUMNS
    )
    return [
        f"INSERT INTO spans ({', '.join(COLUMNS)}) SELECT {spans} FROM spans {first}",
        f"INSERT INTO calls SELECT {_COPY}, session_id, user_id, agent, models,"
        f" started_unix_nano + {_LATER}, ended_unix_nano + {_LATER}, is_call, stored_unix"
        f" FROM calls {first}",
        f"INSERT INTO described SELECT {_COPY}, is_current, {_TOLD.format('head')},"
        f" {_TOLD.format('row')}, {_TOLD.format('shown')} FROM described {first}",
        f"INSERT INTO turns SELECT {_COPY}, position, number, kind, user_bot_latency_seconds,"
        f" described FROM turns {first}",
        f"INSERT INTO said (trace_id, number, at_seconds, text)"
        f" SELECT {_COPY}, number, at_seconds, text FROM said {first}",
    ]
