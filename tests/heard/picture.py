"""The picture of docs/latency.md: `python -m tests.heard.picture`.

Runs the demo's call with a recording (half a minute, without account or network) and draws one of
its replies: both sides' sound, and between them what is heard as tail, account and lead-in.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.fakes import ROOT
from tracing.calls.tree import Tree
from tracing.heard.loudness import STEPS_PER_SECOND, Loudness, decibels
from tracing.heard.recording_file import loudness_of
from tracing.places import data_directory
from tracing.store.store import Store

PICTURE = ROOT / "docs" / "pictures" / "heard.svg"
TURN = 3
WIDTH, HEIGHT, MARGIN = 960, 250, 70
QUIET_DB = -60.0
COLOURS = {"tail": "#b3261e", "account": "#4d545e", "lead-in": "#b3261e"}


def main() -> int:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            [sys.executable, "agent_entry.py", "demo", "--record", "--turns", "2"],
            cwd=ROOT,
            env={**os.environ, "TRACING_DIR": directory, "TRACING_BACKEND": "local"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        PICTURE.write_text(drawn(data_directory(Path(directory))))
    return 0


def drawn(directory: Path) -> str:
    """The turn's picture from the latest call beside a store."""
    with Store(directory / "calls.db", read_only=True) as store:
        tree = Tree(store.spans(next(store.calls()).trace_id))
    told = next(s.attributes for s in tree.spans if "recording.started_at" in s.attributes)
    turn = next(s.attributes for s in tree.named("agent_turn") if _number(s.attributes) == TURN)
    channels = loudness_of(Path(str(told["recording.path"])))
    parts = list(_parts(turn))
    began = float(str(told["recording.started_at"]))
    first = float(str(turn["turn.agent_started_speaking_at"])) - began + parts[2][1]
    last = first - sum(seconds for _, seconds in parts)
    return "\n".join(_svg(channels, parts, last))


def _number(attributes: Mapping[str, Any]) -> Any:
    return attributes.get("turn.number")


def _parts(turn: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    yield "tail", float(turn["turn.speech_tail_seconds"])
    yield "account", float(turn["turn.user_bot_latency_seconds"])
    yield "lead-in", float(turn["turn.voice_lead_in_seconds"])


def _svg(
    channels: tuple[Loudness, Loudness], parts: list[tuple[str, float]], last: float
) -> Iterator[str]:
    whole = sum(seconds for _, seconds in parts)
    start, end = last - 1.2, last + whole + 1.2

    def x(at: float) -> float:
        return MARGIN + (at - start) / (end - start) * (WIDTH - MARGIN - 10)

    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">'
    )
    yield "<title>What was heard of a reply: tail, account and lead-in</title>"
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    for name, channel, middle in (("caller", channels[0], 45), ("agent", channels[1], 200)):
        yield f'<text x="8" y="{middle + 4}" fill="#171a1f">{name}</text>'
        yield f'<path fill="#0b5cad" d="{_wave(channel, start, end, x, middle)}"/>'
    at = last
    for name, seconds in parts:
        left, width = x(at), x(at + seconds) - x(at)
        yield (
            f'<rect x="{left:.1f}" y="105" width="{width:.1f}" height="22" '
            f'fill="{COLOURS[name]}"><title>{name} {seconds:.3f} s</title></rect>'
        )
        at += seconds
    for place in (last, last + whole):
        yield (
            f'<line x1="{x(place):.1f}" x2="{x(place):.1f}" y1="12" y2="238" stroke="#171a1f" '
            'stroke-dasharray="4 3"/>'
        )
    tail, account, lead_in = (f"{seconds:.2f} s" for _, seconds in parts)
    yield (
        f'<text x="{x(last + whole / 2):.1f}" y="98" text-anchor="middle">heard '
        f"{whole:.2f} s</text>"
    )
    yield (
        f'<text x="{x(last + whole / 2):.1f}" y="120" text-anchor="middle" fill="#fff">the '
        f"account: {account}</text>"
    )
    yield f'<text x="{x(last) - 4:.1f}" y="146" text-anchor="end" fill="#b3261e">tail {tail}</text>'
    yield (f'<text x="{x(last + whole) + 4:.1f}" y="146" fill="#b3261e">lead-in {lead_in}</text>')
    yield "</svg>\n"


def _wave(channel: Loudness, start: float, end: float, x: Any, middle: float) -> str:
    """A channel's loudness, both sides of its middle."""
    steps = range(round(start * STEPS_PER_SECOND), round(end * STEPS_PER_SECOND), 3)
    high = [
        max(0.0, (float(decibels(channel.power[step])) - QUIET_DB) / -QUIET_DB) * 36
        for step in steps
    ]
    places = [f"{x(step / STEPS_PER_SECOND):.1f}" for step in steps]
    above = [f"{place} {middle - size:.1f}" for place, size in zip(places, high, strict=True)]
    below = [f"{place} {middle + size:.1f}" for place, size in zip(places, high, strict=True)]
    return f"M{' L'.join([*above, *reversed(below)])}Z"


if __name__ == "__main__":
    sys.exit(main())
