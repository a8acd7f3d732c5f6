"""Described calls as tables, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from rich.console import Console

from tests.described import CALL
from tracing.terminal.cells import plain
from tracing.terminal.report import print_report, to_json, write_csv, write_json

pytestmark = pytest.mark.usefixtures("utc")


def printed(calls: Sequence[Mapping[str, Any]], width: int = 100) -> str:
    """What a person would see, without the blanks at line ends."""
    file = io.StringIO()
    print_report(calls, Console(file=file, width=width, highlight=False))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_written_call_by_call_as_it_is_in_one(count: int) -> None:
    """To the last blank; each call is asked for when the one before has been written."""
    file = io.StringIO()
    written: list[int] = []

    def calls() -> Iterator[Mapping[str, Any]]:
        for _ in range(count):
            written.append(len(file.getvalue()))
            yield CALL

    write_json("calls", calls(), file)
    assert file.getvalue() == to_json({"calls": [CALL] * count}) + "\n"
    assert written == sorted(set(written))


def test_a_call_is_shown_turn_by_turn() -> None:
    """The golden page: the call, its turns, and what they add up to."""
    assert printed([CALL]).splitlines() == GOLDEN.strip("\n").splitlines()


GOLDEN = """
Call room/job · clinic · alice · 2026-10-09 10:00:00 · 1 min 23 s · 3 turns · task_completed
trace 4bf92f3577b34da6a3ce929d0e0e4736
#   Kind        Said                       Latency   Where it went          What happened
────────────────────────────────────────────────────────────────────────────────────────────────────
1   greeting    A: Hello, how can I       (0.41 s)   0.41 tts_first_audio
                help?
2   reply       U: What is the weather      0.80 s   0.30 turn_decision     tool get_weather 0.25 s
                in Oslo?                             0.40 llm_first_token   1 corrected transcript
                A: It is sunny in Oslo.              0.10 unaccounted       0.15 s gained by
                                                                            preemption
3   reply       U: Book a                 ! 1.30 s   0.30 turn_decision     barge-in after 1.20 s
                [red]table[/red].                    1.00 llm_first_token   (66% heard)
                A: Sorry, I could not                                       tool book failed after
                \\x1b[2Jbook a table, as                                     2.00 s: no line
                the line to the kitchen                                     llm error, 2 times:
                is…                                                         overloaded
                                                                            tts error
                                                                            1 fallback
                                                                            2 retried requests
4   discarded
! over the budget of 1 s · (…) first output of a turn that answers nobody · U user, A agent

In all: 1 call, 3 turns
  Within the budget of 1 s: 50% of 2 turns with a latency
  Barge-ins: 1 of 3 turns heard (33%)
  Speech recognition: confidence 0.90 in the mean
  1 fallback · 2 retried requests · 1 corrected transcript
  Errors: llm 2 · tts 1 · tool 1

Latency                                 Turns      p50      p95      max
────────────────────────────────────────────────────────────────────────
user to agent                               2   1.05 s   1.27 s   1.30 s
  turn_decision                             2   0.30 s   0.30 s   0.30 s
  llm_first_token                           2   0.70 s   0.97 s   1.00 s
  unaccounted                               1   0.10 s   0.10 s   0.10 s
first output, where nobody had spoken       1   0.41 s   0.41 s   0.41 s

Tool          Calls   Failed   Failure rate      p50      p95      max
──────────────────────────────────────────────────────────────────────
book              1        1           100%   2.00 s   2.00 s   2.00 s
get_weather       1        0             0%   0.25 s   0.25 s   0.25 s

Model     Provider   Used as   Input   cached   Output   Characters   Audio
───────────────────────────────────────────────────────────────────────────
gpt-4o    openai     LLM       1,300      100       60
sonic-2   cartesia   TTS                                        156   3.9 s
"""


@pytest.mark.parametrize("width", [80, 300])
def test_any_width_shows_every_latency(width: int) -> None:
    """Narrow terminals wrap texts, and never cut a number."""
    page = printed([CALL], width)
    assert all(number in page for number in ("(0.41 s)", "0.80 s", "! 1.30 s", "1,300"))
    assert max(map(len, page.splitlines())) <= width


def test_many_calls_get_a_line_each() -> None:
    """Beyond ten calls the page lists them instead of their turns."""
    page = printed([{**CALL, "session_id": f"call-{n}"} for n in range(11)], 130)
    lines = [line for line in page.splitlines() if "call-" in line]
    assert len(lines) == 11
    assert " ".join(lines[0].split()) == (
        "2026-10-09 10:00:00 call-0 clinic 1 min 23 s 3 1.05 s 1.27 s 50% llm 2 · tts 1 · tool 1"
    )
    assert "Book a" not in page
    assert "In all: 11 calls, 33 turns" in page


def test_a_call_of_which_little_is_known() -> None:
    """What is unknown is left out, not shown as zero."""
    page = printed([{"trace_id": "ab" * 16, "turns": [{"number": 1}]}])
    assert page.splitlines() == [
        f"Call {'ab' * 16} · 1 turn",
        f"trace {'ab' * 16}",
        "#   Kind   Said   Latency   Where it went   What happened",
        "─────────────────────────────────────────────────────────",
        "1",
        "",
        "",
        "In all: 1 call, 1 turn",
    ]


def test_no_calls_print_nothing() -> None:
    """An empty page is no table of nothing."""
    assert printed([]) == ""


def test_somebodys_text_cannot_act_on_the_terminal() -> None:
    """Escapes and marks that turn the text's direction are shown, line ends become blanks."""
    assert plain("a\x1b[31mb\r\nc\u202ed\x9be") == r"a\x1b[31mb c\u202ed\x9be"
    assert plain("x" * 30, 10) == "xxxxxxxxx…"


HOSTILE = "[bold]x[/bold] [/] :smile: \x1b]0;t\x07\x9b2J\u202e\x7f"
SHOWN = r"[bold]x[/bold] [/] :smile: \x1b]0;t\x07\x9b2J\u202e\x7f"
MOVES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def hostile(value: Any) -> Any:
    """The same, with every text in it by somebody who means harm; keys too, but known ones."""
    if isinstance(value, Mapping):
        return {key: hostile(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


def test_no_text_of_a_call_acts_on_the_terminal() -> None:
    """Markup, emoji codes and escapes in any cell, of one call's table and of many calls' list."""
    call = {**hostile(CALL), "trace_id": "ab" * 16}
    call["summary"] = {**call["summary"], "errors": {HOSTILE: 1}}
    call["turns"][0]["parts"] = {HOSTILE: 0.5}
    for calls in ([call], [call] * 11):
        page = printed(calls, 400)
        assert SHOWN in page
        assert MOVES.search(page) is None


def test_json_holds_no_control_characters() -> None:
    """Whoever prints it sees escapes, whoever reads it the text as it was."""
    text = to_json({HOSTILE: [HOSTILE, "Grüße 🎉 👩‍🍳"]})
    assert MOVES.search(text) is None
    assert "Grüße 🎉 👩‍🍳" in text
    assert json.loads(text) == {HOSTILE: [HOSTILE, "Grüße 🎉 👩‍🍳"]}


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_of_csv_is_a_formula(begin: str) -> None:
    """Texts that a spreadsheet would run begin with a quote, columns' names too; numbers do not."""
    turn = {"number": 1, "user_text": f"{begin}1+1", "parts": {"x": -0.5}, f"{begin}key": HOSTILE}
    file = io.StringIO()
    write_csv([{"trace_id": "t", "session_id": f"{begin}cmd|' /C calc'!A0", "turns": [turn]}], file)
    names, row = csv.reader(io.StringIO(file.getvalue()))
    cells = dict(zip(names, row, strict=True))
    shown = begin.replace("\r", "\\r")
    assert cells["session_id"] == f"'{shown}cmd|' /C calc'!A0"
    assert cells["user_text"] == f"'{shown}1+1"
    assert cells[f"'{shown}key"] == SHOWN
    assert cells["parts.x"] == "-0.5"


def test_a_row_of_csv_per_turn() -> None:
    """Identity first, groups as columns of their own, lists as JSON, the unknown empty."""
    file = io.StringIO()
    write_csv([CALL], file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert list(rows[0])[:12] == [
        "trace_id",
        "session_id",
        "user_id",
        "agent",
        "started_at",
        "number",
        "kind",
        "user_text",
        "agent_text",
        "user_bot_latency_seconds",
        "interrupted",
        "barged_in",
    ]
    assert [row["number"] for row in rows] == ["1", "2", "3", "4"]
    assert {key: value for key, value in rows[1].items() if value} == {
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "session_id": "room/job",
        "user_id": "alice",
        "agent": "clinic",
        "started_at": "2026-10-09T10:00:00+00:00",
        "number": "2",
        "kind": "reply",
        "user_text": "What is the weather in Oslo?",
        "agent_text": "It is sunny in Oslo.",
        "user_bot_latency_seconds": "0.8",
        "interrupted": "False",
        "barged_in": "False",
        "parts.turn_decision": "0.3",
        "parts.llm_first_token": "0.4",
        "parts.queue_wait": "0.0",
        "parts.unaccounted": "0.1",
        "agent_started_speaking_at": "2.0",
        "tools": '[{"name": "get_weather", "duration_seconds": 0.25, "is_error": false}]',
        "overlap_seconds": "0.15",
        "transcript_confidence": "0.9",
        "transcript_corrections": "1",
        "llm_input_tokens": "100",
    }


def test_csv_of_no_turns_has_its_header() -> None:
    """A spreadsheet opens it."""
    file = io.StringIO()
    write_csv([], file)
    assert file.getvalue() == "trace_id,session_id,user_id,agent,started_at\r\n"


def test_json_holds_no_nan() -> None:
    """NaN and the infinities are no JSON; what is no number is left out."""
    value = {"a": math.nan, "b": [1.5, math.inf], "c": {"d": -math.inf, "e": "Grüße"}}
    assert json.loads(to_json(value)) == {"b": [1.5], "c": {"e": "Grüße"}}
