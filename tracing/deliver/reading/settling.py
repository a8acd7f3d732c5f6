"""The names of a call before it leaves: its first spans wait for them, and then all carry them.

A backend that files by session keeps the first that it hears of. What an application says of a
call comes later than the call's first spans: its root is written again then, with those names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tracing import names, stamps
from tracing.limits import forget_oldest, settled_at
from tracing.span import Attributes, Span
from tracing.spool.records import END, START, Record

_MAX_CALLS = 10_000
_NAMES = (stamps.SESSION_ID, stamps.USER_ID, names.AGENT_NAME, stamps.FIRST_AGENT)
_WRITTEN_WITHIN_NANOS = 500_000_000
"""How long after a call has a name that is on disk: more than a checkpoint's time."""


class _Beginning(NamedTuple):
    """How a call begins; times in nanoseconds since the Unix epoch, 0 for not yet."""

    root: bytes
    began: int
    session_began: int = 0
    is_over: bool = False


class Settling:
    """Holds records of calls whose names are not settled, of one segment; names the others."""

    def __init__(self, settle_seconds: float) -> None:
        self._settle_seconds = settle_seconds
        self._calls: dict[bytes, _Beginning] = {}

    def settled(self, records: Sequence[Record], now: int) -> list[Record]:
        """The records before the first of a call that is not settled, with their calls' names.

        The same records are looked at again until they are taken, with what came behind them.
        """
        for record in records:
            self._note(record)
        held = {trace_id for trace_id in self._calls if not self._is_settled(trace_id, now)}
        until = len(records)
        if held:
            waiting = (i for i, record in enumerate(records) if _trace_of(record) in held)
            until = next(waiting, until)
        return self._named(records, until)

    def _note(self, record: Record) -> None:
        span = record.span
        if span is None or span.name not in names.BEGIN_CALLS:
            return
        call = self._calls.get(span.trace_id)
        if record.kind == START:
            call = call or _Beginning(span.span_id, span.start_time_unix_nano)
            if span.name == names.AGENT_SESSION and not call.session_began:
                call = call._replace(session_began=span.start_time_unix_nano)
        elif call is not None and record.kind == END and span.span_id == call.root:
            call = call._replace(is_over=True)
        if call is not None:
            self._calls[span.trace_id] = call
            forget_oldest(self._calls, _MAX_CALLS)

    def _is_settled(self, trace_id: bytes, now: int) -> bool:
        call = self._calls[trace_id]
        if call.is_over:
            return True
        settled = settled_at(call.began, call.session_began, self._settle_seconds)
        return now >= settled + _WRITTEN_WITHIN_NANOS

    def _named(self, records: Sequence[Record], until: int) -> list[Record]:
        """The first records, each with the names that its call's root has behind it."""
        given: dict[bytes, Attributes] = {}
        found: list[Record] = []
        for index in range(len(records) - 1, -1, -1):
            record = records[index]
            span = record.span
            if span is not None and index < until and (told := given.get(span.trace_id)):
                record = record._replace(span=_with(span, told))
            if index < until:
                found.append(record)
            if span is not None and self._is_named(record.kind, span):
                given.setdefault(span.trace_id, _names_on(span))
        return found[::-1]

    def _is_named(self, kind: int, span: Span) -> bool:
        """Whether it is a call's root, which the application may have named."""
        if kind != START or stamps.IN_PROGRESS in span.attributes:
            return False
        call = self._calls.get(span.trace_id)
        return call is not None and call.root == span.span_id


def _names_on(root: Span) -> Attributes:
    return {key: root.attributes[key] for key in _NAMES if key in root.attributes}


def _with(span: Span, told: Attributes) -> Span:
    if all(span.attributes.get(key) == value for key, value in told.items()):
        return span
    return span._replace(attributes={**span.attributes, **told})


def _trace_of(record: Record) -> bytes:
    return record.span.trace_id if record.span is not None else b""
