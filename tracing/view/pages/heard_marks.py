"""What was heard of a turn, as marks: on its bar beyond the account, on the waveforms, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracing.calls.totals import HEARD_LATENCY, LATENCY
from tracing.view.charts import percent


def heard_wait(turn: Mapping[str, Any]) -> float:
    """How far a turn's bar and its mark reach; 0.0 where nothing was measured."""
    return float(turn.get(HEARD_LATENCY, 0.0))


def on_bar(turn: Mapping[str, Any], scale: float) -> dict[str, str] | None:
    """The line from the end of the account to what was heard; None where that is not known."""
    if HEARD_LATENCY not in turn or LATENCY not in turn:
        return None
    return {
        "x1": percent(turn[LATENCY], scale),
        "x2": percent(turn[HEARD_LATENCY], scale),
        "title": in_words(turn),
    }


def on_waves(
    turns: Sequence[Mapping[str, Any]], starts: Mapping[Any, float], end: float
) -> Iterator[dict[str, str]]:
    """From the caller's last sound to the agent's first, at their places in the call."""
    for turn in turns:
        sound = starts.get(turn.get("number"))
        if sound is None or HEARD_LATENCY not in turn:
            continue
        first = sound + turn.get("voice_lead_in_seconds", 0.0)
        yield {
            "x": percent(first - turn[HEARD_LATENCY], end),
            "end": percent(first, end),
            "title": in_words(turn),
        }


def in_words(turn: Mapping[str, Any]) -> str:
    """The sum of what was heard: `heard 0.94 s: 0.11 tail + 0.80 account + 0.03 lead-in`."""
    parts = (
        ("speech_tail_seconds", "tail"),
        (LATENCY, "account"),
        ("voice_lead_in_seconds", "lead-in"),
    )
    told = [f"{turn[key]:.2f} {word}" for key, word in parts if key in turn]
    return f"heard {turn[HEARD_LATENCY]:.2f} s: {' + '.join(told)}"


def notes(turn: Mapping[str, Any]) -> list[str]:
    """What makes a turn sound broken, and why something of its sound is not known."""
    found = []
    if "heard_longest_silence_seconds" in turn:
        found.append(f"silent for {turn['heard_longest_silence_seconds']:.1f} s")
    if "heard_after_barge_in_seconds" in turn:
        found.append(f"went on for {turn['heard_after_barge_in_seconds']:.2f} s")
    if turn.get("caller_clipped_seconds") or turn.get("agent_clipped_seconds"):
        found.append("clipped")
    return [*found, *([turn["heard_reason"]] if "heard_reason" in turn else [])]
