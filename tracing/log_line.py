"""The log line as data: what was logged while a call ran, on its way to a backend."""

from __future__ import annotations

from typing import NamedTuple

from tracing.span import Attributes


class LogLine(NamedTuple):
    """One record of Python's logging, in the words of OpenTelemetry's log data model.

    The time is wall-clock nanoseconds since the Unix epoch. Ids are those of the span that was
    open; what a line does not have is empty, and `code_line` 0.
    """

    trace_id: bytes
    span_id: bytes
    time_unix_nano: int
    level: int
    """`logging`'s number: 30 for a warning."""
    level_name: str
    logger: str
    message: str
    exception_type: str = ""
    exception_message: str = ""
    exception_stacktrace: str = ""
    code_file: str = ""
    code_line: int = 0
    code_function: str = ""
    resource: Attributes = {}
