"""Calls against a baseline: slower beyond noise, and how often chance alone says so."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tracing.calls.totals import LATENCY
from tracing.read.baseline import against, load_baseline
from tracing.read.compare_parts import SIGNIFICANCE
from tracing.read.selection import ChoiceError

SCRIPT = [f"line {number}" for number in range(9)]
OF_LINE = [0.4 + 0.1 * number for number in range(9)]
"""What each line takes: they differ by more than anything else."""

Call = Mapping[str, Any]


def call(latencies: Sequence[float], said: Sequence[str] = SCRIPT) -> Call:
    """A call of replies with these latencies, all of them the LLM's."""
    return {
        "turns": [
            {
                "kind": "reply",
                "number": number,
                "user_text": text,
                LATENCY: latency,
                "parts": {"turn_decision": 0.3, "llm_first_token": latency - 0.3},
            }
            for number, (text, latency) in enumerate(zip(said, latencies, strict=True), 2)
        ]
    }


def calls(
    numbers: random.Random,
    count: int,
    *,
    later: float = 0.0,
    of_call: float = 0.0,
    script: str = "line",
) -> list[Call]:
    """Calls of six lines, each reply with its own noise, and with that of its call."""
    return [
        {
            "turns": [
                {
                    "user_text": f"{script} {number}",
                    LATENCY: line + own + numbers.gauss(later, 0.05),
                }
                for number, line in enumerate(OF_LINE[:6])
            ]
        }
        for own in (numbers.gauss(0, of_call) for _ in range(count))
    ]


def test_slower_beyond_noise_is_worse() -> None:
    """Every line 0.2 s later in three calls of three; of it, the LLM's part."""
    before = [call([line + 0.01 * n for line in OF_LINE]) for n in range(3)]
    after = [call([line + 0.2 + 0.01 * n for line in OF_LINE]) for n in range(3)]
    assert against(before, after, "calls.json") == {
        "name": "calls.json",
        "calls_a": 3,
        "calls_b": 3,
        "turns_a": 27,
        "turns_b": 27,
        "lines": 9,
        "p": pytest.approx(0, abs=1e-6),
        "shift_seconds": pytest.approx(0.2),
        "is_worse": True,
        "slower_parts": {"llm_first_token": pytest.approx(0.2)},
    }


@pytest.mark.parametrize(
    ("later", "is_worse"), [(0.0, False), (-0.2, False), (0.005, False), (0.011, True)]
)
def test_only_later_by_a_hundredth_is_worse(later: float, is_worse: bool) -> None:
    """The same, sooner, and what nobody could hear are not, though the test tells them apart."""
    before = [call(OF_LINE) for _ in range(3)]
    after = [call([line + later for line in OF_LINE]) for _ in range(3)]
    found = against(before, after, "calls.json")
    assert (found["is_worse"], found["shift_seconds"]) == (is_worse, pytest.approx(later))


def test_an_outlier_does_not_hide_what_all_replies_say() -> None:
    """The baseline's one reply of a minute makes its mean the larger one."""
    before = [call([*OF_LINE[:8], 60.0]), call(OF_LINE), call(OF_LINE)]
    after = [call([line + 0.2 for line in OF_LINE]) for _ in range(3)]
    assert against(before, after, "calls.json")["is_worse"]
    assert not against(after, before, "calls.json")["is_worse"]


def test_another_script_is_compared_as_a_whole() -> None:
    """All replies against all replies, without lines."""
    said = [f"another {number}" for number in range(9)]
    before, after = [call(OF_LINE)] * 2, [call([line + 1 for line in OF_LINE], said)] * 2
    found = against(before, after, "calls.json")
    assert "lines" not in found
    assert (found["is_worse"], found["turns_a"], found["turns_b"]) == (True, 18, 18)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([call(OF_LINE[:2], SCRIPT[:2])], [call(OF_LINE[:2], SCRIPT[:2])]),
        ([], [call(OF_LINE)]),
        ([call(OF_LINE)], [{"turns": [{"kind": "reply", "user_text": "typed"}]}]),
    ],
)
def test_too_few_replies_tell_nothing(before: list[Call], after: list[Call]) -> None:
    """Neither better nor worse."""
    assert "is_worse" not in against(before, after, "calls.json")


def test_a_slow_machine_is_no_slow_agent() -> None:
    """Replies of one call come late together: a single late call of four is no evidence."""
    before = [call(OF_LINE) for _ in range(4)]
    after = [*before[:3], call([line + 0.5 for line in OF_LINE])]
    found = against(before, after, "calls.json")
    assert (found["is_worse"], found["calls_p"]) == (False, 1.0)


@pytest.mark.parametrize(
    ("count", "of_call", "scripts"),
    [
        (1, 0.0, ("one", "one")),
        (3, 0.0, ("one", "one")),
        (3, 0.0, ("one", "another")),
        (4, 0.1, ("one", "one")),
        (6, 0.1, ("one", "another")),
    ],
)
def test_chance_alone_raises_the_alarm_no_more_often_than_said(
    count: int, of_call: float, scripts: tuple[str, str]
) -> None:
    """Two hundred times an agent against itself, also where whole calls differ."""
    numbers = random.Random(21)
    alarms = 0
    for _ in range(200):
        before, after = (calls(numbers, count, of_call=of_call, script=one) for one in scripts)
        alarms += against(before, after, "calls.json").get("is_worse", False)
    assert alarms <= SIGNIFICANCE * 200


def test_what_is_slower_is_found() -> None:
    """A tenth of a second in four calls, each of which has noise of its own."""
    numbers = random.Random(21)
    found = [
        against(calls(numbers, 4, of_call=0.02), calls(numbers, 4, later=0.1, of_call=0.02), "")
        for _ in range(50)
    ]
    assert sum(one["is_worse"] for one in found) >= 45


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"calls": {}}',
        b'{"calls": [1]}',
        b'{"calls": [{"turns": {}}]}',
        b'{"calls": [{"turns": [1]}]}',
        b'{"calls": [{"turns": [{"user_bot_latency_seconds": "1"}]}]}',
        b'{"calls": [{"turns": [{"user_bot_latency_seconds": NaN}]}]}',
        b'{"calls": [{"turns": [{"user_bot_latency_seconds": 1e999}]}]}',
        b'{"calls": [{"turns": [{"parts": {"llm": null}}]}]}',
        b'{"calls": [{"turns": [{"user_text": "\xff"}]}]}',
        b'{"resourceSpans": []}',
        b'{"calls": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_saved_report_is_refused(tmp_path: Path, content: bytes) -> None:
    """In a sentence that says how one is made."""
    path = tmp_path / "calls.json"
    path.write_bytes(content)
    with pytest.raises(ChoiceError, match=r"no saved report .*: write one with report --json"):
        load_baseline(path)
