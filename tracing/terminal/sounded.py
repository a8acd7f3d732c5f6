"""What was measured of a turn's sound, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracing.terminal.cells import counted, plain, seconds

_SHORTEST_SECONDS = 0.05
"""What is shorter is not worth a line."""


def sounded(turn: Mapping[str, Any]) -> Iterator[str]:
    """A line for each thing that a reader should know of it."""
    if "speech_tail_seconds" in turn and "voice_lead_in_seconds" in turn:
        tail, lead_in = turn["speech_tail_seconds"], turn["voice_lead_in_seconds"]
        yield f"speech tail {seconds(tail)}, voice's lead-in {seconds(lead_in)}"
    if turn.get("heard_silences"):
        longest = seconds(turn.get("heard_longest_silence_seconds"))
        yield f"{counted(turn['heard_silences'], 'silence')} within it, of {longest} at most"
    if "heard_after_barge_in_seconds" in turn:
        yield f"sounded on for {seconds(turn['heard_after_barge_in_seconds'])} after the barge-in"
    elif turn.get("heard_overlap_seconds", 0.0) > _SHORTEST_SECONDS:
        yield f"both sounded for {seconds(turn['heard_overlap_seconds'])}"
    for who in ("caller", "agent"):
        if turn.get(f"{who}_clipped_seconds"):
            yield f"{who} clipped for {seconds(turn[f'{who}_clipped_seconds'])}"
    if "heard_reason" in turn:
        yield plain(turn["heard_reason"])
