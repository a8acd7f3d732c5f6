"""What a backend did not take as it was: booked as a loss, in the server's own words."""

from __future__ import annotations

from pathlib import Path

from tracing.span import Span
from tracing.spool import losses
from tracing.spool.losses import Ledger
from tracing.spool.quarantine import quarantine


class Tally:
    """Keeps count for one backend; what is lost or changed is in the spool's loss file."""

    def __init__(self, directory: Path, backend: str, ledger: Ledger) -> None:
        self._directory = directory
        self._backend = backend
        self._ledger = ledger

    def truncated(self, span: Span, attribute: str) -> None:
        """An attribute was cut so that its span could pass."""
        self._count(losses.TRUNCATED, f"{attribute} of {span.name} {span.span_id.hex()}")

    def unsendable(self, span: Span, error: Exception) -> None:
        """A span cannot be put into the backend's form."""
        self._count(losses.UNTRANSLATED, f"{span.name}: {error!r}")

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

    def score_rejected(self, words: str) -> None:
        """Langfuse rejects one score for good."""
        self._count(losses.SCORE_REJECTED, words)

    def recording_lost(self, words: str) -> None:
        """A recording that nobody can upload any more, or that is not taken."""
        self._count(losses.RECORDING_LOST, words)

    def _count(self, reason: str, detail: str) -> None:
        self._ledger.count(reason, backend=self._backend, detail=detail)
