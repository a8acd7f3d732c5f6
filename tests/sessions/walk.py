"""What holds of every turn of every session, whatever it was made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import pytest
from livekit.agents import llm

from tracing.account.restamp import is_stamped, restamp
from tracing.calls.describe import describe
from tracing.calls.lanes import lanes
from tracing.calls.transcribe import transcribe
from tracing.calls.tree import Tree
from tracing.span import Span

UNACCOUNTED_SECONDS = 0.02
SUM_SECONDS = 0.001


def walk(
    spans: Sequence[Span],
    history: Iterable[llm.ChatItem],
    stalled: Callable[[float, float], float],
    *,
    times_tell_the_order: bool = True,
) -> None:
    """Check a session's spans against each other, and against its own history.

    Its turns are each there once, with parts that add up and leave little unexplained; what was
    said is in the report and in the transcript once, as the history has it; all is told by what
    was stamped meanwhile. `stalled` tells how many seconds of a stretch of time the machine stood
    still, which no stage can claim. Not `times_tell_the_order`: much ends in one instant.
    """
    if not any(span.name == "agent_turn" for span in spans):
        return
    turns = describe(Tree(spans))["turns"]
    begun = sum(span.name == "agent_turn" for span in spans)
    numbers = [turn["number"] for turn in turns if turn["kind"] != "unanswered"]
    assert sorted(numbers) == numbers
    assert len(set(numbers)) == begun
    for turn in turns:
        _adds_up(turn, stalled)
    _says_what_was_said(spans, turns, [item for item in history if item.type == "message"])
    if times_tell_the_order:
        _needs_no_stamps(spans)


def _needs_no_stamps(spans: Sequence[Span]) -> None:
    """To stamp a call again, whose spans have all ended, tells its readers nothing else."""
    assert is_stamped(spans) == all(span.end_time_unix_nano for span in spans)
    again = restamp(spans)
    for told in (describe, lanes, transcribe):
        assert told(Tree(spans)) == told(Tree(again)), told.__name__


def _adds_up(turn: dict, stalled: Callable[[float, float], float]) -> None:
    parts = turn.get("parts", {})
    whole = turn.get("user_bot_latency_seconds", turn.get("first_output_seconds"))
    assert (whole is None) == (not parts)
    if parts:
        assert sum(parts.values()) == pytest.approx(whole, abs=SUM_SECONDS)
        assert min(parts.values()) >= 0
        heard = turn["agent_started_speaking_at"]
        allowed = UNACCOUNTED_SECONDS + stalled(heard - whole, heard)
        assert parts.get("unaccounted", 0.0) < allowed, parts


def _says_what_was_said(
    spans: Sequence[Span], turns: Sequence[dict], messages: Sequence[llm.ChatMessage]
) -> None:
    entries = transcribe(Tree(spans))["entries"]
    said = {role: _words(m.text_content for m in messages if m.role == role) for role in _ROLES}
    written = {
        role: _words(entry["text"] for entry in entries if entry["kind"] == kind)
        for role, kind in _ROLES.items()
    }
    reported = {
        role: _words(turn.get(key) for turn in turns)
        for role, key in (("user", "user_text"), ("assistant", "agent_text"))
    }
    assert written["assistant"] == said["assistant"]
    assert _joined(reported["assistant"]) == _joined(said["assistant"])
    assert written["user"] == reported["user"]
    in_vain = _words(turn["user_text"] for turn in turns if turn["kind"] == "unanswered")
    if said["user"] and written["user"]:  # a realtime model's are in the history or observed
        assert not written["user"] - said["user"] - in_vain
        assert not said["user"] - written["user"]


_ROLES = {"user": "user", "assistant": "agent"}
"""The roles of the history, and what the transcript calls them."""


def _words(texts: Iterable[str | None]) -> Counter[str]:
    return Counter(" ".join(text.split()) for text in texts if text and text.strip())


def _joined(texts: Counter[str]) -> Counter[str]:
    """The same word by word, where the texts of several steps are one."""
    return Counter(word for text in texts.elements() for word in text.split())
