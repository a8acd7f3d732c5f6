"""What a terminal shows: a turn's tables, and the summary in the log."""

from __future__ import annotations

import io
import json
import logging

import pytest
from livekit.agents import AgentSession
from rich.console import Console

from tests.sessions.accounts import Clerk
from tests.sessions.realtime import realtime_metrics
from tests.sessions.scripted import Said
from tests.sessions.spans import span
from tests.sessions.studio import Recorder, studio
from tracing.account.turns.facts import facts_of
from tracing.account.turns.turn import Turn, by_name
from tracing.observing import SummaryLog, _observed, observe
from tracing.terminal.turn_table import TurnTable, summary_table, turn_tables


async def test_the_summary_is_logged_and_the_tables_are_printed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After each turn its parts and its model's numbers; at the end the call's."""
    caplog.set_level(logging.INFO, logger="tracing.observing")
    out = io.StringIO()
    table = TurnTable(Console(file=out, width=80))

    def prepare(session: AgentSession, recorder: Recorder) -> None:
        observe(session)
        _observed[session]._watchers.append(table)

    async with studio(Clerk(), {"hello": Said("Good evening.")}, prepare=prepare) as running:
        await running.caller.say("hello")
        await running.until_heard("Good evening")
    table.close()
    printed = out.getvalue()
    for words in ("Turn 1 · reply", "tts_first_audio", "Prompt tokens", "latency_p95_seconds"):
        assert words in printed
    (told,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("call ended")]
    assert "turns=1" in told
    assert "close_reason=user_initiated" in told


def test_tables_of_a_realtime_turn_show_each_modality() -> None:
    """Tokens by audio, text, image, and cache."""
    told = realtime_metrics("r", 1.0, 0.15).model_dump_json()
    inference = span("realtime_inference", 0, 9, {"lk.realtime_model_metrics": told})
    turn = Turn(span("agent_turn", 0, 9), by_name([inference]))
    stamps = {"turn.number": 1, "turn.kind": "reply", "turn.over_budget": True, **facts_of(turn)}
    own, realtime = turn_tables(turn, stamps)
    assert own.title == "Turn 1 · reply · over budget"
    labels = list(realtime.columns[0].cells)
    values = dict(zip(labels, realtime.columns[1].cells, strict=True))
    assert values["Model"] == "fake-realtime"
    assert (values["Input tokens"], values["Output tokens"]) == ("120", "80")
    assert labels.count("  audio") == 2
    assert values["Time to first audio token"] == "0.150 s"


USED = json.dumps(
    [
        {
            "type": "llm_usage",
            "provider": "openai",
            "model": "gpt",
            "input_tokens": 1200,
            "input_cached_tokens": 40,
            "output_tokens": 80,
        },
        {"type": "llm_usage", "model": "gpt", "purpose": "keyterm_detection", "input_tokens": 7},
        {"type": "stt_usage", "model": "nova", "audio_duration": 12.34},
    ]
)


def test_a_summary_is_a_table() -> None:
    """Each number by its name, and what each model used in a row."""
    told = {"call.turns": 3, "call.latency_p50_seconds": 0.51234, "call.usage": USED}
    table = summary_table(told)
    rows = zip(table.columns[0].cells, table.columns[1].cells, strict=True)
    assert list(rows) == [
        ("turns", "3"),
        ("latency_p50_seconds", "0.512"),
        ("LLM gpt", "1,200 in, 40 cached, 80 out"),
        ("LLM (keyterm detection) gpt", "7 in"),
        ("STT nova", "12.3 s"),
    ]


def test_no_text_acts_on_the_terminal() -> None:
    """Neither markup nor an escape sequence, in names and values."""
    out = io.StringIO()
    table = summary_table({"call.[red]x[/]": "[bold]y[/bold]\x1b[2J"})
    Console(file=out, width=80).print(table)
    assert "[red]x[/]" in out.getvalue()
    assert r"[bold]y[/bold]\x1b[2J" in out.getvalue()


def test_each_table_is_written_at_once() -> None:
    """So that no line of somebody else's log is inside one, nor one inside another's line."""
    written: list[str] = []

    class Terminal(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    table = TurnTable(Console(file=Terminal(), width=80))
    turn = Turn(span("agent_turn", 0, 9))
    table.turn_ended(turn, {"turn.number": 1, "turn.kind": "reply", **facts_of(turn)})
    table.session_ended({"call.turns": 3, "call.usage": USED})
    table.close()
    assert [text.splitlines()[0].strip() for text in written] == ["Turn 1 · reply", "Call"]
    assert all(text.endswith("╯\n") for text in written)


def test_the_log_of_a_summary_waits_for_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """One line, numbers rounded."""
    caplog.set_level(logging.INFO, logger="tracing.observing")
    told = {"call.turns": 3, "call.latency_p50_seconds": 0.51234, "call.usage": USED}
    SummaryLog().session_ended({**told, "call.recoverable_errors.stt": 2, "call.vad.count": 9})
    assert caplog.messages == [
        "call ended: turns=3 latency_p50_seconds=0.512 usage=[LLM gpt: 1,200 in, 40 cached, 80 out;"
        " LLM (keyterm detection) gpt: 7 in; STT nova: 12.3 s] recoverable_errors.stt=2"
    ]
