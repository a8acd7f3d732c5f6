"""All that lists, reports, searches and pages need of a call, from its spans at once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

from tracing import names, stamps
from tracing.calls.describe import describe
from tracing.calls.lanes import lanes
from tracing.calls.rows import call_row
from tracing.calls.transcribe import Line, said_lines, transcribe
from tracing.calls.tree import Tree
from tracing.span import Span


class Told(NamedTuple):
    """What is told of a call in plain values, for who has no need of its spans."""

    call: dict[str, Any]
    """As the report has it (see `describe`)."""
    row: dict[str, Any]
    """As a list has it (see `call_row`)."""
    shown: dict[str, Any]
    """What its page has beside these (see `Facts.shown`)."""


class Facts:
    """The facts of the call that has these spans, each made when it is first asked for."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self.tree = Tree(spans)

    @cached_property
    def call(self) -> dict[str, Any]:
        """The call as the report has it."""
        return describe(self.tree)

    @cached_property
    def row(self) -> dict[str, Any]:
        """The call as a row of a list."""
        return call_row(self.call, self.tree.spans)

    @cached_property
    def lines(self) -> list[Line]:
        """What was said, line by line."""
        return said_lines(transcribe(self.tree))

    @cached_property
    def shown(self) -> dict[str, Any]:
        """What a page shows beside the report.

        `lanes` (see `lanes`); `livekit`: its version, "" where unknown; `recording`: the
        attributes that tell of a recording, none where no span does.
        """
        return {
            "lanes": lanes(self.tree),
            "livekit": next((s.scope_version for s in self.tree.spans if _is_livekits(s)), ""),
            "recording": _recording(self.tree.spans),
        }

    @property
    def told(self) -> Told:
        """All of it that its page shows."""
        return Told(self.call, self.row, self.shown)


def _is_livekits(span: Span) -> bool:
    return span.scope_name == names.SCOPE and bool(span.scope_version)


def _recording(spans: Iterable[Span]) -> dict[str, Any]:
    told = next((s.attributes for s in spans if stamps.RECORDING_PATH in s.attributes), {})
    return {key: value for key, value in told.items() if key.startswith(stamps.RECORDING)}
