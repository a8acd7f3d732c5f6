"""A trace as a person sees it in Langfuse, as text for the golden files.

One line per observation, times and numbers that change from run to run left out; what the page
hides by default (level DEBUG) is one line with a dot.
"""

from __future__ import annotations

import json
from typing import Any

from .langfuse_rules import Shown, Trace

WIDTH = 150


def picture(trace: Trace) -> str:
    """Draw a trace."""
    lines = [
        f"trace {trace.name!r}, level {trace.level}, {trace.total_tokens:g} tokens, "
        f"${trace.total_cost:.7f}",
        f"  environment {trace.environment}, release {trace.release}, version {trace.version}, "
        f"tags {', '.join(trace.tags) or '-'}, user {trace.user_id}",
        f"  in  {_short(trace.input)}",
        f"  out {_short(trace.output)}",
    ]
    return "\n".join([*lines, *_below(trace, "", 1)]) + "\n"


def _below(trace: Trace, parent: str, depth: int) -> list[str]:
    known = {shown.id for shown in trace.observations}
    children = [
        shown
        for shown in trace.observations
        if (shown.parent if shown.parent in known else "") == parent
    ]
    lines: list[str] = []
    for shown in sorted(children, key=lambda child: child.span.start_time_unix_nano):
        lines += [f"{'  ' * depth}{line}" for line in _lines(shown)]
        lines += _below(trace, shown.id, depth + 1)
    return lines


def _lines(shown: Shown) -> list[str]:
    if shown.level == "DEBUG":
        return [f". {shown.name}" + (f" [{shown.type}]" if shown.type != "SPAN" else "")]
    head = f"{shown.name} [{shown.type}]"
    if shown.level != "DEFAULT":
        head += f" {shown.level}"
    if shown.status_message:
        head += f" ({shown.status_message})"
    if shown.model:
        head += f" {shown.model}"
    if shown.completion_start:
        head += " first-output"
    if shown.metadata.get("preemptive"):
        head += " preemptive"
    lines = [head]
    if shown.usage:
        used = ", ".join(f"{key} {count:g}" for key, count in sorted(shown.usage.items()))
        lines.append(f"    used {used}; ${shown.total_cost:.7f}")
    lines += [
        f"    {label} {_short(value)}"
        for label, value in (("in ", shown.input), ("out", shown.output))
        if value is not None
    ]
    return lines


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.replace("\n", "\\n").rstrip()
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
