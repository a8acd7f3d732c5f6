"""Spans as lines on the terminal, as they arrive."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TextIO

from tracing import names, stamps
from tracing.config.backends import Backend
from tracing.deliver.senders.tally import Tally
from tracing.safe_text import safe
from tracing.span import STATUS_ERROR, Span

_SHOWN = (stamps.SESSION_ID, stamps.TURN_NUMBER, stamps.TURN_LATENCY, names.REQUEST_MODEL)


class ConsoleSender:
    """Prints one line per span: when, what, how long, and what matters most of it."""

    def __init__(self, backend: Backend, tally: Tally, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def deliver(self, spans: Sequence[Span]) -> None:
        """Print the spans; a terminal that is gone takes them without a word."""
        try:
            for span in spans:
                self._stream.write(line(span) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass


def line(span: Span) -> str:
    """One span on one line, in local time."""
    began = datetime.fromtimestamp(span.start_time_unix_nano / 1e9).strftime("%H:%M:%S.%f")[:-3]
    shown = [f"{key}={span.attributes[key]!s}" for key in _SHOWN if key in span.attributes]
    error = [f"ERROR {span.status_message}".strip()] if span.status_code == STATUS_ERROR else []
    fields = [began, span.trace_id.hex()[:8], f"{span.duration_seconds:8.3f} s", span.name]
    return safe("  ".join([*fields, *shown, *error]))
