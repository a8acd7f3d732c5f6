"""Described calls as tables, CSV and JSON, and compared."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tracing.otlp_json import dumps
from tracing.read.compare import compare, rank_sum_p
from tracing.read.selection import ChoiceError, Side, choose, parse_time
from tracing.read.sources import Recording, load_calls
from tracing.read.totals import overall
from tracing.span import Span
from tracing.terminal.cells import plain
from tracing.terminal.comparison import print_comparison
from tracing.terminal.report import print_report, to_json, write_csv

GREETING = {
    "number": 1,
    "kind": "greeting",
    "agent_text": "Hello, how can I help?",
    "first_output_seconds": 0.41,
    "parts": {"tts_first_audio": 0.41},
    "interrupted": False,
    "barged_in": False,
    "agent_started_speaking_at": 1.0,
}
REPLY = {
    "number": 2,
    "kind": "reply",
    "user_text": "What is the weather in Oslo?",
    "agent_text": "It is sunny in Oslo.",
    "user_bot_latency_seconds": 0.8,
    "parts": {"turn_decision": 0.3, "llm_first_token": 0.4, "queue_wait": 0.0, "unaccounted": 0.1},
    "interrupted": False,
    "barged_in": False,
    "agent_started_speaking_at": 2.0,
    "tools": [{"name": "get_weather", "duration_seconds": 0.25, "is_error": False}],
    "overlap_seconds": 0.15,
    "transcript_confidence": 0.9,
    "transcript_corrections": 1,
    "llm_input_tokens": 100,
}
SLOW = {
    "number": 3,
    "kind": "reply",
    "user_text": "Book a [red]table[/red].",
    "agent_text": "Sorry, I could not \x1b[2Jbook a table, as the line to the kitchen is dead.",
    "user_bot_latency_seconds": 1.3,
    "parts": {"turn_decision": 0.3, "llm_first_token": 1.0},
    "interrupted": True,
    "barged_in": True,
    "heard_seconds": 1.2,
    "heard_share": 0.66,
    "agent_started_speaking_at": 3.0,
    "tools": [{"name": "book", "duration_seconds": 2.0, "is_error": True, "error": "no line"}],
    "errors": [
        {"stage": "llm", "message": "overloaded"},
        {"stage": "llm", "message": "overloaded"},
        {"stage": "tool", "message": "tool_error"},
        {"stage": "tts"},
    ],
    "fallbacks": 1,
    "retries": 2,
    "llm_input_tokens": 200,
}
DISCARDED = {"number": 4, "kind": "discarded", "parts": {}}
CALL = {
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "session_id": "room/job",
    "user_id": "alice",
    "agent": "clinic",
    "started_at": "2026-10-09T10:00:00+00:00",
    "duration_seconds": 83.0,
    "summary": {
        "budget_seconds": 1.0,
        "errors": {"llm": 2, "tts": 1, "tool": 1},
        "close_reason": "task_completed",
        "usage": [
            {
                "type": "llm_usage",
                "provider": "openai",
                "model": "gpt-4o",
                "input_tokens": 1300,
                "input_cached_tokens": 100,
                "output_tokens": 60,
            },
            {
                "type": "tts_usage",
                "provider": "cartesia",
                "model": "sonic-2",
                "characters_count": 156,
                "audio_duration": 3.9,
            },
        ],
    },
    "turns": [GREETING, REPLY, SLOW, DISCARDED],
}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def printed(calls: Sequence[Mapping[str, Any]], width: int = 100) -> str:
    """What a person would see, without the blanks at line ends."""
    file = io.StringIO()
    print_report(calls, Console(file=file, width=width, highlight=False))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


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
                [2Jbook a table, as the                                     2.00 s: no line
                line to the kitchen is                                      llm error, 2 times:
                dea…                                                        overloaded
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
    """Escapes, carriage returns, and marks that turn the text's direction become blanks."""
    assert plain("a\x1b[31mb\r\nc\u202ed\x9be") == "a [31mb c d e"
    assert plain("x" * 30, 10) == "xxxxxxxxx…"


def test_the_numbers_of_all_calls() -> None:
    """Sums, rates and percentiles over calls; a discarded generation is no turn."""
    assert overall([CALL, {**CALL, "turns": [], "summary": {}}]) == {
        "calls": 2,
        "turns": 3,
        "budget_seconds": 1.0,
        "latency": {
            "count": 2,
            "p50_seconds": 1.05,
            "p95_seconds": 1.275,
            "max_seconds": 1.3,
            "within_budget_share": 0.5,
        },
        "parts": {
            "turn_decision": spread(2, 0.3, 0.3, 0.3),
            "llm_first_token": spread(2, 0.7, 0.97, 1.0),
            "queue_wait": spread(1, 0.0, 0.0, 0.0),
            "unaccounted": spread(1, 0.1, 0.1, 0.1),
        },
        "first_output": spread(1, 0.41, 0.41, 0.41),
        "heard_turns": 3,
        "barge_ins": 1,
        "barge_in_rate": 1 / 3,
        "tools": {
            "book": {"calls": 1, "failures": 1, "failure_rate": 1.0, **spread(0, 2.0, 2.0, 2.0)},
            "get_weather": {
                "calls": 1,
                "failures": 0,
                "failure_rate": 0.0,
                **spread(0, 0.25, 0.25, 0.25),
            },
        },
        "mean_transcript_confidence": 0.9,
        "fallbacks": 1,
        "retries": 2,
        "transcript_corrections": 1,
        "errors": {"llm": 2, "tts": 1, "tool": 1},
        "usage": CALL["summary"]["usage"],  # type: ignore[index]
    }


def spread(count: int, p50: float, p95: float, most: float) -> dict[str, Any]:
    """A spread to compare with; the percentiles of sums are not exact."""
    found = {
        "p50_seconds": pytest.approx(p50),
        "p95_seconds": pytest.approx(p95),
        "max_seconds": most,
    }
    return {"count": count, **found} if count else found


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


# Where calls come from

START = 1_760_000_000_000_000_000


def span(number: int, name: str = "agent_session", **attributes: Any) -> Span:
    """A span of call `number`, which starts that many hours after the first."""
    start = START + number * 3600 * 10**9
    trace_id = (0xAB00000000 + number).to_bytes(16, "little")
    return Span(trace_id, name[:8].encode().ljust(8), b"", name, start, start + 5, attributes)


def describe(spans: Sequence[Span]) -> dict[str, Any]:
    """A stand-in: a call's description is written on its first span."""
    described: dict[str, Any] = json.loads(str(spans[0].attributes.get("described", "{}")))
    if described.get("broken"):
        raise ValueError("broken")
    return {"trace_id": spans[0].trace_id.hex(), "turns": [], **described}


def recording(tmp_path: Path, *spans: Span) -> Recording:
    """A file that holds these spans."""
    path = tmp_path / "calls.jsonl"
    path.write_text("\n".join(dumps([found]) for found in spans), encoding="utf-8")
    return Recording([path])


def with_turns(**turn: Any) -> str:
    """What `describe` finds: a call of one turn."""
    return json.dumps({"turns": [{"kind": "reply", **turn}]})


def test_files_hold_calls_in_any_order(tmp_path: Path) -> None:
    """Spans are sorted, versions of a span become one, and other code's traces are left out."""
    ended, other = span(2), span(2, "llm_request", v=1)
    found = recording(
        tmp_path,
        other._replace(start_time_unix_nano=START + 3 * 3600 * 10**9),
        ended,
        ended._replace(end_time_unix_nano=0),
        span(5, "GET /"),
        span(1),
    )
    assert [call.started_unix_nano for call in found.calls()] == [
        START + 2 * 3600 * 10**9,
        START + 1 * 3600 * 10**9,
    ]
    assert found.spans(ended.trace_id.hex()) == [
        ended,
        other._replace(start_time_unix_nano=START + 3 * 3600 * 10**9),
    ]
    assert found.spans("00") == []


def test_the_last_calls_in_the_order_of_their_starts(tmp_path: Path) -> None:
    """`last` counts after the other filters; the page reads from old to new."""
    found = recording(tmp_path, *(span(n, **{"lk.agent_name": "ab"[n % 2]}) for n in range(6)))
    ids = [call["trace_id"] for call in load_calls(found, describe, last=2, agent="a")]
    assert ids == [span(2).trace_id.hex(), span(4).trace_id.hex()]


def test_a_call_that_cannot_be_described_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named with its error, and the others are shown."""
    found = recording(tmp_path, span(1, described='{"broken": true}'), span(2))
    assert load_calls(found, describe) == [{"trace_id": span(2).trace_id.hex(), "turns": []}]
    assert caplog.messages == [
        f"left out trace {span(1).trace_id.hex()}, cannot describe it: ValueError('broken')"
    ]


# Comparing


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-10-01", datetime(2026, 10, 1, tzinfo=timezone.utc)),
        ("2026-10-01T12:30", datetime(2026, 10, 1, 12, 30, tzinfo=timezone.utc)),
        ("2026-10-01T12:30:00Z", datetime(2026, 10, 1, 12, 30, tzinfo=timezone.utc)),
        ("2026-10-01T12:30+02:00", datetime(2026, 10, 1, 10, 30, tzinfo=timezone.utc)),
        ("2h", datetime(2026, 11, 20, 10, tzinfo=timezone.utc)),
        ("7d", datetime(2026, 11, 13, 12, tzinfo=timezone.utc)),
    ],
)
def test_times_a_person_writes(text: str, moment: datetime) -> None:
    """Dates and times are local unless they say otherwise; `2h` is two hours ago."""
    assert parse_time(text, now=datetime(2026, 11, 20, 12, tzinfo=timezone.utc)) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "999999w"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """The message shows how to write one."""
    with pytest.raises(ChoiceError) as caught:
        parse_time(text)
    assert str(caught.value) == (
        f"{text!r} is no time: write 2026-10-01, 2026-10-01T12:30, or 30m, 2h, 7d for that ago"
    )


@pytest.mark.parametrize(
    ("selector", "numbers"),
    [
        ("room-1", [1]),
        ("shared", [2, 3]),
        (span(2).trace_id.hex(), [2]),
        ("01000000AB", [1]),
        ("2025-10-09T10:30..2025-10-09T11:30", [2]),
        ("2025-10-09T10:30..", [2, 3]),
        ("..2025-10-09T10:30", [1]),
        ("preemptive_generation=true", [1]),
        ("preemptive_generation.enabled=false", [2]),
        ("call.options.llm_model=gpt-4o", [2]),
        ("service.version=1.2", [3]),
        ("agent=clinic", [3]),
        ("speed=fast", [1, 3]),
        ("speed=slow", [2]),
    ],
)
def test_a_side_is_a_call_a_time_or_an_attribute(
    tmp_path: Path, selector: str, numbers: list[int]
) -> None:
    """Session, trace, range, option, resource, description or turn choose the same way."""
    options = "call.options.preemptive_generation.enabled"
    source = recording(
        tmp_path,
        span(1, described=with_turns(n=1, speed="fast"), **{"session.id": "room-1", options: True}),
        span(
            2,
            described=with_turns(n=2, speed="slow"),
            **{"session.id": "shared", options: False, "call.options.llm_model": "gpt-4o"},
        ),
        span(
            3,
            described=json.dumps({"agent": "clinic", **json.loads(with_turns(n=3, speed="fast"))}),
            **{"session.id": "shared"},
        )._replace(resource={"service.version": "1.2"}),
    )
    side = choose(selector, source, list(source.calls()), describe)
    assert (side.selector, side.calls) == (selector, len(numbers))
    assert sorted(turn["n"] for turn in side.turns) == numbers
    assert side.budgets == [1.0] * len(numbers)


@pytest.mark.parametrize(
    ("selector", "problem"),
    [
        ("nobody", "nothing matches 'nobody': give a session id, the beginning of a trace id,"),
        ("kind=say", "nothing matches 'kind=say': give"),
        ("0", "nothing matches '0': give"),
        ("0000..x", "'0000' is no time: write"),
        ("0000000000ab", "nothing matches"),
    ],
)
def test_a_side_without_turns_is_refused(tmp_path: Path, selector: str, problem: str) -> None:
    """A slip of the pen is no comparison."""
    source = recording(tmp_path, span(1, described=with_turns()))
    with pytest.raises(ChoiceError) as caught:
        choose(selector, source, list(source.calls()), describe)
    assert str(caught.value).startswith(problem)


def test_an_ambiguous_trace_is_refused(tmp_path: Path) -> None:
    """Two traces that begin alike are not mixed up."""
    one = span(1)
    source = recording(tmp_path, one, one._replace(trace_id=one.trace_id[:15] + b"\xff"))
    with pytest.raises(ChoiceError) as caught:
        choose("01000000ab", source, list(source.calls()), describe)
    assert str(caught.value) == "2 traces begin with '01000000ab': give more of the id"


def side(selector: str, *turns: Mapping[str, Any]) -> Side:
    """Turns of one call."""
    return Side(selector, 1, list(turns), [1.0] * len(turns))


def replies(*latencies: float) -> list[dict[str, Any]]:
    """Replies of these latencies, all of them the LLM's."""
    return [
        {
            "kind": "reply",
            "user_bot_latency_seconds": latency,
            "parts": {"llm_first_token": latency, "queue_wait": 0.0},
            "llm_input_tokens": 10,
        }
        for latency in latencies
    ]


def test_two_sides_are_compared() -> None:
    """Each side's numbers, the difference of every number both know, and the test."""
    compared = compare(
        side("a", *replies(0.5, 0.6, 0.7, 0.8)), side("b", *replies(1.1, 1.2, 1.3, 1.4))
    )
    assert compared == {
        "a": {
            "selector": "a",
            "calls": 1,
            "turns": 4,
            "latency": {
                **spread(4, 0.65, 0.785, 0.8),
                "within_budget_share": 1.0,
                "mean_seconds": pytest.approx(0.65),
            },
            "parts": {
                "llm_first_token": spread(4, 0.65, 0.785, 0.8),
                "queue_wait": spread(4, 0, 0, 0),
            },
            "llm_input_tokens_per_turn": 10.0,
        },
        "b": {
            "selector": "b",
            "calls": 1,
            "turns": 4,
            "latency": {
                **spread(4, 1.25, 1.385, 1.4),
                "within_budget_share": 0.0,
                "mean_seconds": pytest.approx(1.25),
            },
            "parts": {
                "llm_first_token": spread(4, 1.25, 1.385, 1.4),
                "queue_wait": spread(4, 0, 0, 0),
            },
            "llm_input_tokens_per_turn": 10.0,
        },
        "difference": {
            "calls": 0,
            "turns": 0,
            "latency.count": 0,
            "latency.p50_seconds": pytest.approx(0.6),
            "latency.p95_seconds": pytest.approx(0.6),
            "latency.max_seconds": pytest.approx(0.6),
            "latency.within_budget_share": -1.0,
            "latency.mean_seconds": pytest.approx(0.6),
            "parts.llm_first_token.count": 0,
            "parts.llm_first_token.p50_seconds": pytest.approx(0.6),
            "parts.llm_first_token.p95_seconds": pytest.approx(0.6),
            "parts.llm_first_token.max_seconds": pytest.approx(0.6),
            "parts.queue_wait.count": 0,
            "parts.queue_wait.p50_seconds": 0.0,
            "parts.queue_wait.p95_seconds": 0.0,
            "parts.queue_wait.max_seconds": 0.0,
            "llm_input_tokens_per_turn": 0.0,
        },
        "test": {"turns_a": 4, "turns_b": 4, "p": 2 / 70, "verdict": "more than noise"},
    }


def test_a_comparison_is_shown_side_by_side() -> None:
    """The golden page of a comparison."""
    file = io.StringIO()
    a = side("preemptive_generation=false", *replies(0.9, 1.1, 1.2, 1.3), SLOW)
    b = side("preemptive_generation=true", *replies(0.5, 0.6, 0.7, 0.8), REPLY)
    print_comparison(compare(a, b), Console(file=file, width=100, highlight=False))
    shown = [line.rstrip() for line in file.getvalue().splitlines()]
    assert shown == GOLDEN_COMPARISON.strip("\n").splitlines()


GOLDEN_COMPARISON = """
A: preemptive_generation=false · 1 call, 5 turns
B: preemptive_generation=true · 1 call, 5 turns

                                      A        B     B - A
──────────────────────────────────────────────────────────
turns with a latency                  5        5         0
latency p50                      1.20 s   0.70 s   -0.50 s
latency p95                      1.30 s   0.80 s   -0.50 s
latency mean                     1.16 s   0.68 s   -0.48 s
within the budget                   20%     100%    +80 pp
  llm_first_token p50            1.10 s   0.60 s   -0.50 s
  turn_decision p50              0.30 s   0.30 s    0.00 s
  unaccounted p50                         0.10 s
barge-in rate                      100%
fallbacks per turn                 0.20
retried requests per turn          0.40
transcript confidence                       0.90
corrected transcripts per turn              0.20
input tokens per turn                48       28       -20
tool book failures                 100%
tool book p50                    2.00 s
tool get_weather failures                     0%
tool get_weather p50                      0.25 s

Latency: B is 0.50 s faster at the median, more than noise (n = 5 and 5 turns, p = 0.0079).
"""


def test_too_few_turns_are_said_to_be_too_few() -> None:
    """Three turns against three can never tell; the numbers are shown all the same."""
    compared = compare(side("a", *replies(0.1, 0.2, 0.3)), side("b", *replies(1, 2, 3)))
    assert compared["test"] == {
        "turns_a": 3,
        "turns_b": 3,
        "verdict": "too few turns to tell a difference from noise",
    }


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [
        ([], [1.0], None),
        ([1, 2, 3], [4, 5, 6], None),
        ([1, 2, 3, 4], [5, 6, 7, 8], 2 / 70),
        ([5, 6, 7, 8], [1, 2, 3, 4], 2 / 70),
        ([1, 3, 5, 7], [2, 4, 6, 8], 0.6857142857142857),
        ([1.0] * 5, [1.0] * 5, 1.0),
        ([1.0] * 50, [1.0] * 50, 1.0),
    ],
)
def test_the_rank_sum_test_by_known_values(a: list[float], b: list[float], p: float | None) -> None:
    """The exact test agrees with the tables of Mann and Whitney."""
    assert rank_sum_p(a, b) == (p if p is None else pytest.approx(p))


def test_the_approximation_agrees_with_the_exact_test() -> None:
    """Where both can be had they differ by little, so the switch between them shows nowhere."""
    low = [0.1 * n for n in range(10)]
    for shift in (0.0, 0.25, 0.55):
        high = [value + shift + 0.01 for value in low]
        splits = list(itertools.combinations(range(1, 21), 10))
        ranks = sorted([*low, *high])
        observed = abs(sum(ranks.index(value) + 1 for value in low) - 105)
        exact = sum(abs(sum(split) - 105) >= observed for split in splits) / len(splits)
        assert rank_sum_p(low, high) == pytest.approx(exact, abs=0.01)


def test_many_turns_are_compared_at_once() -> None:
    """Thousands of turns take no thousands of permutations."""
    hour = timedelta(hours=1).total_seconds()
    slow, fast = ([hour * k + n for n in range(5000)] for k in (2, 1))
    assert rank_sum_p(slow, fast) == pytest.approx(0.0, abs=1e-12)
