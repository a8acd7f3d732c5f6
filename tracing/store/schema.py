"""The tables of `calls.db`, and how the file is opened.

The file is the user's alone (0600), in write-ahead mode so that it can be read while it is
written, and made to be read by hand:

    sqlite3 .tracing/calls.db 'SELECT * FROM call_list LIMIT 10'
    sqlite3 .tracing/calls.db "SELECT * FROM turn_list WHERE trace_id LIKE '4bf9%'"

`spans` has a row per span (see `span_rows`), found by (trace_id, span_id); `calls` a row per trace
(see `call_rows`), kept up to date by `Store.add`; `counters` what retention has deleted;
`described`, `turns` and `said` what is known of a call, written once for all readers (see
`described_calls`); `log_lines` what was logged in it (see `log_lines`). The views are for people.
`PRAGMA user_version` holds the schema's number; a newer one is refused, and an older one gets its
missing tables from the next that writes.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tracing.spool.files import check_own_file

SCHEMA_VERSION = 4

_BUSY_SECONDS = 5.0

_SPANS = (
    """CREATE TABLE calls (
        trace_id TEXT PRIMARY KEY,
        session_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        agent TEXT NOT NULL,
        models TEXT NOT NULL,  -- a JSON list
        started_unix_nano INTEGER NOT NULL,
        ended_unix_nano INTEGER NOT NULL,
        is_call INTEGER NOT NULL,  -- 0 for a trace of other code in the same process
        stored_unix REAL NOT NULL  -- when its latest span came in: what retention goes by
    )""",
    "CREATE INDEX calls_by_start ON calls (started_unix_nano)",
    "CREATE INDEX calls_by_arrival ON calls (stored_unix)",
    """CREATE TABLE spans (
        trace_id TEXT NOT NULL,
        span_id TEXT NOT NULL,
        parent_span_id TEXT NOT NULL,  -- empty for a root
        name TEXT NOT NULL,
        start_time_unix_nano INTEGER NOT NULL,
        end_time_unix_nano INTEGER NOT NULL,  -- 0 while the span is open
        attributes TEXT NOT NULL,  -- JSON, as are events, links and resource
        events TEXT NOT NULL,
        links TEXT NOT NULL,
        status_code INTEGER NOT NULL,  -- 0 unset, 1 ok, 2 error
        status_message TEXT NOT NULL,
        kind INTEGER NOT NULL,
        trace_state TEXT NOT NULL,
        dropped_attributes_count INTEGER NOT NULL,
        dropped_events_count INTEGER NOT NULL,
        dropped_links_count INTEGER NOT NULL,
        scope_name TEXT NOT NULL,
        scope_version TEXT NOT NULL,
        resource TEXT NOT NULL,
        UNIQUE (trace_id, span_id)
    )""",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
    """CREATE VIEW call_list AS
        SELECT strftime('%Y-%m-%d %H:%M:%S', started_unix_nano / 1e9, 'unixepoch') AS started_utc,
            session_id, agent, user_id,
            round((ended_unix_nano - started_unix_nano) / 1e9, 1) AS duration_seconds,
            models, trace_id
        FROM calls WHERE is_call ORDER BY started_unix_nano DESC""",
    """CREATE VIEW turn_list AS
        SELECT trace_id,
            json_extract(attributes, '$."turn.number"') AS number,
            json_extract(attributes, '$."turn.kind"') AS kind,
            round(json_extract(attributes, '$."turn.user_bot_latency_seconds"'), 3)
                AS user_bot_latency_seconds,
            coalesce(json_extract(attributes, '$."lk.pii.user_input"'),
                json_extract(attributes, '$."lk.user_input"')) AS user_text,
            coalesce(json_extract(attributes, '$."lk.pii.response.text"'),
                json_extract(attributes, '$."lk.response.text"')) AS agent_text,
            span_id
        FROM spans WHERE name = 'agent_turn' ORDER BY trace_id, start_time_unix_nano""",
)

_SAID_INDEX = """CREATE VIRTUAL TABLE said_index USING fts5(
        text, content = '', columnsize = 0, detail = none, tokenize = 'trigram'
    )"""

_DESCRIBED = (
    """CREATE TABLE described (
        trace_id TEXT PRIMARY KEY,
        is_current INTEGER NOT NULL,  -- 0 when spans have come in since
        spans INTEGER NOT NULL,  -- how many there were then
        head TEXT NOT NULL,  -- JSON: what the report says of the call, without its turns
        row TEXT NOT NULL  -- JSON: what a list shows of it
    )""",
    """CREATE TABLE turns (
        trace_id TEXT NOT NULL,
        position INTEGER NOT NULL,
        number INTEGER,
        kind TEXT NOT NULL,
        user_bot_latency_seconds REAL,
        described TEXT NOT NULL,  -- JSON: what the report says of the turn, its parts too
        PRIMARY KEY (trace_id, position)
    ) WITHOUT ROWID""",
    """CREATE TABLE said (
        line INTEGER PRIMARY KEY,
        trace_id TEXT NOT NULL,
        number INTEGER NOT NULL,  -- of the turn in which it was said, or which follows
        at_seconds REAL NOT NULL,  -- since the start of the call
        text TEXT NOT NULL
    )""",
    "CREATE INDEX said_by_call ON said (trace_id)",
    _SAID_INDEX,
)

_SHOWN = (
    "DROP TABLE described",  # what is known of calls is told by their spans again
    """CREATE TABLE described (
        trace_id TEXT PRIMARY KEY,
        is_current INTEGER NOT NULL,  -- 0 when spans have come in since
        head TEXT NOT NULL,  -- JSON: what the report says of the call, without its turns
        row TEXT NOT NULL,  -- JSON: what a list shows of it
        shown TEXT NOT NULL  -- JSON: what its page shows beside these
    )""",
)

_LOG_LINES = (
    """CREATE TABLE log_lines (
        trace_id TEXT NOT NULL,
        span_id TEXT NOT NULL,  -- that was open when it was logged
        time_unix_nano INTEGER NOT NULL,
        level INTEGER NOT NULL,  -- 20 info, 30 warning, 40 error, 50 critical
        level_name TEXT NOT NULL,
        logger TEXT NOT NULL,
        message TEXT NOT NULL,
        exception_type TEXT NOT NULL,  -- empty without one, as are the next two
        exception_message TEXT NOT NULL,
        exception_stacktrace TEXT NOT NULL,
        code_file TEXT NOT NULL,
        code_line INTEGER NOT NULL,
        code_function TEXT NOT NULL,
        digest INTEGER NOT NULL,  -- of all of it, so that a line that comes again is known
        PRIMARY KEY (trace_id, time_unix_nano, digest)
    ) WITHOUT ROWID""",
)

_STEPS = (_SPANS, _DESCRIBED, _SHOWN, _LOG_LINES)
"""What each version of the schema changed."""

_TABLES = (
    {"calls", "spans", "counters"},
    *[{"calls", "spans", "counters", "described", "turns", "said"}] * 2,
    {"calls", "spans", "counters", "described", "turns", "said", "log_lines"},
)
"""The tables of each version."""


class StoreError(OSError):
    """The store could not be opened, read or written."""


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open the store, made where it is missing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_own(path)
    with contextlib.suppress(FileExistsError):
        # SQLite gives the files beside it (-wal, -shm) the mode of this one.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    db = _connect(str(path))
    with closed_where_it_fails(db):
        for pragma in _PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        if _checked_version(db, path) < SCHEMA_VERSION:
            _create_tables(db)
    return db


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open the store so that nothing is changed; one that is not there yet is an empty one."""
    _check_own(path)
    if path.exists():
        db = _connect(f"{path.absolute().as_uri()}?mode=ro")
        with closed_where_it_fails(db):
            db.execute("PRAGMA trusted_schema = OFF")
            if _checked_version(db, path) > 0:
                _check_tables(db, path)
                return db
        db.close()  # the writer is just about to make its tables
    db = _connect(":memory:")
    _create_tables(db)
    return db


@contextlib.contextmanager
def closed_where_it_fails(db: sqlite3.Connection) -> Iterator[None]:
    """Close what was just opened where what follows fails: nobody else has it yet."""
    try:
        yield
    except BaseException:
        db.close()
        raise


def _check_own(path: Path) -> None:
    """SQLite follows links, and takes over what lies beside the file; raises UnsafePath."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        check_own_file(path.with_name(path.name + suffix))


_PRAGMAS = (
    "page_size = 16384",  # holds two spans of 6 kB; half again as fast as pages of 4 kB
    "journal_mode = WAL",
    "synchronous = FULL",  # survives a power cut; costs nothing measurable in batches of 1 MB
    "secure_delete = ON",  # what retention deletes is gone from the file, too
    "journal_size_limit = 16777216",
)


def _connect(name: str) -> sqlite3.Connection:
    return sqlite3.connect(
        name,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        uri=name.startswith("file:"),
    )


def _create_tables(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    for step in _STEPS[version(db) :]:  # nothing, where somebody was faster
        for statement in step:
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")


def _checked_version(db: sqlite3.Connection, path: Path) -> int:
    found = version(db)
    if found > SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema {found}, written by a newer version of this package; this one"
            f" reads up to schema {SCHEMA_VERSION}: upgrade, or move the file away"
        )
    return found


def _check_tables(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a file in which a query of ours would run what somebody else has put there."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'"
    tables = {name for (name,) in db.execute(query)}
    expected = version(db)
    if missing := _TABLES[expected - 1] - tables:
        raise StoreError(f"{path} is not this package's: it has no table {min(missing)}")
    index = db.execute("SELECT sql FROM sqlite_master WHERE name = 'said_index'").fetchone()
    if index != ((_SAID_INDEX,) if expected > 1 else None):
        raise StoreError(f"{path} is not this package's: its said_index is another")


def version(db: sqlite3.Connection) -> int:
    """The number of an open file's schema; 0 where it has no tables yet."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])
