"""The calls that a viewer shows: rows, single calls and what was said, from a store or files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from tracing.calls.facts import Facts, Told
from tracing.calls.logged import logged
from tracing.calls.transcribe import Line
from tracing.calls.tree import Tree
from tracing.log_line import LogLine
from tracing.read.selection import Side, choose
from tracing.read.sources import Source
from tracing.span import Span
from tracing.view.beside.around import NOTHING, Around

SHORTEST_PREFIX = 4
HITS_SHOWN = 3
"""So many lines of a call are found at most."""


class Call:
    """One call: what is told of it, and its spans, which are read only when they are needed."""

    def __init__(
        self, told: Told, read_spans: Callable[[], list[Span]], lines: Sequence[LogLine] = ()
    ) -> None:
        self.described, self.row, self.shown = told
        self._read_spans = read_spans
        self._lines = lines

    @cached_property
    def recorded(self) -> list[Span]:
        """Its spans as they were recorded."""
        return self._read_spans()

    @cached_property
    def tree(self) -> Tree:
        """Its spans as they are read."""
        return Tree(self.recorded)

    @cached_property
    def logged(self) -> list[dict[str, Any]]:
        """What was logged in it (see `logged`); only where something was are its spans read."""
        return list(logged(self.tree, self._lines)) if self._lines else []


def call_of(spans: list[Span], lines: Sequence[LogLine] = ()) -> Call:
    """The call that has these spans and log lines."""
    facts = Facts(spans)
    call = Call(facts.told, lambda: spans, lines)
    call.tree = facts.tree
    return call


class Library:
    """Calls by row, by id and by what was said; for one thread at a time, and only reading.

    What was made for one request is kept for the next, until the source has changed.
    """

    def __init__(self, source: Source, name: str, around: Around = NOTHING) -> None:
        self.name, self.around = name, around
        """Where the calls are, for a person."""
        self._source = source
        self._version: int | None = None
        self._revisions: dict[str, float] = {}
        self._rows: dict[str, tuple[float, dict[str, Any]]] = {}
        self._call: tuple[str, float, Call] | None = None

    def version(self) -> int:
        """Another number after each change; always the same for files."""
        return self._source.changes()

    def rows(self) -> list[dict[str, Any]]:
        """A row for every call (see `rows.call_row`), newest first."""
        known, found = self._rows, {}
        for trace_id, revision in self._current().items():
            kept = known.get(trace_id)
            if kept is None or kept[0] != revision:
                kept = (revision, self._source.row(trace_id))
            found[trace_id] = kept
        self._rows = found
        return [row for _, row in found.values()]

    def call(self, asked: str) -> Call | None:
        """The call whose trace id begins so; None where none or several do."""
        trace_id = self._found(asked)
        if trace_id is None:
            return None
        wanted = (trace_id, self._revisions[trace_id])
        if self._call is None or self._call[:2] != wanted:
            self._call = (*wanted, self._read(trace_id))
        return self._call[2]

    def revision(self, asked: str) -> float:
        """Another number after each change of that call; 0 where there is none."""
        trace_id = self._found(asked)
        return 0.0 if trace_id is None else self._revisions[trace_id]

    def _found(self, asked: str) -> str | None:
        ids = [trace_id for trace_id in self._current() if trace_id.startswith(asked)]
        return ids[0] if len(ids) == 1 and len(asked) >= SHORTEST_PREFIX else None

    def _read(self, trace_id: str) -> Call:
        told, lines = self._source.told(trace_id), self._source.log_lines(trace_id)
        if told is None:
            return call_of(self._source.spans(trace_id), lines)
        return Call(told, lambda: self._source.spans(trace_id), lines)

    def beside(self, trace_id: str) -> dict[str, str]:
        """The calls next to one in the list: `newer` and `older`, where there are such."""
        ids = list(self._current())
        at = ids.index(trace_id) if trace_id in ids else len(ids)
        newer, older = ids[at - 1 : at] if at else [], ids[at + 1 : at + 2]
        return {name: found[0] for name, found in (("newer", newer), ("older", older)) if found}

    def side(self, selector: str) -> Side:
        """One side of a comparison; raises ChoiceError where nothing matches."""
        return choose(selector, self._source, list(self._source.calls()))

    def search(self, words: str) -> dict[str, list[Line]]:
        """By trace id, the first lines that have all the words."""
        wanted = words.casefold().split()
        found: dict[str, list[Line]] = {}
        for trace_id, line in self._source.lines(wanted) if wanted else ():
            hits = found.get(trace_id, ())
            if len(hits) < HITS_SHOWN and _has_all(line, wanted):
                found.setdefault(trace_id, []).append(line)
        return found

    def _current(self) -> dict[str, float]:
        """The calls that there are, newest first, each with its revision."""
        version = self.version()
        if version != self._version:
            self._revisions, self._version = self._source.revisions(), version
        return self._revisions


def _has_all(line: Line, words: Sequence[str]) -> bool:
    folded = line.text.casefold()
    return all(word in folded for word in words)
