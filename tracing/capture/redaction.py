"""What may not reach the disk: content that is withheld, and text that a mask rewrites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from tracing.safe_text import get_logger
from tracing.span import Attributes, Event, Span
from tracing.spool import losses
from tracing.spool.losses import Ledger

logger = get_logger(__name__)

MASK_FAILED = "[withheld: the mask failed]"
_WITHHELD = "[withheld]"

_GEN_AI_CONTENT = frozenset(
    {
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.tool.description",
        "gen_ai.tool.definitions",
        "gen_ai.retrieval.query.text",
        "gen_ai.retrieval.documents",
        "gen_ai.memory.query.text",
        "gen_ai.memory.records",
        "gen_ai.evaluation.explanation",
    }
)
# livekit-agents before 1.7 had no `pii` segment in the names of its content.
_UNMARKED_CONTENT = frozenset(
    {
        "lk.user_input",
        "lk.user_transcript",
        "lk.instructions",
        "lk.chat_ctx",
        "lk.response.text",
        "lk.response.function_calls",
        "lk.function_tool.arguments",
        "lk.function_tool.output",
        "lk.input_text",
        "lk.room_name",
        "lk.participant_identity",
        "exception.stacktrace",
    }
)
_CONTENT_PREFIXES = ("gen_ai.prompt.variable", "gen_ai.prompt.", "gen_ai.completion.")
_CONTENT_EVENTS = frozenset(
    {
        "gen_ai.system.message",
        "gen_ai.user.message",
        "gen_ai.assistant.message",
        "gen_ai.tool.message",
        "gen_ai.choice",
        "gen_ai.client.inference.operation.details",
    }
)


@lru_cache(maxsize=10_000)
def is_content_attribute(key: str) -> bool:
    """Whether an attribute carries what somebody said, typed or is called."""
    return (
        "pii" in key.split(".")
        or key in _GEN_AI_CONTENT
        or key in _UNMARKED_CONTENT
        or key.startswith(_CONTENT_PREFIXES)
    )


def without_content(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attributes that carry no content; of an exception only that there was one."""
    kept = dict(attributes)
    for key in filter(is_content_attribute, attributes):
        del kept[key]
    if "exception.message" in kept:
        kept["exception.message"] = _WITHHELD
    return kept


class Redaction:
    """Applies `capture_content=False` and the user's mask to whole spans."""

    def __init__(
        self, ledger: Ledger, *, capture_content: bool, mask: Callable[[str], str] | None
    ) -> None:
        self.capture_content = capture_content
        self.mask = mask
        self._ledger = ledger

    @property
    def changes_spans(self) -> bool:
        """False where `apply` would give every span back as it is."""
        return self.mask is not None or not self.capture_content

    def apply(self, span: Span, *, withhold: bool = False) -> Span:
        """The span as it may be written; `withhold` is LiveKit's own word for this span."""
        if withhold or not self.capture_content:
            span = self._withheld(span)
        if self.mask is not None:
            span = self._masked(span)
        return span

    def document(self, document: Any) -> Any:
        """A JSON document as it may be written, with every text masked."""
        return document if self.mask is None else self._mask_value(document)

    def _withheld(self, span: Span) -> Span:
        return span._replace(
            attributes=without_content(span.attributes),
            events=tuple(
                event._replace(attributes=without_content(event.attributes))
                for event in span.events
                if event.name not in _CONTENT_EVENTS
            ),
            links=tuple(
                link._replace(attributes=without_content(link.attributes)) for link in span.links
            ),
            status_message=_WITHHELD if span.status_message else "",
        )

    def _masked(self, span: Span) -> Span:
        return span._replace(
            attributes=self._mask_values(span.attributes),
            events=tuple(
                Event(event.name, event.time_unix_nano, self._mask_values(event.attributes))
                for event in span.events
            ),
            links=tuple(
                link._replace(attributes=self._mask_values(link.attributes)) for link in span.links
            ),
            status_message=self._mask_value(span.status_message),
        )

    def _mask_values(self, attributes: Attributes) -> dict[str, Any]:
        return {key: self._mask_value(value) for key, value in attributes.items()}

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
            return str(self.mask(text))
        except Exception:
            self._ledger.count(losses.MASK_FAILED)
            return MASK_FAILED
