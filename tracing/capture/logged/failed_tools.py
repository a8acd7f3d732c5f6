"""The exception that a tool raised, on the tool's span: LiveKit writes it to its log alone.

The span has what the model is told, "An internal error occurred", and events come after its end.
The log's record comes while the span is current, with the exception and the tool's name.
"""

from __future__ import annotations

import logging
import traceback

from livekit.agents.log import logger as livekit_logger
from opentelemetry import trace
from opentelemetry.sdk.trace import Span as SdkSpan

from tracing import names
from tracing.safe_text import get_logger

logger = get_logger(__name__)


class FailedTools(logging.Filter):
    """Lets every record pass, and copies the exception of a tool that failed."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let it pass; the log is the application's."""
        try:
            error = record.exc_info[1] if record.exc_info else None
            if error is not None:
                _tell(error, getattr(record, "function", None))
        except Exception:
            logger.debug("a tool's exception could not be told", exc_info=True)
        return True


def know_failed_tools() -> None:
    """Let the exceptions of tools be known; once."""
    if not any(isinstance(found, FailedTools) for found in livekit_logger.filters):
        livekit_logger.addFilter(FailedTools())


def _tell(error: BaseException, tool: object) -> None:
    """Put the exception where LiveKit puts those of its own spans.

    The current span may be a tool's also where something that the tool began has failed.
    """
    span = trace.get_current_span()
    if not isinstance(span, SdkSpan) or span.name != names.FUNCTION_TOOL:
        return
    if tool is None or tool != (span.attributes or {}).get(names.TOOL_NAME):
        return
    told = {
        names.EXCEPTION_TYPE: type(error).__name__,
        names.EXCEPTION_MESSAGE: str(error),
        names.STACKTRACE: "".join(traceback.format_exception(error)),
    }
    span.set_attributes(told)
    span.add_event(names.EVENT_EXCEPTION, told)
