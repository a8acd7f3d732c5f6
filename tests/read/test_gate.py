"""Checks as people write them."""

from __future__ import annotations

import pytest

from tests.described import CALL
from tracing.read.gate import Check, judge, parse_checks
from tracing.read.selection import ChoiceError


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("p95<=1.2", Check("p95", "<=", 1.2, "p95<=1.2")),
        (" p95 <= 1.2\n", Check("p95", "<=", 1.2, "p95<=1.2")),
        ("tool_failure_rate<0.05", Check("tool_failure_rate", "<", 0.05, "tool_failure_rate<0.05")),
        (
            "within_budget_share>.9",
            Check("within_budget_share", ">", 0.9, "within_budget_share>.9"),
        ),
        ("turns>=20", Check("turns", ">=", 20.0, "turns>=20")),
        ("tools.look up.p95<2", Check("tools.look up.p95", "<", 2.0, "tools.look up.p95<2")),
        (
            "usage.openai/gpt-4.1-mini.input_tokens<9",
            Check(
                "usage.openai/gpt-4.1-mini.input_tokens",
                "<",
                9.0,
                "usage.openai/gpt-4.1-mini.input_tokens<9",
            ),
        ),
    ],
)
def test_a_check_is_a_name_a_comparison_and_a_number(text: str, check: Check) -> None:
    """With spaces or without."""
    assert parse_checks([text]) == [check]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "p95",
        "p95<=",
        "<=1.2",
        "p95=1.2",
        "p95==1.2",
        "p95=<1.2",
        "p95!=1.2",
        "p95<=<1.2",
        "p95<=1.2<=2",
        "1.2>=p95",
        "p95<=1,2",
        "p95<=1.2s",
        "p95<=120%",
        "p95<=-1",
        "p95<=nan",
        "p95<=inf",
        "p95<=1e3",
        "p95<=0x1",
        "p95<=1_000",
        "p95<=\u0661",
        "p95<=" + "9" * 400,
        "p" * 100_000,
        "a" + " " * 100_000 + "<1",
        "p95<=1.2; p50<=1",
        "__import__('os')<1",
        "p95\0<=1.2",
        "p95\n<=\n1.2\nx",
        "[bold]p95<=1",
        "\ud800<=1",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """In words that quote it, and never at length."""
    with pytest.raises(ChoiceError) as refused:
        parse_checks([text])
    assert len(str(refused.value)) < 1500


def test_all_problems_are_said_at_once() -> None:
    """With what could be named, once."""
    with pytest.raises(ChoiceError) as refused:
        parse_checks(["p95<=1.2", "p96<=1", "p95", "tools.<1"])
    said, _, known = str(refused.value).partition("; known are: ")
    assert said == (
        "'p96<=1' names no number of a report;"
        " 'p95' is no check: write it as p95<=1.2, by <=, <, >= or >;"
        " 'tools.<1' names no number of a report"
    )
    assert known.startswith("p50, p95, max, within_budget_share, ")
    assert known.endswith("errors.llm|tts|realtime|stt|tool, usage.MODEL.FIELD")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("max<=1.3", True),
        ("max<1.3", False),
        ("max>=1.3", True),
        ("max>1.3", False),
        ("replies>=2", True),
        ("tools.book.failure_rate<0.05", False),
        ("tools.another.failure_rate<0.05", None),
        ("false_interruptions<1", None),
    ],
)
def test_a_check_holds_or_not_or_cannot_be_told(text: str, holds: bool | None) -> None:
    """At the limit itself the sign decides."""
    [judged] = judge(parse_checks([text]), [CALL])
    assert judged.holds is holds
