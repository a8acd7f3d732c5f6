"""A test trace: sent as calls are, read back from Langfuse by its API, and deleted again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import replace

from tracing.deliver.senders.sender import Unavailable, make_sender, make_translator
from tracing.deliver.senders.tally import Carried, Tally
from tracing.doctor.findings import Finding, mend, note, ok, unknown
from tracing.doctor.langfuse_api import Api
from tracing.doctor.reach import STEP_SECONDS, Place
from tracing.doctor.time_left import TimeLeft
from tracing.span import Span

NAME = "tracing doctor"
"""What the trace is called, and its environment and tag say that it is a test."""

_AGAIN_AFTER_SECONDS = 0.5
_TO_DELETE_SECONDS = 1.5
"""What is kept of the time for deleting what was read back."""


class Rejections(Tally):
    """Keeps in memory what the server says against the one span; nothing is written."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def truncated(self, carried: Carried, attribute: str) -> None:
        """An attribute was cut."""
        self.words.append(f"{attribute} is too large")

    def unsendable(self, carried: Carried, error: Exception) -> None:
        """It cannot be encoded."""
        self.words.append(repr(error))

    def quarantined(self, span: Span, words: str) -> None:
        """It is rejected for good."""
        self.words.append(words)

    def partially_rejected(self, number: int, words: str) -> None:
        """It is not taken, though the request is."""
        self.words.append(words)


def look_at_test_trace(place: Place, api: Api, page: str, time_left: TimeLeft) -> Iterator[Finding]:
    """Whether a trace arrives where a person looks; `page` is where the project's traces are."""
    name, span = place.named("test trace"), make_test_span()
    words = _sent(place, span)
    if words:
        yield mend(name, f"it is not taken: {words}", place.backend.mend)
        return
    trace_id, began = span.trace_id.hex(), time.monotonic()
    link, reading = f"{page}/{trace_id}", time_left.less(_TO_DELETE_SECONDS)
    while not api.has_trace(trace_id):
        if not reading.seconds():
            text = (
                f"it was taken, and cannot be read after {time.monotonic() - began:.0f} s: {link}"
            )
            how = "look there in some minutes; where it stays away, the server's worker is at fault"
            yield unknown(name, text, how)
            return
        time.sleep(reading.seconds(_AGAIN_AFTER_SECONDS))
    text = f"read back after {time.monotonic() - began:.1f} s: {link}"
    if api.delete_trace(trace_id):
        yield ok(name, f"{text}, and deleted again")
    else:
        yield note(name, f"{text}, and stays, tagged test", "delete it there, or leave it")


def make_test_span() -> Span:
    """One root span that is over, marked as a test in every way that Langfuse filters by."""
    now = time.time_ns()
    return Span(
        trace_id=secrets.token_bytes(16),
        span_id=secrets.token_bytes(8),
        parent_span_id=b"",
        name=NAME,
        start_time_unix_nano=now - 1_000_000,
        end_time_unix_nano=now,
        attributes={
            "langfuse.trace.name": NAME,
            "langfuse.trace.tags": ["test"],
            "langfuse.environment": "test",
            "langfuse.observation.input": "Does a trace arrive?",
            "langfuse.observation.output": "Yes.",
        },
        scope_name="tracing.doctor",
        resource={"service.name": NAME},
    )


def _sent(place: Place, span: Span) -> str:
    """Why the span was not taken, in the server's words; "" where it was.

    Raises Unavailable where that has a mend of its own: a proxy's.
    """
    backend = replace(place.backend, sample_rate=1.0, timeout_seconds=STEP_SECONDS)
    rejections = Rejections()
    translated = make_translator(backend)(span)
    try:
        make_sender(backend, rejections).deliver([translated or span])
    except Unavailable as error:
        if error.mend:
            raise
        return str(error)
    return "; ".join(rejections.words)
