"""One call as a page: its facts, why it was slow, its lanes on one axis, its turns on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tracing.calls.parts import kind_of
from tracing.calls.silence import ENDED_FIRST, Silence, in_words, silences, unanswered
from tracing.calls.tools import foremost, state_of
from tracing.calls.totals import LATENCY, budget_of
from tracing.calls.why import why
from tracing.view.charts import percent, scale_of, segments, ticks
from tracing.view.pages import heard_marks
from tracing.view.pages.call_facts import head_facts, remarks, setting
from tracing.view.pages.lane_marks import axis_end, lane_rows

ORDERS = ("in order", "slowest first")
_BUDGET_AT_END = 0.94
"""A budget above this share of the axis has its words before it."""
_DENSE_FROM = 60
"""Calls of more turns than this are shown dense at first."""


@dataclass(frozen=True)
class Choice:
    """What the address asks of the page."""

    align: str = ""
    """The kind of part on which the bars are aligned."""
    slowest_first: bool = False
    dense: bool | None = None
    turn: int | None = None
    """The turn whose drawer is open."""
    interval: tuple[float, float] | None = None
    """Seconds of the call that are selected."""


def call_page(
    call: Mapping[str, Any],
    row: Mapping[str, Any],
    shown: Mapping[str, Any],
    choice: Choice,
    *,
    withheld: bool = False,
) -> dict[str, Any]:
    """The context of the page's template; for what is given see `Told`, `shown` with the `log`."""
    turns = [turn for turn in call.get("turns", ()) if turn.get("kind") != "discarded"]
    if row.get("is_open") and turns and turns[-1].get("kind") == "unanswered":
        turns[-1] = {**turns[-1], "is_open": True}  # so far
    on_axis = {**shown["lanes"], "log": shown["log"]}
    dense = len(turns) > _DENSE_FROM if choice.dense is None else choice.dense
    replies = [turn[LATENCY] for turn in turns if LATENCY in turn]
    so_far = {turn.get("number"): _so_far(turn, on_axis) for turn in turns}
    reach = [max(_wait(turn), heard_marks.heard_wait(turn)) for turn in turns]
    waits = [*reach, *(seconds for seconds in so_far.values() if seconds)]
    scale = scale_of(waits, budget_of(call))
    shifts = _shifts(turns, choice.align, scale)
    usual = median(replies) if replies else None
    starts = {mark["turn"]: mark["at"] for mark in reversed(on_axis["agent"]) if "turn" in mark}
    rows = [
        {
            **_row(turn, starts, scale, shifts.get(turn.get("number"), 0.0), budget_of(call)),
            **_silent(silent, withheld=withheld),
            **_going_on(turn, so_far.get(turn.get("number")), scale),
        }
        for turn, silent in zip(turns, silences(turns), strict=True)
    ]
    if choice.slowest_first:
        rows.sort(key=lambda found: -_wait(found["turn"]))
    return {
        "call": call,
        "row": row,
        "remarks": list(remarks(row, withheld=withheld)),
        "silences": unanswered(turns),
        "in_turn": _in_turn(turns),
        "facts": list(head_facts(call, row)),
        "setting": " · ".join(setting(call, shown["livekit"])),
        "why": why(call),
        "lanes": lane_rows(on_axis, turns, budget_of(call), call.get("started_at", "")),
        "log": shown["log"],
        "overview": _overview(on_axis, turns, call),
        "scale": scale,
        "ticks": list(_ticks_beside(budget_of(call), scale)),
        "budget": budget_of(call),
        "budget_anchor": "end" if budget_of(call) > _BUDGET_AT_END * scale else "middle",
        "usual": usual,
        "rows": rows,
        "lost": {m["turn"]: m["text"] for m in on_axis["unheard"] if "turn" in m and "text" in m},
        "legend": legend(turns),
        "choice": choice,
        "dense": dense,
        "withheld": withheld,
    }


def _in_turn(turns: Sequence[Mapping[str, Any]]) -> int | None:
    """The turn that was not at its end when the call was; None where all were."""
    last = turns[-1] if turns else {}
    return None if "agent_stopped_speaking_at" in last else last.get("number")


def _ticks_beside(budget: float, scale: float) -> Iterator[float]:
    """The ticks that the budget's words leave room for, on a telephone too.

    The words are at its middle, or before it where it is the end of the axis.
    """
    before = scale / 4 if budget > _BUDGET_AT_END * scale else scale / 8
    for tick in ticks(scale, 5):
        if not budget - before < tick < budget + scale / 8:
            yield tick


def legend(turns: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The kinds of parts that these turns have, in the order of a reply."""
    found: dict[str, dict[str, str]] = {}
    for turn in turns:
        for name, seconds in turn.get("parts", {}).items():
            kind = kind_of(name)
            if seconds >= 0.001:
                label = "tools" if kind.key == "tool" else kind.label
                title = f"{name}: {kind.meaning}"
                found.setdefault(kind.key, {"kind": kind.key, "label": label, "title": title})
    order = ["eos", "stt", "turn", "hook", "step", "tool", "hand", "fail", "ttft", "text", "tts"]
    place = {key: index for index, key in enumerate([*order, "queue", "play", "una"])}
    return sorted(found.values(), key=lambda item: place.get(item["kind"], 99))


def _wait(turn: Mapping[str, Any]) -> float:
    return float(turn.get(LATENCY, turn.get("first_output_seconds", 0.0)))


def _shifts(turns: Sequence[Mapping[str, Any]], align: str, scale: float) -> dict[Any, float]:
    """By turn, how far its bar moves so that a kind of part begins at one place."""
    if not align:
        return {}
    offsets = {}
    for turn in turns:
        at = 0.0
        for name, seconds in turn.get("parts", {}).items():
            if kind_of(name).key == align and seconds > 0:
                offsets[turn.get("number")] = at
                break
            at += seconds
    place = max(offsets.values(), default=0.0)
    return {turn: place - at for turn, at in offsets.items()}


def _row(
    turn: Mapping[str, Any], starts: Mapping[Any, float], scale: float, shift: float, budget: float
) -> dict[str, Any]:
    latency = turn.get(LATENCY)
    first = turn.get("first_output_seconds") if latency is None else None
    waited = _wait(turn)
    parts = _failed_tools_marked(turn)
    sound = starts.get(turn.get("number"))
    return {
        "turn": turn,
        "number": turn.get("number"),
        "at": None if sound is None else max(0.0, sound - waited),
        "latency": latency,
        "first": first,
        "over": latency is not None and latency > budget,
        "excess": None if latency is None else latency - budget,
        "x": percent(shift, scale),
        "width": percent(waited, scale),
        "over_x": percent(budget, scale),
        "over_width": percent(max(0.0, waited - budget), scale),
        "segments": segments(parts, scale),
        "overlap": _overlap(turn, scale),
        "heard": heard_marks.on_bar(turn, scale),
        "label": _spoken_label(turn, waited),
        "note": "" if parts else "no wait was measured",
        "chips": list(chips(turn)),
    }


def _so_far(turn: Mapping[str, Any], on_axis: Mapping[str, Any]) -> float | None:
    """How long the caller has been waiting for a turn that goes on, or had been as its process
    died; None where nobody spoke."""
    if not turn.get("is_open") and not turn.get("is_unfinished"):
        return None
    spoken = [mark["end"] for mark in on_axis["caller"] if "is_open" not in mark]
    return on_axis["duration_seconds"] - max(spoken) if spoken else None


def _going_on(turn: Mapping[str, Any], so_far: float | None, scale: float) -> dict[str, str]:
    """A bar that grows, or that was cut off, where nothing was heard of a turn yet."""
    if "agent_started_speaking_at" in turn:
        return {}
    bar = _dashed(so_far, scale) if so_far else {}
    if turn.get("is_unfinished"):
        return {"note": f"cut off after {so_far:.2f} s", **bar} if so_far else {}
    if not turn.get("is_open"):
        return {}
    return {"note": "going on" if so_far is None else f"{so_far:.2f} s so far", **bar}


def _dashed(so_far: float, scale: float) -> dict[str, str]:
    """A bar without parts; its note stands in it where there is less room beside it."""
    end = percent(so_far, scale)
    return {"so_far": end, "note_x": "0" if so_far > scale / 2 else end}


def _failed_tools_marked(turn: Mapping[str, Any]) -> dict[str, float]:
    failed = {tool.get("name") for tool in turn.get("tools", ()) if tool.get("is_error")}
    return {
        f"{name} ✕" if name.removeprefix("tool.") in failed else name: seconds
        for name, seconds in turn.get("parts", {}).items()
    }


def _overlap(turn: Mapping[str, Any], scale: float) -> dict[str, str] | None:
    """The work that preemption hid: a line that ends where the turn was decided."""
    gained = turn.get("overlap_seconds")
    if not gained:
        return None
    decided = sum(
        seconds
        for name, seconds in turn.get("parts", {}).items()
        if kind_of(name).key in ("eos", "stt", "turn", "hook")
    )
    return {"x1": percent(decided - gained, scale), "x2": percent(decided, scale)}


def _spoken_label(turn: Mapping[str, Any], waited: float) -> str:
    """A bar in words, for who hears the page."""
    parts = ", ".join(
        f"{kind_of(name).label} {seconds:.2f}"
        for name, seconds in turn.get("parts", {}).items()
        if seconds >= 0.005
    )
    return f"{waited:.2f} s: {parts}" if parts else "no wait was measured"


def _silent(found: Silence | None, *, withheld: bool) -> dict[str, Any]:
    """Why nothing was heard in a turn, and whether that is a failure."""
    if found is None:
        return {}
    return {
        "note": in_words(found, withheld=withheld),
        "is_failed": bool(found.stage) or found.is_unfinished,
    }


def chips(turn: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """What a reader should know of a turn beside its wait: `icon`, `text`, `tone`, `title`."""
    if turn.get("is_unfinished"):
        yield _chip("died", "cut off", "bad", ENDED_FIRST)
    tools, more = foremost(turn.get("tools", ()))
    for tool in tools:
        took = f"{tool['duration_seconds']:.2f} s" if "duration_seconds" in tool else ""
        words = [str(tool.get("name", "tool")), state_of(tool), took]
        title = ENDED_FIRST if tool.get("is_unfinished") else ""
        tone = "bad" if state_of(tool) else ""
        yield _chip("tool", " ".join(filter(None, words)), tone, title)
    if more:
        yield _chip("tool", more)
    if turn.get("interrupted"):
        yield _chip("barge", _interruption(turn), "warn")
    if turn.get("overlap_seconds"):
        yield _chip("pre", f"{turn['overlap_seconds']:.2f} s gained", title="preemptive generation")
    for note in heard_marks.notes(turn):
        yield _chip("", note, "warn", "measured from the sound")
    if turn.get("transcript_corrections"):
        yield _chip("fix", "corrected transcript")
    if turn.get("transcript_confidence", 1) < 0.85:
        yield _chip("", f"confidence {turn['transcript_confidence']:.2f}", "warn")
    for key, text in (("retries", "retried"), ("fallbacks", "fallback")):
        if turn.get(key):
            yield _chip("retry", f"{text} {turn[key]}", "warn")
    for stage in dict.fromkeys(e.get("stage", "") for e in turn.get("errors", ())):
        if stage != "tool":
            yield _chip("x", f"{stage} error", "bad")


def _chip(icon: str, text: str, tone: str = "", title: str = "") -> dict[str, str]:
    return {"icon": icon, "text": text, "tone": tone, "title": title}


def _interruption(turn: Mapping[str, Any]) -> str:
    words = "barge-in" if turn.get("barged_in") else "interrupted"
    if "heard_seconds" in turn:
        words += f" after {turn['heard_seconds']:.2f} s"
    if "heard_share" in turn:
        words += f", {turn['heard_share']:.0%} heard"
    return words


def _overview(
    on_axis: Mapping[str, Any], turns: Sequence[Mapping[str, Any]], call: Mapping[str, Any]
) -> list[dict[str, str]]:
    """The whole call in small: caller above, agent below, waits at the bottom, as boxes."""
    end, budget = axis_end(on_axis), budget_of(call)
    boxes = []
    for kind, y, height in (("caller", 4, 10), ("agent", 16, 10), ("unheard", 16, 10)):
        boxes += [_box(kind, m["at"], m["end"], end, y, height) for m in on_axis[kind]]
    starts = {mark["turn"]: mark["at"] for mark in reversed(on_axis["agent"]) if "turn" in mark}
    for turn in turns:
        begun = starts.get(turn.get("number"))
        if begun is not None and LATENCY in turn:
            waited = turn[LATENCY]
            tall = min(12.0, 5 + 4 * waited / budget)
            kind = "late" if waited > budget else "wait"
            boxes.append(_box(kind, begun - waited, begun, end, 39 - tall, tall))
    return boxes


def _box(kind: str, at: float, until: float, end: float, y: float, height: float) -> dict[str, str]:
    return {
        "kind": kind,
        "x": percent(at, end),
        "width": percent(until - at, end),
        "y": f"{y:.1f}",
        "height": f"{height:.1f}",
    }
