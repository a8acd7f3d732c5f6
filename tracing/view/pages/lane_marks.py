"""The lanes of a call as boxes, ticks and words on one axis, in percent of its width."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tracing.calls.tools import bunched, in_words, state_of
from tracing.calls.totals import LATENCY
from tracing.view.charts import clock, percent, stripes, ticks
from tracing.view.pages.heard_marks import on_waves

_TOP = 34
_MOST_TRANSCRIPTS = 500
_AHEAD_SECONDS = 30.0
_LETTER_SHARE = 6.5 / 1200
"""Of what is seen of the lanes at once, of a letter."""
_SEEN_SECONDS, _SEEN_TURNS = 120.0, 20
"""So much is seen at once of a call at most: its numbers and words do not run together."""
_MOST_ZOOM = 64
_LOG_STRETCHES = 400
"""Into so many the axis is divided for log lines, however many there are."""
_GRAVITY = ("info", "warning", "error")


class _Lane(NamedTuple):
    """A kind of lane: its marks are drawn by the macro of its name in `lanes.html`."""

    key: str
    word: str
    height: int
    label_y: int = 13
    """The foot of its word, from its top."""
    is_main: bool = False
    """Whether it is always there, and its word stands out."""
    shown_by: tuple[str, ...] = ()
    """What of `lanes` it shows, where that is not what its name says."""


_LANES = (
    _Lane("caller", "Caller", 42, 24, is_main=True),
    _Lane("agent", "Agent", 48, 24, is_main=True),
    _Lane("wait", "Wait", 26, is_main=True),
    _Lane("stt", "STT, turn", 19, shown_by=("stt", "waits")),
    _Lane("llm", "LLM", 19),
    _Lane("tools", "Tools", 19),
    _Lane("tts", "TTS", 19),
    _Lane("events", "Events", 19),
    _Lane("log", "Log", 19),
)
"""From the top down."""


def lane_rows(
    on_axis: Mapping[str, Any], turns: Sequence[Mapping[str, Any]], budget: float, started_at: str
) -> dict[str, Any]:
    """What the template draws: `height`, `zoom`, the `lanes` with their words, `ticks`, the marks.

    Each mark has `x` and `width`; lanes that have nothing to show are left out.
    """
    now = on_axis["duration_seconds"] or 1.0
    end = axis_end(on_axis)
    zoom = zoom_of(end, len(turns))
    letter = _LETTER_SHARE * end / zoom
    placed, height = _placed(on_axis)
    starts = {mark["turn"]: mark["at"] for mark in reversed(on_axis["agent"]) if "turn" in mark}
    waits = list(_waits(turns, starts, budget, end))
    return {
        "height": height,
        "end": end,
        "zoom": zoom,
        "started_at": started_at,
        "lanes": placed,
        "ticks": list(_ticks(end, zoom)),
        "waits": waits,
        "heard": list(on_waves(turns, starts, end)),
        "caller": _boxes(on_axis["caller"], end),
        "typed": [] if on_axis["caller"] else _boxes(list(_typed(turns, waits, end)), end),
        "agent": _boxes(on_axis["agent"], end),
        "unheard": _boxes(on_axis["unheard"], end),
        "stt": [{"x": percent(m["at"], end), "final": "is_final" in m} for m in _heard(on_axis)],
        "eou": _boxes(on_axis["waits"], end),
        "llm": _worked(on_axis["llm"], end),
        "tts": _worked(on_axis["tts"], end),
        "tools": _boxes(on_axis["tools"], end),
        "tool_words": list(_tool_words(on_axis["tools"], end, letter)),
        "events": [
            {**mark, "x": percent(mark["at"], end)}
            for mark in _spread(on_axis["events"], end, letter)
        ],
        "log": list(_log(on_axis["log"], end)),
        "now": percent(now, end) if on_axis["is_open"] else "",
    }


def zoom_of(end: float, turns: int) -> int:
    """How many times as wide as their place the lanes are at first."""
    return min(_MOST_ZOOM, max(1, math.ceil(max(end / _SEEN_SECONDS, turns / _SEEN_TURNS))))


def _ticks(end: float, zoom: int) -> Iterator[dict[str, str]]:
    found = ticks(end, 12 * zoom)
    is_whole = all(at == int(at) for at in found)
    for at in found:
        yield {"x": percent(at, end), "text": clock(at, tenths=not is_whole)}


def axis_end(on_axis: Mapping[str, Any]) -> float:
    """The end of the axis: the call's, and while it goes on the next full half minute."""
    seconds = float(on_axis["duration_seconds"] or 1.0)
    return math.ceil(seconds / _AHEAD_SECONDS) * _AHEAD_SECONDS if on_axis["is_open"] else seconds


def _placed(on_axis: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Where each lane stands, from the top, and where they end; none is empty but the main ones."""
    found, at = [], _TOP
    realtime = any("is_realtime" in mark for mark in on_axis["llm"])
    for lane in _LANES:
        if lane.is_main or any(on_axis[key] for key in lane.shown_by or (lane.key,)):
            word = "Model" if realtime and lane.key == "llm" else lane.word
            place = {"key": lane.key, "y": at, "word": word, "label_y": at + lane.label_y}
            found.append({**place, "strong": lane.is_main})
            at += lane.height
    return found, at + 6


def _log(lines: Sequence[Mapping[str, Any]], end: float) -> Iterator[dict[str, Any]]:
    """A tick for the lines of each stretch: of its gravest kind, with the first of its words."""
    stretches: dict[int, list[Mapping[str, Any]]] = {}
    for line in lines:
        stretches.setdefault(int(min(line["at"] / end, 1.0) * _LOG_STRETCHES), []).append(line)
    for found in stretches.values():
        gravest = max(found, key=lambda line: _GRAVITY.index(line["kind"]))
        yield {
            "x": percent(min(found[0]["at"], end), end),
            "kind": gravest["kind"],
            "text": f"{gravest['level']} {gravest['logger']}: {gravest['text']}",
            "more": len(found) - 1,
        }


def _heard(on_axis: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The transcripts that are drawn: in a long call, where they would run together, final ones."""
    is_long = len(on_axis["stt"]) > _MOST_TRANSCRIPTS
    return [mark for mark in on_axis["stt"] if not is_long or "is_final" in mark]


def _waits(
    turns: Sequence[Mapping[str, Any]], starts: Mapping[Any, float], budget: float, end: float
) -> Iterator[dict[str, Any]]:
    """Each wait at its place in time, with its parts, up to the agent's first sound."""
    for turn in turns:
        sound = starts.get(turn.get("number"))
        waited = turn.get(LATENCY, turn.get("first_output_seconds"))
        if sound is None or waited is None:
            continue
        begun = sound - waited
        is_reply = LATENCY in turn
        yield {
            "number": turn.get("number"),
            "x": percent(begun, end),
            "end": percent(sound, end),
            "width": percent(waited, end),
            "over": is_reply and waited > budget,
            "post": percent(begun + budget, end) if is_reply and waited > budget else "",
            "text": f"{waited:.2f}{' !' if waited > budget else ''}"
            if is_reply
            else f"({waited:.2f})",
            "is_reply": is_reply,
            "segments": stripes(turn.get("parts", {}), end, at=begun),
            "at": begun,
            "sound": sound,
        }


def _typed(
    turns: Sequence[Mapping[str, Any]], waits: Sequence[Mapping[str, Any]], end: float
) -> Iterator[dict[str, Any]]:
    """What the caller wrote, where nobody spoke: as each turn began, with room up to the next."""
    begun = {wait["number"]: wait["at"] for wait in waits}
    typed = [t for t in turns if t.get("user_text") and t.get("number") in begun]
    places = [begun[turn["number"]] for turn in typed]
    for turn, at, following in zip(typed, places, [*places[1:], end], strict=False):
        yield {"at": at, "end": max(at, following), "text": turn["user_text"]}


def _boxes(marks: Sequence[Mapping[str, Any]], end: float) -> list[dict[str, Any]]:
    return [
        {
            **mark,
            "x": percent(mark["at"], end),
            "width": percent(mark["end"] - mark["at"], end),
            "after": percent(mark["end"], end),
        }
        for mark in marks
    ]


def _tool_words(
    tools: Sequence[Mapping[str, Any]], end: float, letter: float
) -> Iterator[dict[str, Any]]:
    """The tools' names, after their boxes and cut where the next begin; before them at the end.

    `letter` is how many seconds one takes.
    """

    def until(bunch: Sequence[Mapping[str, Any]]) -> float:
        return _first_ended(bunch) + (2 + len(in_words(bunch))) * letter

    bunches = bunched(tools, until)
    starts = [bunch[0]["at"] for bunch in bunches]
    free = 0.0
    for bunch, begun, following in zip(bunches, starts, [*starts[1:], end], strict=False):
        is_before = until(bunch) > end
        at, stop = _first_ended(bunch), following
        if is_before:  # the last hundredth is where the process died
            at, stop = free, min(begun, 0.985 * end)
        yield {
            "text": in_words(bunch),
            "is_bad": any(map(state_of, bunch)),
            "is_before": is_before,
            "x": percent(at, end),
            "width": percent(max(0.0, stop - at), end),
        }
        free = until(bunch)


def _first_ended(bunch: Sequence[Mapping[str, Any]]) -> float:
    """When the first of a bunch, and what it ran with, had ended."""
    return float(max(tool["end"] for tool in bunch if tool["at"] <= bunch[0]["end"]))


def _worked(marks: Sequence[Mapping[str, Any]], end: float) -> list[dict[str, Any]]:
    """Boxes with the stretch until the first result apart."""
    found = []
    for mark, box in zip(marks, _boxes(marks, end), strict=True):
        first = min(mark.get("first", mark["end"]), mark["end"])
        box["head"] = percent(first - mark["at"], end)
        box["rest_x"], box["rest"] = percent(first, end), percent(mark["end"] - first, end)
        found.append(box)
    return found


def _spread(events: Sequence[Mapping[str, Any]], end: float, letter: float) -> list[dict[str, Any]]:
    """Events with their words; where those of another would lie below them, `is_near`: a tick."""
    found: list[dict[str, Any]] = []
    free = 0.0
    for mark in events:
        near = found and mark["at"] - found[-1]["at"] < 0.05 and mark["kind"] != "handoff"
        if near and found[-1]["text"] == mark["text"]:
            continue
        is_near = mark["at"] < free
        place = {"x": percent(mark["at"], end), "clock": clock(mark["at"], tenths=True)}
        found.append({**mark, **place, "is_near": is_near})
        if not is_near:
            letters = 3 + len(f"{mark['text']} {mark.get('words', '')}")
            free = mark["at"] + letters * letter
    return found
