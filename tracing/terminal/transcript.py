"""A conversation in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from tracing.calls.silence import ENDED_FIRST
from tracing.terminal.cells import BAD, DIM, TITLE, plain, seconds

_WHO = 8


def print_transcript(call: Mapping[str, Any], console: Console) -> None:
    """Print who said what when, and what LiveKit's reports of the call's sessions add."""
    started = datetime.fromisoformat(call["started_at"]).astimezone()
    title = plain(call.get("session_id", call["trace_id"]))
    caller = f" · {plain(call['user_id'])}" if "user_id" in call else ""
    console.print(Text(f"{title}{caller} · {started:%Y-%m-%d %H:%M:%S}", style=TITLE))
    for entry in call["entries"]:
        at = Text(f"{_clock(entry['at_seconds'])}  ", style=DIM)
        who = Text(f"{entry['kind']:<{_WHO}}", style=TITLE if entry["kind"] == "agent" else "")
        line = Text.assemble(at, who, *_words(entry))
        console.print(line, soft_wrap=True)
    for report in call.get("reports", ()):
        console.print(Text(_summary(report), style=DIM))


def _words(entry: Mapping[str, Any]) -> Iterator[Text]:
    if entry["kind"] == "handoff":
        yield Text(f"{plain(entry.get('from', '?'))} -> {plain(entry.get('to', '?'))}")
        return
    if entry["kind"] == "tool":
        yield Text(f"{plain(entry['name'])}({plain(entry.get('arguments', ''))})")
        if "output" in entry:
            style = BAD if entry.get("is_error") else ""
            yield Text(f" -> {plain(entry['output'])}", style=style)
        elif entry.get("is_unfinished"):
            yield Text(f" -> unfinished: {ENDED_FIRST}", style=BAD)
        if "duration_seconds" in entry:
            yield Text(f"  {seconds(entry['duration_seconds'])}", style=DIM)
        return
    yield Text(plain(entry["text"]))
    if "user_bot_latency_seconds" in entry:
        yield Text(f"  {seconds(entry['user_bot_latency_seconds'])}", style=DIM)
    if entry.get("interrupted"):
        yield Text("  interrupted", style=BAD)


def _clock(at_seconds: float) -> str:
    minutes, rest = divmod(max(at_seconds, 0.0), 60)
    return f"{int(minutes):3d}:{rest:04.1f}"


def _summary(report: Mapping[str, Any]) -> str:
    """One line of what LiveKit's report says of a session."""
    errors, tags = report.get("errors"), report.get("tags")
    counts = errors.items() if isinstance(errors, Mapping) else ()
    facts: Sequence[tuple[str, object]] = (
        ("closed", report.get("close_reason")),
        ("user turns", report.get("user_turns")),
        ("errors", ", ".join(f"{count} {stage}" for stage, count in counts if count)),
        ("tags", ", ".join(map(str, tags)) if isinstance(tags, list) else tags),
        ("recording", report.get("audio_recording_path")),
        ("livekit-agents", report.get("sdk_version")),
    )
    return " · ".join(f"{name} {plain(str(value))}" for name, value in facts if value)
