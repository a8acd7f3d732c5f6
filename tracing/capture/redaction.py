"""What may not reach the disk: content that is withheld, and text that a mask rewrites."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from tracing.harmless.filter import WITHHELD, Harmless
from tracing.harmless.listed import EVENT_NAMES, SPAN_NAMES
from tracing.safe_text import get_logger
from tracing.span import Attributes, Event, Span
from tracing.spool import losses
from tracing.spool.losses import Ledger

logger = get_logger(__name__)

MASK_FAILED = "[withheld: the mask failed]"
SLOW_MASK_SECONDS = 0.05


class Redaction:
    """Applies to spans and documents what is withheld, and the user's mask.

    `harmless` says what stays where content is withheld; the mask gets what is left.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        mask: Callable[[str], str] | None = None,
        harmless: Harmless | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.harmless = harmless or Harmless()
        self.mask_seconds = 0.0
        """What the mask has taken in all, of every thread."""
        self.mask = mask
        self._ledger = ledger
        self._clock = clock
        self._slowness_was_said = False

    @property
    def masks(self) -> bool:
        """Whether there is a mask; a later set-up may bring one."""
        return self.mask is not None

    def apply(self, span: Span, *, withhold: bool) -> Span:
        """The span as it may be written; the very same one where nothing is withheld or masked."""
        if withhold:
            span = self.harmless.span(span)
        return self._timed(self._masked, span) if self.masks else span

    def attributes(self, attributes: Mapping[str, Any], *, withhold: bool) -> Attributes:
        """Attributes that belong to no one span as they may be written."""
        if withhold:
            attributes = self.harmless.attributes(attributes)
        return self._timed(self._mask_value, attributes) if self.masks else attributes

    def document(self, document: Any) -> Any:
        """A JSON document, or a text, as it may be written: with every text masked."""
        return self._mask_value(document) if self.masks else document

    def told(self, error: Exception, *, withhold: bool) -> Exception:
        """An error as it may be logged: without its words, which may quote what somebody said."""
        return without_words(error) if withhold or self.masks else error

    def _timed(self, mask: Callable[[Any], Any], given: Any) -> Any:
        begun = self._clock()
        masked = mask(given)
        took = self._clock() - begun
        self.mask_seconds += took
        if took > SLOW_MASK_SECONDS and not self._slowness_was_said and _on_event_loop():
            self._slowness_was_said = True
            logger.warning(
                "the mask took %.0f ms of the voice loop for one span, %.1f s in all until now: "
                "nothing is heard or said meanwhile, so make it faster",
                took * 1000,
                self.mask_seconds,
            )
        return masked

    def _masked(self, span: Span) -> Span:
        """The span with every text masked, but for the names that LiveKit gives in every call."""
        name = span.name
        return span._replace(
            name=name if name in SPAN_NAMES else self._mask_value(name),
            attributes=self._mask_value(span.attributes),
            events=tuple(
                Event(
                    event.name if event.name in EVENT_NAMES else self._mask_value(event.name),
                    event.time_unix_nano,
                    self._mask_value(event.attributes),
                )
                for event in span.events
            ),
            links=tuple(
                link._replace(attributes=self._mask_value(link.attributes)) for link in span.links
            ),
            status_message=self._mask_value(span.status_message),
            trace_state=self._mask_value(span.trace_state),
            resource=self._mask_value(span.resource),
        )

    def _mask_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._mask_text(value) if value else value
        if isinstance(value, bytes):
            return str(self._mask_value(value.decode("utf-8", "replace"))).encode()
        if isinstance(value, (list, tuple)):
            return [self._mask_value(item) for item in value]
        if isinstance(value, Mapping):
            return {key: self._mask_value(item) for key, item in value.items()}
        return value

    def _mask_text(self, text: str) -> str:
        assert self.mask is not None
        try:
            masked = self.mask(text)
        except Exception:
            masked = None
        if isinstance(masked, str):
            return masked
        self._ledger.count(losses.MASK_FAILED)
        return MASK_FAILED


def without_words(error: Exception) -> Exception:
    """An error of the same name, at the same place."""
    kind = type(type(error).__name__, (Exception,), {"__module__": type(error).__module__})
    bare: Exception = kind(WITHHELD)
    return bare.with_traceback(error.__traceback__)


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
