"""The lines of a gate."""

from __future__ import annotations

from typing import Any

import pytest

from tracing.read.gate import Judged, parse_checks
from tracing.read.measures import Measured
from tracing.terminal.gate import gate_lines

WORSE = {
    "name": "calls.json",
    "calls_a": 4,
    "calls_b": 5,
    "turns_a": 36,
    "turns_b": 45,
    "lines": 9,
    "p": 0.00123,
    "calls_p": 0.0159,
    "shift_seconds": 0.2149,
    "is_worse": True,
    "slower_parts": {"llm_first_token": 0.2, "tool\x1b[2J": 0.05},
}


def judged(text: str, *found: Any) -> Judged:
    """A check, and what was measured."""
    [check] = parse_checks([text])
    return Judged(check, Measured(*found) if found else None)


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (
            judged("p95<=1.2", 1.43217, 42, "answered turn"),
            "breach of p95<=1.2: it is 1.432, counted over 42 answered turns of 3 calls",
        ),
        (
            judged("p95<=1.2", 1.20004, 1, "answered turn"),
            "breach of p95<=1.2: it is 1.20004, counted over 1 answered turn of 3 calls",
        ),
        (
            judged("usage.gpt-4o.input_tokens<1000", 12000, 3, "call"),
            "breach of usage.gpt-4o.input_tokens<1000: it is 1.2e+04, counted over 3 calls",
        ),
        (
            judged("tool_failure_rate < 0.05"),
            "cannot tell tool_failure_rate<0.05: nothing to measure it by in 3 calls",
        ),
        (
            judged("tools.\x1b[2J.p95<1"),
            "cannot tell tools.\\x1b[2J.p95<1: nothing to measure it by in 3 calls",
        ),
    ],
)
def test_a_line_says_what_the_limit_and_over_how_many(one: Judged, line: str) -> None:
    """In as many digits as show it, and with nothing that a terminal obeys."""
    holds = judged("turns>=1", 42, 3, "call")
    assert list(gate_lines([holds, one, holds], None, 3)) == [line]


def test_a_baseline_is_told_in_a_sentence() -> None:
    """Worse, not worse, too few replies, and too few calls."""
    fewer = {key: value for key, value in WORSE.items() if key != "calls_p"}
    unknown = {key: WORSE[key] for key in ("name", "calls_a", "calls_b", "turns_a", "turns_b")}
    sizes = "(36 and 45 replies to 9 lines of one script, 4 and 5 calls; p = 0.0012"
    assert [list(gate_lines([], found, 5)) for found in (WORSE, fewer, unknown)] == [
        [
            "breach: replies are 0.21 s slower than in calls.json, more than noise:"
            f" llm_first_token +0.20 s, tool\\x1b[2J +0.05 s {sizes}; of whole calls p = 0.016)"
        ],
        [
            "breach: replies are 0.21 s slower than in calls.json, more than noise:"
            " llm_first_token +0.20 s, tool\\x1b[2J +0.05 s"
            f" {sizes}; too few calls to tell how much calls differ)"
        ],
        [
            "cannot tell whether replies are slower than in calls.json: 36 and 45 replies,"
            " 4 and 5 calls are too few"
        ],
    ]


def test_what_holds_is_said_once() -> None:
    """With the number of calls, so that an empty pass is seen."""
    holds = judged("p95<=1.2", 1.1, 42, "answered turn")
    better = {**WORSE, "is_worse": False}
    assert list(gate_lines([holds, holds], better, 3)) == [
        "2 checks of 3 calls hold",
        "replies are not slower than in calls.json by more than noise (36 and 45 replies to 9 lines"
        " of one script, 4 and 5 calls; p = 0.0012; of whole calls p = 0.016)",
    ]
