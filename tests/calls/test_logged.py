"""Log lines on the axis of a call, each with its turn."""

from __future__ import annotations

from tests.view.calls import TOOLS, only_call
from tracing import names
from tracing.calls.logged import logged
from tracing.log_line import LogLine


def test_line_is_in_the_turn_whose_span_was_open() -> None:
    """Else in the one that was going on; else in none."""
    tree = only_call(TOOLS).tree
    turn = tree.named(names.AGENT_TURN)[1]
    tool = next(span for span in tree.spans if span.name == names.FUNCTION_TOOL)
    own = next(t for t in tree.named(names.AGENT_TURN) if tool in tree.inside(t))

    def line(span_id: bytes, at: int, level: int, **changes: object) -> LogLine:
        plain = LogLine(turn.trace_id, span_id, at, level, "", "my.app", "late")
        return plain._replace(**changes)

    root, start = tree.spans[0], tree.start_time_unix_nano
    lines = [
        line(root.span_id, start - 5, 20, level_name="INFO"),
        line(
            tool.span_id, tool.start_time_unix_nano, 50, exception_type="E", exception_message="m"
        ),
        line(root.span_id, turn.start_time_unix_nano + 1, 30, exception_stacktrace="at"),
    ]
    place = {"logger": "my.app", "text": "late"}
    after = (tool.start_time_unix_nano - start) / 1e9
    assert list(logged(tree, lines)) == [
        {"at": 0.0, "kind": "info", "level": "INFO", **place},
        {
            "at": after,
            "kind": "error",
            "level": "",
            **place,
            "error": "E: m",
            "turn": own.attributes["turn.number"],
        },
        {
            "at": (turn.start_time_unix_nano + 1 - start) / 1e9,
            "kind": "warning",
            "level": "",
            **place,
            "stack": "at",
            "turn": turn.attributes["turn.number"],
        },
    ]
