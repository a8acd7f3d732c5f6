"""Calls against those of a saved report: whether their replies came later, by more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any, TypedDict

import msgspec

from tracing.calls.totals import LATENCY
from tracing.read.compare import compare
from tracing.read.compare_parts import ALIKE_SECONDS, SIGNIFICANCE, rank_sum_p, replies
from tracing.read.paired import Line, common_lines
from tracing.read.selection import ChoiceError, Side, side_of

Call = Mapping[str, Any]


class _SavedTurn(TypedDict, total=False):
    number: int
    kind: str
    user_text: str
    user_bot_latency_seconds: float
    parts: dict[str, float]


class _SavedCall(TypedDict, total=False):
    turns: list[_SavedTurn]


class _Saved(msgspec.Struct):
    """What is compared of a saved report; the rest of it may be anything."""

    calls: list[_SavedCall]


def load_baseline(path: Path) -> list[Call]:
    """The calls of a file that `report --json` wrote; raises ChoiceError where it is none."""
    try:
        saved = msgspec.json.decode(path.read_bytes(), type=_Saved)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ChoiceError(
            f"{path} is no saved report ({error}): write one with report --json"
        ) from error
    return [dict(call) for call in saved.calls]


def against(baseline: Sequence[Call], calls: Sequence[Call], name: str) -> dict[str, Any]:
    """How calls stand against a baseline.

    `name`: the baseline's. `is_worse`: whether replies came later, by 0.01 s or more, by more than
    replies differ anyhow, and where the calls are enough to tell, by more than calls do; absent
    where replies are too few. `shift_seconds`: how much later; `p`, of the replies, and `calls_p`,
    of the calls; `lines`: how many lines of one script were compared; `calls_a`, `calls_b`,
    `turns_a`, `turns_b`: the baseline's and these calls', and their replies; `slower_parts`: name
    to the rise of its mean.
    """
    a, b = side_of(name, baseline), side_of("these calls", calls)
    lines = common_lines(a.by_call, b.by_call)
    compared = compare(a, b)
    test = compared["test"]
    found = {
        "name": name,
        "calls_a": a.calls,
        "calls_b": b.calls,
        "turns_a": sum(len(line.a) for line in lines) or test["turns_a"],
        "turns_b": sum(len(line.b) for line in lines) or test["turns_b"],
        **({"lines": len(lines)} if lines else {}),
    }
    if "p" not in test:
        return found
    calls_p = _calls_p(a, b, lines)
    chances = (test["p"], calls_p or 0.0)
    return {
        **found,
        **({} if calls_p is None else {"calls_p": calls_p}),
        "p": test["p"],
        "shift_seconds": test["shift_seconds"],
        "is_worse": max(chances) < SIGNIFICANCE and test["shift_seconds"] >= ALIKE_SECONDS,
        "slower_parts": _slower(compared["parts"]),
    }


def _calls_p(a: Side, b: Side, lines: Sequence[Line]) -> float | None:
    """The p of whole calls, since a slow machine makes all of a call's replies late together.

    Of one script each reply counts by how far it is from the middle of its line. None for fewer
    calls than could tell, such as three against three.
    """
    middle = {
        id(turn): median(float(one[LATENCY]) for one in (*line.a, *line.b))
        for line in lines
        for turn in (*line.a, *line.b)
    }
    means = [
        [
            fmean(turn[LATENCY] - middle.get(id(turn), 0.0) for turn in counted)
            for turns in side.by_call
            if (counted := [t for t in replies(turns) if not lines or id(t) in middle])
        ]
        for side in (a, b)
    ]
    return rank_sum_p(*means) if all(means) else None


def _slower(parts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {
        part["name"]: part["difference"]
        for part in parts
        if part["name"] != "latency" and part["verdict"].startswith("slower")
    }
