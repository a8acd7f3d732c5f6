"""One segment as one backend reads it: what is new, what is acknowledged, what was left open."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tracing import names, stamps
from tracing.config.backends import OpenSpans
from tracing.deliver.reading.settling import Settling
from tracing.log_line import LogLine
from tracing.span import STATUS_ERROR, Attributes, Event, Span
from tracing.spool.acks import DONE
from tracing.spool.formats import FORMATS, HEADER, segment_version
from tracing.spool.locks import is_locked
from tracing.spool.records import CLOSED, DAMAGED, END, LOG, START, Record, read_records
from tracing.spool.segments import size_of

_LONG_AFTER = 2**63
_LOOK_AHEAD_BYTES = 2**20
"""How far the names of a call may come behind its first span."""
_LARGEST_READ_BYTES = 80 * 2**20

_IDENTITY = (stamps.SESSION_ID, stamps.USER_ID)
_MAX_IDENTITIES = 10_000

RECOVERED_MESSAGE = "the process ended before this span did"


class SegmentReader:
    """Reads a segment from the last acknowledged offset on, and again after `rewind`.

    A segment whose process died is finished by `recovered`: the spans that it left open,
    closed as errors at the time of the last sign of life. Of a call that has begun, nothing is
    read before its names are settled, `settle_seconds` after its session began; 0 reads at once.
    One for `lines` reads log lines in place of spans.
    Raises KeyError for a segment in a format that is none of `FORMATS`, and OSError for one that
    cannot be read.
    """

    def __init__(
        self,
        path: Path,
        acknowledged: int,
        open_spans: OpenSpans = "none",
        *,
        settle_seconds: float = 0.0,
        lines: bool = False,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.path = path
        self._format = FORMATS[segment_version(path)]
        self._open_spans = open_spans
        self._reads_lines = lines
        self.acknowledged = acknowledged
        self.position = 0
        self.is_gone = False
        """Whether there was no file at the last read; it may come back, so it is not finished."""
        self.damaged = 0
        """Damaged stretches behind what was acknowledged when reading began."""
        self._header: Mapping[str, Any] = {}
        self._open: dict[tuple[bytes, bytes], Span] = {}
        self._identities: dict[bytes, Attributes] = {}
        self._carried_on = False
        self._last_sign_of_life = 0
        self._looked_for_damage_until = acknowledged
        self._settling = Settling(settle_seconds) if settle_seconds else None
        self._now: Callable[[], int] = lambda: _LONG_AFTER  # what was acknowledged was settled
        while self.position < acknowledged and self._read(acknowledged - self.position, 2**62):
            pass
        self._now = now
        self.rewind()

    @property
    def labels(self) -> Mapping[str, Any] | None:
        """What the agent that writes it labels its calls with; None where it does not say."""
        found = self._header.get("labels")
        return found if isinstance(found, dict) else None

    def unread_bytes(self) -> int:
        """How many bytes lie behind the position; a torn tail among them."""
        return max(size_of(self.path) - self.position, 0)

    def is_being_written(self) -> bool:
        """Whether a living process may still append."""
        return is_locked(self.path)

    def read(self, limit_bytes: int, limit_spans: int = 2**62) -> list[Span]:
        """The next spans, about `limit_bytes` of them; empty where there are none yet.

        They are the ended ones, and of those that have only started the `open_spans` wanted:
        all, or the roots of calls that last, as far as those have come.
        """
        return [
            _as_told(record.span)
            for record in self._read(limit_bytes, limit_spans)
            if record.span is not None and self._is_wanted(record.kind, record.span)
        ]

    def read_lines(self, limit_bytes: int, limit_lines: int = 2**62) -> list[LogLine]:
        """The next log lines."""
        records = self._read(limit_bytes, limit_lines, counted=LOG)
        return [record.line for record in records if record.line is not None]

    def _is_wanted(self, kind: int, span: Span) -> bool:
        if kind == START:
            return self._open_spans == "all" or (
                self._open_spans == "roots" and stamps.IN_PROGRESS in span.attributes
            )
        return kind == END

    def rewind(self) -> None:
        """Go back to what is acknowledged: the last spans were not delivered."""
        if self.acknowledged != DONE:
            self.position = max(self.acknowledged, 0)

    def recovered(self) -> list[Span]:
        """The spans that a dead process left open, as errors; none where it ended in order."""
        if self._carried_on:
            return []
        events = _noted(self._open.values())
        return [self._recover(span, events) for span in self._open.values()]

    def _read(self, limit_bytes: int, limit: int, counted: int = END) -> list[Record]:
        """The next records, read in growing pieces until at least one is whole.

        Up to and with the one that is number `limit` of the `counted` kind.
        """
        want = max(limit_bytes, 4096 if self._settling is None else _LOOK_AHEAD_BYTES)
        # Both asked before reading: then nothing is missed.
        is_whole, now = not self.is_being_written(), self._now()
        while True:
            data = self._read_at(self.position, want)
            is_end = len(data) < want
            resource, whole = self._header.get("resource"), is_whole and is_end
            found = read_records(
                data,
                resource=resource,
                is_whole=whole,
                format=self._format,
                spans=not self._reads_lines,
            )
            records = list(found)
            if records or is_end or want > _LARGEST_READ_BYTES:
                break
            want *= 4
        if self._settling is not None:
            records = self._settling.settled(records, _LONG_AFTER if is_whole else now)
        records = _up_to(records, limit, counted)
        for record in records:
            self._note(record)
        self.position += records[-1].end_offset if records else 0
        return records

    def _read_at(self, offset: int, length: int) -> bytes:
        try:
            with open(self.path, "rb", buffering=0) as file:
                self.is_gone = False
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError:
            self.is_gone = True
            return b""

    def _note(self, record: Record) -> None:
        """Remember what a record says of the segment, and of the spans that are open."""
        kind, span = record.kind, record.span
        if kind == DAMAGED:
            is_behind = self.position + record.start_offset >= self._looked_for_damage_until
            if is_behind and not self._reads_lines:  # who reads the spans counts it
                self.damaged += record.values.get("records", 1)
                self._looked_for_damage_until = self.position + record.end_offset
            return
        if record.line is not None:  # may follow the mark that the spans live on elsewhere
            self._last_sign_of_life = max(self._last_sign_of_life, record.line.time_unix_nano)
            return
        if span is None:
            if kind == HEADER:
                self._header = record.values
            self._carried_on = kind == CLOSED
            return
        key = span.trace_id, span.span_id
        if kind == START:
            self._open[key] = span
        else:
            self._open.pop(key, None)
            self._learn_identity(span)
        self._last_sign_of_life = max(
            self._last_sign_of_life, span.start_time_unix_nano, span.end_time_unix_nano
        )

    def _learn_identity(self, span: Span) -> None:
        known = {key: span.attributes[key] for key in _IDENTITY if key in span.attributes}
        if known and len(self._identities) < _MAX_IDENTITIES:
            before = self._identities.get(span.trace_id, known)
            if before.get(stamps.USER_ID, known.get(stamps.USER_ID)) != known.get(stamps.USER_ID):
                known[stamps.USER_ID] = ""  # one of several: nobody knows whose the others were
            self._identities[span.trace_id] = known

    def _recover(self, span: Span, events: Mapping[str, list[Event]]) -> Span:
        pid = self._header.get("pid", "?")
        return span._replace(
            events=(*span.events, *events.get(span.span_id.hex(), ())),
            end_time_unix_nano=max(self._last_sign_of_life, span.start_time_unix_nano),
            status_code=STATUS_ERROR,
            status_message=RECOVERED_MESSAGE,
            attributes={
                **self._identity_of(span),
                **_as_told(span).attributes,
                names.ERROR_TYPE: "process_died",
                stamps.RECOVERED_REASON: f"process {pid} died with the span open",
            },
        )

    def _identity_of(self, span: Span) -> Attributes:
        """Whose call it was, as the spans that ended say; a start record does not tell."""
        found = self._identities.get(span.trace_id)
        if found is None and names.JOB_ID in span.attributes:
            return {stamps.SESSION_ID: span.attributes[names.JOB_ID]}
        return {key: value for key, value in (found or {}).items() if value}


def _up_to(records: list[Record], limit: int, counted: int) -> list[Record]:
    """The records up to and with number `limit` of a kind."""
    found = [index for index, record in enumerate(records) if record.kind == counted]
    return records[: found[limit - 1] + 1] if len(found) > limit else records


def _as_told(span: Span) -> Span:
    """The span as a backend gets it, without what only its start record carries."""
    if _ONLY_AT_START.isdisjoint(span.attributes):
        return span
    told = {key: value for key, value in span.attributes.items() if key not in _ONLY_AT_START}
    return span._replace(attributes=told)


_ONLY_AT_START = frozenset({stamps.IN_PROGRESS, stamps.CALL_EVENTS})


def _noted(spans: Iterable[Span]) -> dict[str, list[Event]]:
    """The events that the roots among open spans tell of, by the id of their span."""
    found: dict[str, list[Event]] = {}
    for text in filter(None, (names.text(s.attributes, stamps.CALL_EVENTS) for s in spans)):
        with contextlib.suppress(KeyError, TypeError, ValueError, RecursionError):
            for told in json.loads(text):
                event = Event(told["name"], told["time"], told["attributes"])
                found.setdefault(told["span"], []).append(event)
    return found
