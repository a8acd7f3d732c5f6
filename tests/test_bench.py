"""How the benches judge: by ratios of one run, and never by a number that is missing."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bench.harness import Line, Numbers, is_complete, judged, median, rounds, show
from bench.ratio import Goal, compare, times_better

A_SEVENTH = Goal("at most a seventh", 7)
FASTER = Goal("at least 2.3 times", 2.3, is_cost=False)


@pytest.mark.parametrize(("ours", "met"), [(28.0, True), (32.0, True), (33.0, False)])
def test_a_cost_is_held_against_the_cheaper_of_the_others(ours: float, met: bool) -> None:
    line = compare("own", {"docs": 227.0, "langfuse": 284.0, "ours": ours}, A_SEVENTH)
    assert line.numbers == (227.0, 284.0, ours, 227.0 / ours)
    assert line.met is met


@pytest.mark.parametrize(("ours", "met"), [(9_750.0, True), (8_000.0, False)])
def test_a_speed_is_held_against_the_faster_of_the_others(ours: float, met: bool) -> None:
    assert compare("speed", {"docs": 3_700.0, "langfuse": 3_060.0, "ours": ours}, FASTER).met is met


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -3.0])
@pytest.mark.parametrize("whose", ["docs", "langfuse", "ours"])
@pytest.mark.parametrize("goal", [A_SEVENTH, FASTER])
def test_what_no_ratio_can_be_of_is_not_met_and_says_so(bad: float, whose: str, goal: Goal) -> None:
    values = {"docs": 227.0, "langfuse": 284.0, "ours": 1.0, whose: bad}
    line = judged(compare("row", values, goal))
    assert line.met is False
    assert line.target == f"{goal.words} (not measured)"


def test_nobody_to_compare_with_is_no_ratio() -> None:
    assert math.isnan(times_better([], 1.0, is_cost=True))


def test_a_missing_number_fails_whatever_the_line_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert not show("Title", ("who", "us"), [Line(("ours",), (math.nan,), "at most 1", met=True)])
    assert "(not measured)" in capsys.readouterr().out
    assert show("Title", ("who", "us"), [Line(("docs",), (math.nan,))])


def test_a_contender_that_failed_once_has_no_median(capsys: pytest.CaptureFixture[str]) -> None:
    tries: list[Any] = []

    def run(name: str) -> Numbers:
        tries.append(name)
        if len(tries) == 2:
            raise RuntimeError("only 3 of 4 spans arrived")
        return {"us": float(len(tries))}

    found = rounds(("docs", "ours"), run, 3)
    assert tries == ["docs", "ours"] * 3
    assert median(found["docs"], "us") == 3.0
    assert math.isnan(median(found["ours"], "us"))
    assert not is_complete(found)
    assert is_complete({"docs": found["docs"]})
    assert "ours failed: only 3 of 4 spans arrived" in capsys.readouterr().err
