"""What a backend did not take as it was: booked as a loss, in the server's own words."""

from __future__ import annotations

from pathlib import Path

from tracing.log_line import LogLine
from tracing.span import Span
from tracing.spool import losses
from tracing.spool.losses import Ledger
from tracing.spool.quarantine import quarantine

Carried = Span | LogLine
"""What is delivered to a backend: spans, or log lines."""


class Tally:
    """Keeps count for one backend; what is lost or changed is in the spool's loss file."""

    def __init__(self, directory: Path, backend: str, ledger: Ledger) -> None:
        self._directory = directory
        self._backend = backend
        self._ledger = ledger

    def truncated(self, carried: Carried, attribute: str) -> None:
        """An attribute was cut so that its span, or its log line, could pass."""
        self._count(losses.TRUNCATED, f"{attribute} of {_told(carried)}")

    def unsendable(self, carried: Carried, error: Exception) -> None:
        """A span or a log line cannot be put into the backend's form."""
        if isinstance(carried, LogLine):
            self.line_rejected(carried, repr(error))
        else:
            self._count(losses.UNTRANSLATED, f"{carried.name}: {error!r}")

    def quarantined(self, span: Span, words: str) -> None:
        """The backend rejects this one span for good; it is counted, kept or not."""
        try:
            quarantine(self._directory, self._backend, span)
        except Exception as error:
            words = f"{words} (not kept: {error})"
        self._count(losses.QUARANTINED, words)

    def partially_rejected(self, number: int, words: str) -> None:
        """The backend accepted the request but not all spans in it."""
        self._ledger.count(losses.PARTIALLY_REJECTED, number, backend=self._backend, detail=words)

    def line_rejected(self, line: LogLine, words: str) -> None:
        """One log line is rejected for good, or cannot be put into the backend's form."""
        self._count(losses.LINE_REJECTED, f"{_told(line)}: {words}")

    def lines_rejected(self, number: int, words: str) -> None:
        """The backend accepted the request but not all log lines in it."""
        self._ledger.count(losses.LINE_REJECTED, number, backend=self._backend, detail=words)

    def lines_not_taken(self, number: int, words: str) -> None:
        """The backend has no place for log lines; the first of them says so in the log."""
        self._ledger.count(
            losses.LINES_NOT_TAKEN, number, backend=self._backend, detail=words, once=True
        )

    def score_rejected(self, words: str) -> None:
        """Langfuse rejects one score for good."""
        self._count(losses.SCORE_REJECTED, words)

    def recording_lost(self, words: str) -> None:
        """A recording that nobody can upload any more, or that is not taken."""
        self._count(losses.RECORDING_LOST, words)

    def _count(self, reason: str, detail: str) -> None:
        self._ledger.count(reason, backend=self._backend, detail=detail)


def _told(carried: Carried) -> str:
    """Which one it is, without what it says."""
    if isinstance(carried, LogLine):
        return f"a line of {carried.logger}"
    return f"{carried.name} {carried.span_id.hex()}"
