"""All that lists, reports and searches need of a call, from its spans at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from tracing.calls.describe import describe
from tracing.calls.rows import call_row
from tracing.calls.transcribe import Line, said_lines, transcribe
from tracing.calls.tree import Tree
from tracing.span import Span


class Facts(NamedTuple):
    """One call: as the report has it, as a row of the list, and the lines that were said."""

    call: dict[str, Any]
    row: dict[str, Any]
    lines: list[Line]


def facts_of(spans: Iterable[Span]) -> Facts:
    """The facts of the call that has these spans."""
    tree = Tree(spans)
    call = describe(tree)
    return Facts(call, call_row(call, tree.spans), said_lines(transcribe(tree)))
