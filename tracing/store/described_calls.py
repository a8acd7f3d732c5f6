"""What lists, reports and searches show of stored calls, kept beside their spans.

Tables `described` (a row per call), `turns` and `said` (see `schema`). They are written in the
transaction that brings the spans, so that readers need not go through all spans of all calls.

To describe a call takes time with its length, so that it is done when nothing of it is open any
more and its session or root has just ended, or when nothing has come in for it for a while. Until
then its row is marked as not current, and readers describe it from its spans, as they do the calls
that an earlier version stored, until these have their turn.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec

from tracing import names
from tracing.calls.facts import Facts, Told
from tracing.calls.heard import is_heard
from tracing.calls.totals import LATENCY
from tracing.calls.transcribe import Line
from tracing.limits import OncePerMinute
from tracing.safe_text import get_logger
from tracing.span import Span
from tracing.store.schema import version
from tracing.store.span_rows import clean_text, from_json, integer, spans_of, to_json

logger = get_logger(__name__)

CAUGHT_UP_AT_ONCE = 8
"""So many calls are described in one transaction: none holds up who stores for long."""
QUIET_SECONDS = 10.0
"""After so long without a span a call that has not ended is described as it is."""

_WHOLE = frozenset({names.AGENT_SESSION, names.JOB_ENTRYPOINT})
_TRIGRAM = 3

_SINCE = 3
"""The schema that has these tables as they are now."""

_EVERY = "SELECT trace_id FROM calls WHERE is_call ORDER BY started_unix_nano DESC"
_NOT_CURRENT = """
    SELECT trace_id FROM calls LEFT JOIN described USING (trace_id)
    WHERE is_call AND is_current IS NOT 1 ORDER BY started_unix_nano DESC"""


class DescribedCalls:
    """The rows of what is known of calls; for its writer, in whose transactions they are."""

    def __init__(self, db: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self._db = db
        self._clock = clock
        self._report, self._purge = OncePerMinute(clock), OncePerMinute(clock)
        self._waiting = dict.fromkeys(not_current(db), 0.0)
        """When each call that is not described was last heard of, the longest quiet first."""
        self._earlier = len(self._waiting)

    def heard(self, spans: Sequence[Span]) -> None:
        """Describe the calls of a stored batch that are due; the others' rows are not current."""
        by_trace: dict[str, list[Span]] = {}
        for span in spans:
            by_trace.setdefault(span.trace_id.hex(), []).append(span)
        for trace_id, brought in by_trace.items():
            query = "UPDATE described SET is_current = 0 WHERE trace_id = ?"
            self._db.execute(query, (trace_id,))
            self._waiting.pop(trace_id, None)
            self._waiting[trace_id] = self._clock()
            if any(map(_ends_a_call, brought)) and not self._is_open(trace_id):
                self.describe(trace_id)

    def due(self, most: int) -> list[str]:
        """Some calls that wait to be described, and of which nothing has been heard lately."""
        first = islice(self._waiting.items(), most)
        lately = self._clock() - QUIET_SECONDS
        return [trace_id for trace_id, heard in first if not heard or heard < lately]

    def describe(self, trace_id: str) -> None:
        """Write what a call's spans tell; of one that cannot be described there is no row."""
        self._waiting.pop(trace_id, None)
        spans = spans_of(self._db, trace_id)
        is_call = self._db.execute(
            "SELECT is_call FROM calls WHERE trace_id = ?", (trace_id,)
        ).fetchone()
        if not spans or not is_call or not is_call[0]:
            return
        try:
            facts = Facts(spans)
            turns = [_turn_row(turn) for turn in facts.call.get("turns", ())]
            head = to_json({key: value for key, value in facts.call.items() if key != "turns"})
            row = (trace_id, head, to_json(facts.row), to_json(facts.shown))
            lines = facts.lines
        except Exception as error:
            logger.debug("trace %s cannot be described: %r", trace_id, error)
            return
        self._db.execute("REPLACE INTO described VALUES (?, 1, ?, ?, ?)", row)
        self._put_turns(trace_id, turns)
        self._put_lines(trace_id, lines)

    def delete(self, trace_id: str) -> None:
        """Forget a call."""
        self._waiting.pop(trace_id, None)
        self._db.execute("DELETE FROM described WHERE trace_id = ?", (trace_id,))
        self._put_turns(trace_id, [])
        self._put_lines(trace_id, [])

    def purge(self) -> None:
        """Take out of the index what it has of deleted calls, at most once a minute.

        Until then it only marks it as deleted; of words it holds three letters at a time.
        """
        if self._purge.is_due():
            self._db.execute("INSERT INTO said_index (said_index) VALUES ('optimize')")

    def log_progress(self) -> None:
        """Say once a minute how far the calls of an earlier version have come, and the end."""
        left = sum(not heard for heard in self._waiting.values()) if self._earlier else 0
        if self._earlier and (not left or self._report.is_due()):
            done = self._earlier - left
            logger.info("described %d of %d calls stored earlier", done, self._earlier)
            self._earlier = self._earlier if left else 0

    def _is_open(self, trace_id: str) -> bool:
        query = "SELECT 1 FROM spans WHERE trace_id = ? AND end_time_unix_nano = 0"
        return self._db.execute(query, (trace_id,)).fetchone() is not None

    def _put_turns(self, trace_id: str, turns: Sequence[tuple[Any, ...]]) -> None:
        """Replace what has changed."""
        query = (
            "SELECT number, kind, user_bot_latency_seconds, described FROM turns"
            " WHERE trace_id = ? ORDER BY position"
        )
        before = self._db.execute(query, (trace_id,)).fetchall()
        changed = [
            (trace_id, at, *turn)
            for at, turn in enumerate(turns)
            if at >= len(before) or before[at] != turn
        ]
        self._db.executemany("REPLACE INTO turns VALUES (?, ?, ?, ?, ?, ?)", changed)
        query = "DELETE FROM turns WHERE trace_id = ? AND position >= ?"
        self._db.execute(query, (trace_id, len(turns)))

    def _put_lines(self, trace_id: str, lines: Sequence[Line]) -> None:
        """Replace the lines from the first that has changed."""
        query = "SELECT line, number, at_seconds, text FROM said WHERE trace_id = ? ORDER BY line"
        before = self._db.execute(query, (trace_id,)).fetchall()
        wanted = [(integer(number), at, clean_text(text)) for number, at, text in lines]
        same = 0
        while same < min(len(before), len(wanted)) and before[same][1:] == wanted[same]:
            same += 1
        for line, _, _, text in before[same:]:
            self._db.execute("DELETE FROM said WHERE line = ?", (line,))
            query = "INSERT INTO said_index (said_index, rowid, text) VALUES ('delete', ?, ?)"
            self._db.execute(query, (line, text.casefold()))
        for values in wanted[same:]:
            query = "INSERT INTO said (trace_id, number, at_seconds, text) VALUES (?, ?, ?, ?)"
            line = self._db.execute(query, (trace_id, *values)).lastrowid
            query = "INSERT INTO said_index (rowid, text) VALUES (?, ?)"
            self._db.execute(query, (line, values[2].casefold()))


def read_call(db: sqlite3.Connection, trace_id: str) -> dict[str, Any] | None:
    """The call as the report has it; None where its rows are not current."""
    if version(db) < _SINCE:
        return None
    found = db.execute(
        "SELECT head, turns.described FROM described LEFT JOIN turns USING (trace_id)"
        " WHERE trace_id = ? AND is_current ORDER BY position",
        (trace_id,),
    ).fetchall()
    if not found:
        return None
    turns = [from_json(turn) for _, turn in found if turn is not None]
    return {**from_json(found[0][0]), "turns": turns}


def read_row(db: sqlite3.Connection, trace_id: str) -> dict[str, Any] | None:
    """The call as a row of the list; None where its rows are not current."""
    if version(db) < _SINCE:
        return None
    query = "SELECT row FROM described WHERE trace_id = ? AND is_current"
    found = db.execute(query, (trace_id,)).fetchone()
    return from_json(found[0]) if found else None


def read_told(db: sqlite3.Connection, trace_id: str) -> Told | None:
    """All that is kept for a call's page; None where its rows are not current."""
    call = read_call(db, trace_id)
    query = "SELECT row, shown FROM described WHERE trace_id = ? AND is_current"
    found = db.execute(query, (trace_id,)).fetchone() if call else None
    return Told(call, *map(from_json, found)) if call and found else None


def read_lines(db: sqlite3.Connection, words: Iterable[str]) -> list[tuple[str, Line]]:
    """At least the lines in which all these (case-folded) words are, of calls that are current.

    The index knows every three letters that follow each other, so that it finds parts of words
    too; it knows nothing of shorter words.
    """
    if version(db) < _SINCE:
        return []
    letters = {word[at : at + _TRIGRAM] for word in words for at in range(len(word) - _TRIGRAM + 1)}
    quoted = [f'"{three}"' for three in sorted(letters) if '"' not in three and "\0" not in three]
    found = "line IN (SELECT rowid FROM said_index WHERE said_index MATCH ?)" if quoted else "?=''"
    rows = db.execute(
        "SELECT trace_id, number, at_seconds, text FROM said JOIN described USING (trace_id)"
        f" WHERE is_current AND {found} ORDER BY line",
        (" AND ".join(quoted),),
    ).fetchall()
    checked = msgspec.convert(rows, list[tuple[str, int, float, str]])
    return [(trace_id, Line(number, at, text)) for trace_id, number, at, text in checked]


def not_current(db: sqlite3.Connection) -> list[str]:
    """The calls of which the rows are missing or not current, newest first."""
    return [trace_id for (trace_id,) in db.execute(_not_current(db))]


def waiting(db: sqlite3.Connection, before: float) -> int:
    """How many of these nothing has come in for since a moment (Unix time)."""
    query = f"SELECT count(*) FROM calls WHERE trace_id IN ({_not_current(db)}) AND stored_unix < ?"
    return int(db.execute(query, (before,)).fetchone()[0])


def _not_current(db: sqlite3.Connection) -> str:
    return _NOT_CURRENT if version(db) >= _SINCE else _EVERY


def _ends_a_call(span: Span) -> bool:
    return not span.is_open and (span.name in _WHOLE or _is_root(span) or is_heard(span))


def _is_root(span: Span) -> bool:
    return not span.parent_span_id.strip(b"\0")


def _turn_row(turn: dict[str, Any]) -> tuple[int | None, str, float | None, str]:
    number, latency = turn.get("number"), turn.get(LATENCY)
    return (
        integer(number) if isinstance(number, int) else None,
        clean_text(str(turn.get("kind", ""))),
        float(latency) if isinstance(latency, (int, float)) else None,
        to_json(turn),
    )
