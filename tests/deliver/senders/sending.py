"""A sender, what it books, and why it could not deliver."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import RecordingServer, RecordingTally, otlp_backend
from tracing.deliver.senders.otlp_http import OtlpHttpSender, Unavailable
from tracing.span import Span


def sender_to(server: RecordingServer, **options: Any) -> tuple[OtlpHttpSender, RecordingTally]:
    """A sender to the server, and what it books."""
    tally = RecordingTally()
    return OtlpHttpSender(otlp_backend(server.url, **options), tally), tally


def failure(sender: OtlpHttpSender, spans: list[Span]) -> Unavailable:
    """Why the batch could not be delivered."""
    with pytest.raises(Unavailable) as caught:
        sender.deliver(spans)
    return caught.value
