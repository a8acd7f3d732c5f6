"""What a sender is, and how the sender and the dialect that a backend names are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from tracing.config.backends import Backend, import_path
from tracing.deliver.senders.tally import Carried, Tally

Translate = Callable[[Any], Any]
"""A span, or a log line, as its backend wants it; None for one that is not sent."""


class Sender(Protocol):
    """How one backend takes a batch."""

    def deliver(self, spans: Sequence[Any], /) -> None:
        """Take every span (or log line, where the backend carries those), or raise Unavailable:
        the batch comes again, repeats included.

        What is rejected for good is said to the `Tally`, so that it is counted.
        """


@runtime_checkable
class UsesSpareTime(Protocol):
    """A sender that has work which can wait until nothing else does."""

    def use_spare_time(self) -> None:
        """Do a little of it; called again and again while no span waits. Raises nothing."""


@runtime_checkable
class KeepsOpen(Protocol):
    """A sender that keeps something open from one batch to the next, and closes it itself."""

    def close(self) -> None:
        """Close it: no batch comes any more. May be called again."""


class Unavailable(Exception):
    """The backend takes nothing now. `refused` means: not before somebody mends something.

    `mend` is what to check where that is nothing of the backend's own; `hung` means: no whole
    answer came in time.
    """

    def __init__(
        self,
        message: str,
        *,
        refused: bool = False,
        retry_after_seconds: float | None = None,
        mend: str = "",
        hung: bool = False,
    ) -> None:
        super().__init__(message)
        self.refused = refused
        self.mend = mend
        self.hung = hung
        self.retry_after_seconds = retry_after_seconds


def make_sender(backend: Backend, tally: Tally) -> Sender:
    """The sender that a backend names; it is imported only now."""
    sender: Sender = import_path(backend.sender)(backend, tally)
    return sender


def make_translator(backend: Backend) -> Translate:
    """What a span becomes for this backend: by its sample rate, and by the dialect it names."""
    translate: Translate = _as_it_is
    if backend.dialect:
        translate = import_path(backend.dialect)(**backend.dialect_options)
    if backend.sample_rate >= 1:
        return translate
    # The last 64 bits of the trace id, as OpenTelemetry's TraceIdRatioBased, which Langfuse's
    # SDK samples by: each trace is sent whole or not at all, by whichever process.
    bound = round(backend.sample_rate * 2**64)
    return lambda span: translate(span) if _low_bits(span.trace_id) < bound else None


def _as_it_is(carried: Carried) -> Carried:
    return carried


def _low_bits(trace_id: bytes) -> int:
    return int.from_bytes(trace_id[8:], "big")
