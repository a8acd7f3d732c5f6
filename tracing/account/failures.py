"""The status that LiveKit leaves unset: a tool that failed is an error for every backend."""

from __future__ import annotations

from tracing import names
from tracing.span import STATUS_ERROR, STATUS_UNSET, Span


def with_status(span: Span) -> Span:
    """A tool's span, as an error with its message where LiveKit only says so in an attribute."""
    if span.status_code != STATUS_UNSET or not span.attributes.get(names.TOOL_IS_ERROR):
        return span
    message = names.first(span.attributes, names.TOOL_OUTPUT) or "the tool failed"
    return span._replace(status_code=STATUS_ERROR, status_message=str(message)[:500])
