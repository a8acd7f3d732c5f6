"""Recorded calls as conversations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes import ROOT
from tracing.calls.transcribe import transcribe
from tracing.calls.tree import Tree
from tracing.otlp_json import read_spans

RECORDINGS = ROOT / "tests" / "recordings"
VERSIONS = sorted(path.name for path in RECORDINGS.glob("1.*"))


def conversation(path: Path) -> list[tuple[Any, ...]]:
    """Who said or did what, in order."""
    entries = transcribe(Tree(read_spans(path)))["entries"]
    assert [e["at_seconds"] for e in entries] == sorted(e["at_seconds"] for e in entries)
    return [
        (entry["kind"], *(entry[key] for key in ("text", "name", "output", "to") if key in entry))
        for entry in entries
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_call_with_tools(version: str) -> None:
    """What was said before a tool, the tool with its result, what was said after it."""
    told = conversation(RECORDINGS / version / "tools.json")
    assert told[:3] == [
        ("user", "What is the weather in Oslo?"),
        ("tool", "get_weather", "Sunny, 21 degrees in Oslo."),
        ("agent", "It is sunny in Oslo."),
    ]
    assert sorted(told[3:]) == [
        ("agent", "Let me book it."),
        ("agent", "Sorry, I could not book a table."),
        ("tool", "book_table", "An internal error occurred"),
        ("user", "Book a table for two."),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_said_after_a_tool_comes_after_what_was_said_before(version: str) -> None:
    """Each text when it was begun to be spoken, although the tool ran before there was sound."""
    entries = transcribe(Tree(read_spans(RECORDINGS / version / "tools.json")))["entries"]
    at = {entry["text"]: entry["at_seconds"] for entry in entries if entry["kind"] == "agent"}
    waited = at["Sorry, I could not book a table."] - at["Let me book it."]
    assert waited == pytest.approx(0.54, abs=0.1)


def test_a_handoff() -> None:
    """Who handed over to whom."""
    entries = transcribe(Tree(read_spans(RECORDINGS / "1.8.9" / "handoff.json")))["entries"]
    (handoff,) = [entry for entry in entries if entry["kind"] == "handoff"]
    assert (handoff["from"], handoff["to"]) == ("restaurant", "billing")


def test_an_interruption_and_the_latency() -> None:
    """A reply that was cut says so; an answer says how long the user waited for it."""
    entries = transcribe(Tree(read_spans(RECORDINGS / "1.8.9" / "interruption.json")))["entries"]
    replies = [entry for entry in entries if entry["kind"] == "agent"]
    assert [entry.get("interrupted", False) for entry in replies] == [True, False]
    assert [entry["turn"] for entry in replies] == [1, 2]
    assert all(0.1 < entry["user_bot_latency_seconds"] < 1.0 for entry in replies)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_never_spoken_is_not_said(version: str) -> None:
    """A preemptive generation that was discarded leaves no words, of the user's neither."""
    assert conversation(RECORDINGS / version / "preemptive_discarded.json") == [
        ("user", "When do you open? On Sunday, I mean."),
        ("agent", "On Sunday we open at ten."),
    ]


def test_withheld_content_stays_out() -> None:
    """The tools are left."""
    told = conversation(RECORDINGS / "1.8.9" / "withheld.json")
    assert told == [("tool", "get_weather"), ("tool", "book_table")]


@pytest.mark.parametrize(
    "path", sorted(RECORDINGS.rglob("*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_recording_can_be_told(path: Path) -> None:
    """Whatever is missing in it."""
    told = transcribe(Tree(read_spans(path)))
    assert told["trace_id"]
    assert "started_at" in told
