"""Where a report's calls come from: the store, or files of OTLP JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from tracing.otlp_json import LeftOut, read_spans
from tracing.safe_text import get_logger
from tracing.span import Span
from tracing.store.call_rows import CallSummary, summarize

logger = get_logger(__name__)

Describe = Callable[[Sequence[Span]], dict[str, Any]]
"""The spans of one call -> the report's object of it."""


class Source(Protocol):
    """What holds calls: `Store` and `RecordedFiles`."""

    def calls(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        agent: str | None = None,
        model: str | None = None,
    ) -> Iterator[CallSummary]:
        """The calls that match, newest first."""

    def spans(self, trace_id: str) -> list[Span]:
        """The spans of a call in the order in which they started."""


class RecordedFiles:
    """The calls in files of OTLP JSON; of a span's versions the one that ended counts.

    With `strict`, a file of which anything cannot be read raises an OtlpJsonError; without, one
    of which nothing can be read.
    """

    def __init__(self, files: Iterable[Path], *, strict: bool = False) -> None:
        self.left_out: dict[Path, LeftOut] = {}
        """What could not be read of each file."""
        spans_by_id: dict[tuple[bytes, bytes], Span] = {}
        for span in self._read(files, strict=strict):
            key = (span.trace_id, span.span_id)
            known = spans_by_id.get(key)
            if known is None or known.is_open or not span.is_open:
                spans_by_id[key] = span
        self._spans_by_trace: dict[str, list[Span]] = {}
        for span in sorted(spans_by_id.values(), key=lambda span: span.start_time_unix_nano):
            self._spans_by_trace.setdefault(span.trace_id.hex(), []).append(span)

    @property
    def traces(self) -> list[list[Span]]:
        """The spans of each trace, those that are no calls included, by start."""
        return list(self._spans_by_trace.values())

    def calls(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        agent: str | None = None,
        model: str | None = None,
    ) -> Iterator[CallSummary]:
        """The calls that match, newest first."""
        of_files = (found for spans in self._spans_by_trace.values() for found in summarize(spans))
        for found in sorted(of_files, key=lambda call: call.started_unix_nano, reverse=True):
            if found.is_call and found.matches(since=since, until=until, agent=agent, model=model):
                yield found

    def spans(self, trace_id: str) -> list[Span]:
        """The spans of a call in the order in which they started."""
        return self._spans_by_trace.get(trace_id, [])

    def _read(self, files: Iterable[Path], *, strict: bool) -> Iterator[Span]:
        for path in files:
            left_out = LeftOut()
            yield from read_spans(path, None if strict else left_out)
            if left_out.counts:
                self.left_out[path] = left_out


def load_calls(
    source: Source, describe: Describe, *, last: int | None = None, **wanted: Any
) -> list[dict[str, Any]]:
    """Describe the calls that match, the `last` only if given, in the order of their starts."""
    newest = list(islice(source.calls(**wanted), last))
    return [call for _, call in described(source, reversed(newest), describe)]


def described(
    source: Source, calls: Iterable[CallSummary], describe: Describe
) -> Iterator[tuple[list[Span], dict[str, Any]]]:
    """Each call's spans and description; one that defeats `describe` does not hide the others."""
    for call in calls:
        spans = source.spans(call.trace_id)
        try:
            found = describe(spans)
        except Exception as error:
            words = repr(error)
            logger.warning("left out trace %s, cannot describe it: %s", call.trace_id, words)
            continue
        yield spans, found
