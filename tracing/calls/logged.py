"""What was logged in a call, on the axis of its lanes, each line with its turn."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from tracing import names, stamps
from tracing.calls.tree import Tree, known
from tracing.log_line import LogLine
from tracing.span import Span


def logged(tree: Tree, lines: Iterable[LogLine]) -> Iterator[dict[str, Any]]:
    """The lines as marks, by time.

    Each has `at` (seconds since the start of the call), `kind` (`info`, `warning`, `error`),
    `level`, `logger` and `text`; `error` and `stack` where an exception was logged; and `turn`,
    the number of the turn whose span was open, or in whose time it was logged.
    """
    turns = tree.named(names.AGENT_TURN)
    by_span = {span.span_id: turn for turn in turns for span in (turn, *tree.inside(turn))}
    for line in lines:
        turn = by_span.get(line.span_id) or _turn_at(turns, line.time_unix_nano)
        raised = ": ".join(filter(None, (line.exception_type, line.exception_message)))
        yield known(
            {
                "at": max(0.0, (line.time_unix_nano - tree.start_time_unix_nano) / 1e9),
                "kind": _kind(line.level),
                "level": line.level_name,
                "logger": line.logger,
                "text": line.message,
                "error": raised or None,
                "stack": line.exception_stacktrace or None,
                "turn": turn.attributes.get(stamps.TURN_NUMBER) if turn is not None else None,
            }
        )


def _turn_at(turns: Iterable[Span], unix_nano: int) -> Span | None:
    """The turn that was going on."""
    for turn in turns:
        until = turn.end_time_unix_nano or unix_nano
        if turn.start_time_unix_nano <= unix_nano <= until:
            return turn
    return None


def _kind(level: int) -> str:
    if level >= logging.ERROR:
        return "error"
    return "warning" if level >= logging.WARNING else "info"
