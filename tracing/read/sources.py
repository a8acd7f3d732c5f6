"""Where a report's calls come from: the store, or files of OTLP JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from tracing.calls.facts import Facts, Told
from tracing.calls.transcribe import Line
from tracing.log_line import LogLine
from tracing.otlp_json import LeftOut, read_spans
from tracing.safe_text import get_logger
from tracing.span import Span
from tracing.store.call_rows import CallSummary, summarize

logger = get_logger(__name__)


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

    def log_lines(self, trace_id: str) -> list[LogLine]:
        """What was logged in a call, by time."""

    def describe(self, trace_id: str) -> dict[str, Any]:
        """The call as the report has it (see `describe`)."""

    def row(self, trace_id: str) -> dict[str, Any]:
        """The call as a row of the list (see `call_row`)."""

    def told(self, trace_id: str) -> Told | None:
        """What is kept of a call beside its spans; None where these have to tell it."""

    def lines(self, words: Iterable[str]) -> Iterator[tuple[str, Line]]:
        """With their trace ids, at least the lines in which all these (case-folded) words are."""

    def revisions(self) -> dict[str, float]:
        """Every call, newest first, with a number that is another after each change of it."""

    def changes(self) -> int:
        """Another number after each change that somebody else made."""


class FromSpans(ABC):
    """What a source tells of its calls that has nothing but their spans, which stay the same."""

    @abstractmethod
    def calls(self) -> Iterator[CallSummary]:
        """Its calls, newest first."""

    @abstractmethod
    def spans(self, trace_id: str) -> list[Span]:
        """The spans of a call."""

    def log_lines(self, trace_id: str) -> list[LogLine]:
        """None: spans hold none, and the log records of OTLP files are not read."""
        return []

    def describe(self, trace_id: str) -> dict[str, Any]:
        """The call as the report has it."""
        return Facts(self.spans(trace_id)).call

    def row(self, trace_id: str) -> dict[str, Any]:
        """The call as a row of the list."""
        return Facts(self.spans(trace_id)).row

    def told(self, trace_id: str) -> Told | None:
        """Nothing is kept."""
        return None

    def lines(self, words: Iterable[str]) -> Iterator[tuple[str, Line]]:
        """All lines of all calls."""
        for trace_id in self.revisions():
            yield from ((trace_id, line) for line in Facts(self.spans(trace_id)).lines)

    def revisions(self) -> dict[str, float]:
        """Every call, newest first."""
        return dict.fromkeys((call.trace_id for call in self.calls()), 0.0)

    def changes(self) -> int:
        """There are none."""
        return 0


class RecordedFiles(FromSpans):
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
    source: Source, *, last: int | None = None, **wanted: Any
) -> Iterator[dict[str, Any]]:
    """Describe the calls that match, the `last` only if given, in the order of their starts.

    One by one: of many, no more are in memory than whoever takes them keeps.
    """
    newest = list(islice(source.calls(**wanted), last))
    return described(source, reversed(newest))


def described(source: Source, calls: Iterable[CallSummary]) -> Iterator[dict[str, Any]]:
    """Each call as the report has it; one that cannot be described does not hide the others."""
    for call in calls:
        try:
            found = source.describe(call.trace_id)
        except OSError:
            raise  # the store cannot be read
        except Exception as error:
            words = repr(error)
            logger.warning("left out trace %s, cannot describe it: %s", call.trace_id, words)
            continue
        yield found
