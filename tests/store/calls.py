"""Calls to store."""

from __future__ import annotations

from tests.fakes import ROOT
from tracing.span import Span

RECORDINGS = ROOT / "tests" / "recordings"
TOOLS = RECORDINGS / "1.8.9" / "tools.json"
START = 1_760_000_000_000_000_000
SECOND = 1_000_000_000
ROOT_ID = b"rootroot"


def call(number: int, **changes: object) -> Span:
    """The root span of call `number`; calls start one second apart."""
    start = START + number * SECOND
    span = Span(number.to_bytes(16, "big"), ROOT_ID, b"", "agent_session", start, start + 5)
    return span._replace(**changes)
