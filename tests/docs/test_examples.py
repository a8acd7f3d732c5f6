"""Each of `examples/` serves a call of a real worker, and its trace is what its reader expects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.docs.offline_example import LINES, NUMBER
from tests.docs.openai_server import OpenAIServer
from tests.fakes import ROOT, until
from tests.langfuse_server import LangfuseServer
from tracing.calls.describe import describe
from tracing.calls.transcribe import transcribe
from tracing.calls.tree import Tree
from tracing.span import Span
from tracing.store.store import Store

_LIMIT_SECONDS = 150


def test_every_example_is_run() -> None:
    """A new one needs lines for its caller, and what is expected of it."""
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == LINES.keys()


def served(name: str, directory: Path, **environ: str) -> Tree:
    """The one call of an example, as the local store has it."""
    settings = {"TRACING_BACKEND": "local", "TRACING_DIR": str(directory), **environ}
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.offline_example", name],
        env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
        capture_output=True,
        text=True,
        timeout=_LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return Tree(until(lambda: whole_call(directory), _LIMIT_SECONDS))


def whole_call(directory: Path) -> list[Span]:
    """The spans of the only call that is kept; none while some of them are on their way."""
    with Store(directory / "calls.db", read_only=True) as store:
        spans = [span for call in store.calls() for span in store.spans(call.trace_id)]
    assert len({span.trace_id for span in spans}) <= 1
    return [] if any(span.is_open for span in spans) else spans


def said(tree: Tree) -> list[tuple[Any, ...]]:
    """The conversation without its times: who, and what was said, called, or handed over."""
    told = {
        "user": ("text",),
        "agent": ("text",),
        "tool": ("name", "arguments", "output"),
        "handoff": ("from", "to"),
    }
    return [
        (entry["kind"], *(entry.get(key) for key in told[entry["kind"]]))
        for entry in transcribe(tree)["entries"]
    ]


def above(span: Span, spans: Mapping[bytes, Span]) -> Iterator[str]:
    """The names of the spans above one, the nearest first."""
    while span.parent_span_id:
        span = spans[span.parent_span_id]
        yield span.name


def test_minimal(tmp_path: Path) -> None:
    """Two replies, each with its latency, in one trace with one root."""
    tree = served("minimal", tmp_path)
    assert said(tree) == [
        ("user", "Good evening."),
        ("agent", "Good evening. What can I do?"),
        ("user", "Thank you."),
        ("agent", "You are welcome."),
    ]
    assert [span.name for span in tree.spans if not span.parent_span_id] == ["job_entrypoint"]
    call = describe(tree)
    assert [turn["kind"] for turn in call["turns"]] == ["reply", "reply"]
    for turn in call["turns"]:
        assert sum(turn["parts"].values()) == pytest.approx(turn["user_bot_latency_seconds"])


def test_realtime(tmp_path: Path) -> None:
    """What the model heard and said, its tool, and the call's tokens of each modality."""
    tree = served("realtime", tmp_path)
    assert said(tree) == [
        ("user", "When are you open?"),
        (
            "tool",
            "opening_hours",
            '{"day": "Sunday"}',
            "On Sunday the museum is open from ten to six.",
        ),
        ("agent", "On Sunday from ten to six."),
    ]
    call = describe(tree)
    [turn] = call["turns"]
    assert [tool["name"] for tool in turn["tools"]] == ["opening_hours"]
    [usage] = call["summary"]["usage"]
    assert (usage["output_audio_tokens"], usage["output_text_tokens"]) == (2 * 59, 2 * 20)


def test_own_spans(tmp_path: Path) -> None:
    """The span and the client's call are below the turn's tool, here and in Langfuse, once."""
    with LangfuseServer() as langfuse, OpenAIServer("The soup is praised.") as openai:
        tree = served(
            "own_spans",
            tmp_path,
            TRACING_BACKEND="local,langfuse",
            LANGFUSE_PUBLIC_KEY=langfuse.settings["public_key"],
            LANGFUSE_SECRET_KEY=langfuse.settings["secret_key"],
            LANGFUSE_BASE_URL=langfuse.url,
            OPENAI_BASE_URL=openai.url,
            OPENAI_API_KEY="sk-openai-test",
        )
        assert said(tree) == [
            ("user", "Is the Anchor any good?"),
            ("tool", "ask_the_guests", '{"restaurant": "The Anchor"}', "The soup is praised."),
            ("agent", "They praise the soup."),
        ]
        spans = {span.span_id: span for span in tree.spans}
        for name in ("find reviews", "OpenAI-generation"):
            [own] = [span for span in tree.spans if span.name == name]
            assert [*above(own, spans)][:2] == ["function_tool", "agent_turn"]
        versions = [span.name for span in langfuse.versions]
        assert [versions.count(name) for name in ("find reviews", "OpenAI-generation")] == [1, 1]
        [asked] = openai.asked
        assert asked["messages"][0]["content"].startswith("Sum up:\nThe Anchor has the best soup")


def test_telephone(tmp_path: Path) -> None:
    """Greeting, message, outcome; a pseudonym for the caller, and the number nowhere."""
    tree = served("telephone", tmp_path, CALLER_KEY="a key of ours")
    assert said(tree) == [
        ("agent", "Doctor Lee's surgery, good morning."),
        ("user", "Please call me back on [number]."),
        ("tool", "take_message", '{"message": "call back [number]"}', "The message is noted."),
        ("agent", "The doctor will call [number]."),
    ]
    call = describe(tree)
    assert [turn["kind"] for turn in call["turns"]] == ["greeting", "reply"]
    assert call["summary"]["budget_seconds"] == 1.5
    assert call["user_id"] == "caller-0c422f09e5576062"
    [root] = [span for span in tree.spans if not span.parent_span_id]
    assert root.attributes["call.outcome"] == "success"
    kept = [json.dumps([span.name, *map(str, span.attributes.values())]) for span in tree.spans]
    assert [text for text in kept if NUMBER.lstrip("+") in text or "12 34 56" in text] == []


def test_handoff(tmp_path: Path) -> None:
    """The tool, who handed over to whom, and the second agent's own tool."""
    tree = served("handoff", tmp_path)
    assert said(tree) == [
        ("user", "My brake squeaks."),
        ("tool", "transfer_to_workshop", "{}", "Handing over to the workshop."),
        ("handoff", "shop", "workshop"),
        ("agent", "The workshop can help."),
        ("user", "When can I come?"),
        ("tool", "next_appointment", "{}", "Thursday at nine."),
        ("agent", "Come on Thursday at nine."),
    ]
    [first, second] = describe(tree)["turns"]
    assert [tool["name"] for tool in first["tools"]] == ["transfer_to_workshop"]
    assert [tool["name"] for tool in second["tools"]] == ["next_appointment"]
