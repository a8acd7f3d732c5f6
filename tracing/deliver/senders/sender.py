"""What a sender is, and how the sender and the dialect that a backend names are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tracing.config.backends import Backend, import_path
from tracing.deliver.tally import Tally
from tracing.span import Span

Translate = Callable[[Span], Span | None]
"""A span as its backend wants it; None for one that is not sent."""


class Sender(Protocol):
    """How one backend takes a batch."""

    def deliver(self, spans: Sequence[Span]) -> None:
        """Take every span, or raise Unavailable: the batch comes again, repeats included.

        What is rejected for good is said to the `Tally`, so that it is counted.
        """


class Unavailable(Exception):
    """The backend takes nothing now. `refused` means: not before somebody mends something."""

    def __init__(
        self, message: str, *, refused: bool = False, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.refused = refused
        self.retry_after_seconds = retry_after_seconds


def make_sender(backend: Backend, tally: Tally) -> Sender:
    """The sender that a backend names; it is imported only now."""
    sender: Sender = import_path(backend.sender)(backend, tally)
    return sender


def make_translator(backend: Backend) -> Translate:
    """The dialect that a backend names; spans pass untouched where it names none."""
    if not backend.dialect:
        return lambda span: span
    translate: Translate = import_path(backend.dialect)(**backend.dialect_options)
    return translate
