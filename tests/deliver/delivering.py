"""A delivery at work, and the spans that it is given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fakes import FAST, RecordingServer, make_span, otlp_backend
from tracing.config.backends import Backend
from tracing.deliver.delivery import Delivery
from tracing.deliver.pace import Pace
from tracing.span import Span
from tracing.spool.losses import Ledger


@contextlib.contextmanager
def delivering(
    spool: Path,
    to: RecordingServer | Backend,
    ledger: Ledger | None = None,
    *,
    pace: Pace = FAST,
) -> Iterator[Delivery]:
    """A delivery that runs meanwhile; its losses are in the spool's file afterwards."""
    backend = otlp_backend(to.url) if isinstance(to, RecordingServer) else to
    ledger = ledger or Ledger(spool, say=lambda text: None)
    delivery = Delivery(spool, backend, ledger, pace=pace)
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.stopping.set()
        delivery.join(10)
        ledger.settle()
        assert not delivery.is_alive()


def spans_of(count: int, **changes: Any) -> list[Span]:
    """Numbered spans."""
    return [make_span(number, **changes) for number in range(1, count + 1)]


def names_of(spans: list[Span]) -> list[str]:
    """Their names, sorted."""
    return sorted(span.name for span in spans)
