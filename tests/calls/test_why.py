"""Why callers waited: which replies, and which of their parts."""

from __future__ import annotations

from typing import Any

import pytest

from tracing.calls.parts import group_of, kind_of
from tracing.calls.why import differences, means, medians, why


def reply(number: int, **parts: float) -> dict[str, Any]:
    """A reply whose latency is the sum of its parts."""
    return {
        "number": number,
        "kind": "reply",
        "user_bot_latency_seconds": sum(parts.values()),
        "parts": {name.replace("__", "."): seconds for name, seconds in parts.items()},
    }


QUICK = [reply(n, turn_decision=0.3, llm_first_token=0.3) for n in range(1, 6)]


def test_a_slow_reply_names_what_took_longer_than_usual() -> None:
    """The two parts most above the call's median, from 50 ms on, the largest first."""
    slow = reply(6, turn_decision=0.34, llm_first_token=0.9, tool__find_table=0.4, llm_step=0.2)
    assert why({"turns": [*QUICK, slow]}) == {
        "replies": 6,
        "over": 1,
        "budget_seconds": 1.0,
        "turns": [
            {
                "number": 6,
                "latency": pytest.approx(1.84),
                "excess": {"llm_first_token": pytest.approx(0.6), "tool.find_table": 0.4},
            }
        ],
    }


def test_above_six_slow_replies_the_parts_are_named_instead() -> None:
    """What replies over the budget spend more in the mean than the others."""
    slow = [reply(n, turn_decision=0.3, llm_first_token=0.3, tool__a=1.0) for n in range(7)]
    found = why({"turns": [*QUICK, *slow]})
    assert (found["over"], found["parts"]) == (7, {"tools": pytest.approx(1.0)})


def test_means_add_up_and_tools_are_one_group() -> None:
    """Means of groups add up to the mean latency; medians count an absent part as nothing."""
    turns = [reply(1, llm_step=0.2, llm_step__2=0.4, tool__a=0.1, tool__b__2=0.3), *QUICK[:1]]
    found = means(turns)
    assert set(found) == {"llm_step", "tools", "turn_decision", "llm_first_token"}
    assert (found["llm_step"], found["tools"]) == (pytest.approx(0.3), pytest.approx(0.2))
    assert sum(found.values()) == pytest.approx((1.0 + 0.6) / 2)
    assert medians(QUICK)["turn_decision"] == 0.3
    assert differences(means(QUICK), found)["llm_step"] > 0.29


def test_every_part_has_a_kind() -> None:
    """Numbered steps and tools share one; what a later version names keeps its own name."""
    names = ["llm_step.2", "tool.find_table", "tools", "realtime_first_audio", "later_part.3"]
    assert [(kind_of(n).key, kind_of(n).label) for n in names] == [
        ("step", "llm step"),
        ("tool", "find_table"),
        ("tool", "tools"),
        ("text", "1st audio"),
        ("una", "later_part.3"),
    ]
    assert [group_of(n) for n in names[:2]] == ["llm_step", "tools"]
