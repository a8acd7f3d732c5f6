"""The calls that a viewer shows: rows, single calls and what was said, from a store or files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from tracing.read.describe import describe
from tracing.read.rows import call_row
from tracing.read.selection import Side, choose
from tracing.read.sources import Source
from tracing.read.transcribe import transcribe
from tracing.span import Span
from tracing.store.call_rows import CallSummary

SHORTEST_PREFIX = 4
_HIT_CHARACTERS = 60


class Call(NamedTuple):
    """One call: as the report has it, and its spans."""

    described: dict[str, Any]
    spans: list[Span]


@runtime_checkable
class Changing(Protocol):
    """A source that tells when it has changed."""

    def changes(self) -> int:
        """Another number after each change that somebody else made."""


class Library:
    """Calls by row, by id and by what was said; for one thread at a time, and only reading."""

    def __init__(self, source: Source, name: str) -> None:
        self.name = name
        """Where the calls are, for a person."""
        self._source = source
        self._rows: dict[str, tuple[CallSummary, dict[str, Any]]] = {}

    def version(self) -> int:
        """Another number after each change; always the same for files."""
        return self._source.changes() if isinstance(self._source, Changing) else 0

    def rows(self) -> list[dict[str, Any]]:
        """A row for every call (see `rows.call_row`), newest first."""
        known, found = self._rows, {}
        for summary in self._source.calls():
            kept = known.get(summary.trace_id)
            if kept is None or kept[0] != summary or kept[1].get("is_open"):
                spans = self._source.spans(summary.trace_id)
                kept = (summary, call_row(describe(spans), spans))
            found[summary.trace_id] = kept
        self._rows = found
        return [row for _, row in found.values()]

    def call(self, asked: str) -> Call | None:
        """The call whose trace id begins so; None where none or several do."""
        ids = [s.trace_id for s in self._source.calls() if s.trace_id.startswith(asked)]
        if len(ids) != 1 or len(asked) < SHORTEST_PREFIX:
            return None
        spans = self._source.spans(ids[0])
        return Call(describe(spans), spans)

    def side(self, selector: str) -> Side:
        """One side of a comparison; raises ChoiceError where nothing matches."""
        return choose(selector, self._source, list(self._source.calls()), describe)

    def search(self, words: str) -> dict[str, list[dict[str, Any]]]:
        """By trace id, the lines in which all the words were said: `number`, `at` and the text."""
        wanted = words.casefold().split()
        found: dict[str, list[dict[str, Any]]] = {}
        for summary in self._source.calls() if wanted else ():
            hits = list(_hits(transcribe(self._source.spans(summary.trace_id)), wanted))
            if hits:
                found[summary.trace_id] = hits
        return found


def _hits(call: Mapping[str, Any], wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
    number = 1
    for entry in call["entries"]:
        number = entry.get("turn", number)
        text = str(entry.get("text", ""))
        folded = text.casefold()
        if text and all(word in folded for word in wanted):
            at = folded.find(wanted[0])
            end = at + len(wanted[0])
            before, after = text[:at][-_HIT_CHARACTERS:], text[end:][:_HIT_CHARACTERS]
            yield {
                "number": number + (entry["kind"] == "user"),
                "at": max(0.0, entry["at_seconds"]),
                "before": before,
                "match": text[at:end],
                "after": after,
            }
