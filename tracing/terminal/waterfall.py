"""One call as a waterfall of text: lanes on one axis, and each wait in letters on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from rich.console import Console
from rich.text import Text

from tracing.calls.lanes import lanes
from tracing.calls.parts import kind_of
from tracing.calls.rows import agents_of
from tracing.calls.totals import LATENCY, budget_of, of_turns
from tracing.calls.tree import Tree
from tracing.span import Span
from tracing.terminal.cells import BAD, DIM, TITLE, counted, plain, share

_LABELS = 9
"""Columns of the lanes' names."""
_NUMBERS = 12
"""Columns before a turn's bar."""
_LATENCY = 8
"""Columns after it."""
_NARROWEST = 60

_STYLES = {
    "eos": "black on bright_cyan",
    "stt": "white on blue",
    "turn": "white on dark_blue",
    "hook": "white on dark_orange3",
    "step": "black on plum2",
    "tool": "black on orange1",
    "hand": "white on orange4",
    "fail": "white on red",
    "ttft": "white on purple4",
    "text": "black on thistle1",
    "tts": "white on dark_green",
    "queue": "black on grey70",
    "play": "black on grey58",
}


def print_waterfall(call: Mapping[str, Any], tree: Tree, console: Console) -> None:
    """Print a described call at the console's width."""
    width = max(console.width, _NARROWEST)
    for line in (*_head(call, tree.spans, width), Text(), *_lanes(call, tree, width), Text()):
        console.print(line, no_wrap=True, overflow="crop", crop=True, soft_wrap=False)
    for line in (*_turns(call, width), Text(), *_legend(call)):
        console.print(line, no_wrap=True, overflow="ellipsis", crop=True)


def _head(call: Mapping[str, Any], spans: Sequence[Span], width: int) -> Iterator[Text]:
    turns = _shown(call)
    facts = [
        plain(agents_of(call, spans) or ""),
        plain(call.get("user_id", "")),
        _started(call),
        _lasted(call.get("duration_seconds", 0.0)),
        counted(len(turns), "turn"),
    ]
    title = " · ".join(fact for fact in facts if fact)
    trace = call["trace_id"][:8]
    yield Text.assemble((title, TITLE), " " * max(1, width - len(title) - 8), (trace, DIM))
    numbers = of_turns(turns, [budget_of(call)] * len(turns))
    latency, budget = numbers["latency"], budget_of(call)
    if latency:
        over = latency["p95_seconds"] > budget
        yield Text.assemble(
            f"p50 {latency['p50_seconds']:.2f} s   p95 ",
            (f"{'! ' if over else ''}{latency['p95_seconds']:.2f} s", BAD if over else ""),
            f"   within {budget:g} s {share(latency['within_budget_share'])}",
            *_happenings(numbers),
        )
    closed = plain(str(call.get("summary", {}).get("close_reason", "")).replace("_", " "))
    if closed:
        yield Text(f"ended: {closed}")


def _happenings(numbers: Mapping[str, Any]) -> Iterator[str | tuple[str, str]]:
    if "heard_turns" in numbers:
        yield f"   barge-ins {numbers['barge_ins']} of {numbers['heard_turns']}"
    calls = sum(tool["calls"] for tool in numbers["tools"].values())
    failed = sum(tool["failures"] for tool in numbers["tools"].values())
    if calls:
        yield f"   tools {calls}"
        if failed:
            yield (f", {failed} failed", BAD)


def _shown(call: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [turn for turn in call.get("turns", ()) if turn.get("kind") != "discarded"]


def _started(call: Mapping[str, Any]) -> str:
    try:
        moment = datetime.fromisoformat(call["started_at"]).astimezone()
    except (KeyError, ValueError):
        return ""
    return f"{moment.day} {moment:%b %H:%M:%S}"


def _lasted(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


class _Row:
    """One line of the axis, written at places in time."""

    def __init__(self, name: str, end: float, columns: int, style: str = "") -> None:
        self._cells = [" "] * columns
        self._name, self._style = name, style
        self._scale = columns / max(end, 1e-9)
        self._free = 0

    def fill(self, at: float, until: float, mark: str) -> None:
        last = len(self._cells) - 1
        begin = min(last, max(0, round(at * self._scale)))
        for place in range(begin, min(last, max(begin, round(until * self._scale) - 1)) + 1):
            self._cells[place] = mark

    def write(self, at: float, words: str) -> None:
        """Words from a place on, or from where the last ones ended."""
        begin = max(round(at * self._scale), self._free)
        for place, letter in enumerate(words, begin):
            if place < len(self._cells):
                self._cells[place] = letter
        self._free = begin + len(words) + 1

    def text(self) -> Text:
        return Text.assemble(f"{self._name:<{_LABELS}}", ("".join(self._cells), self._style))


def _lanes(call: Mapping[str, Any], tree: Tree, width: int) -> Iterator[Text]:
    on_axis = lanes(tree)
    end, columns, budget = on_axis["duration_seconds"], width - _LABELS, budget_of(call)
    axis = _Row("", end, columns, DIM)
    step = next(
        (s for s in (5, 10, 15, 30, 60, 120, 300, 600, 1800) if end / s * 7 <= columns), 3600
    )
    for tick in range(int(end / step) + 1):
        axis.write(tick * step, _clock(tick * step))
    numbers, waits = _Row("turn", end, columns), _Row("wait", end, columns)
    starts = {mark["turn"]: mark["at"] for mark in reversed(on_axis["agent"]) if "turn" in mark}
    for turn in _shown(call):
        sound, waited = starts.get(turn.get("number")), turn.get(LATENCY)
        if sound is None:
            continue
        over = waited is not None and waited > budget
        numbers.write(sound - (waited or 0.0), f"{turn['number']}{'!' if over else ''}")
        if waited is not None:
            waits.fill(sound - waited, sound, "▓" if over else "▒")
    caller, agent = _Row("caller", end, columns, "cyan"), _Row("agent", end, columns, "green")
    for mark in on_axis["unheard"]:
        agent.fill(mark["at"], mark["end"], "░")
    for row, key in ((caller, "caller"), (agent, "agent")):
        for mark in on_axis[key]:
            row.fill(mark["at"], mark["end"], "█")
    tools, events = _Row("tools", end, columns), _Row("events", end, columns)
    for mark in on_axis["tools"]:
        tools.write(mark["at"], f"{'x' if 'is_error' in mark else 'T'} {plain(mark['name'])}")
    for mark in on_axis["events"]:
        if mark["kind"] != "tool_failed":
            sign = _SIGNS.get(mark["kind"], "!")
            words = f" {mark['words']}" if "words" in mark else ""
            events.write(mark["at"], f"{sign} {plain(mark['text'] + words)}")
    yield from (row.text() for row in (axis, numbers, caller, agent, waits))
    yield from (row.text() for row in (tools, events) if row.text().plain.split()[1:])


_SIGNS = {"barge_in": "›", "handoff": "⇄", "telephone": "☎", "noted": "•"}


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _turns(call: Mapping[str, Any], width: int) -> Iterator[Text]:
    turns, budget = _shown(call), budget_of(call)
    columns = width - _NUMBERS - _LATENCY
    scale = max([_waited(turn) for turn in turns] + [budget * 1.25]) * 1.05
    post = round(columns * budget / scale)
    marks = f"0{f'budget {budget:g} s':>{post}}"
    yield Text(f"{' #  at':<{_NUMBERS}}{marks:<{columns}}{'seconds':>{_LATENCY - 1}}", style=DIM)
    for turn in turns:
        over = turn.get(LATENCY, 0.0) > budget
        number = f"{'!' if over else ' '}{turn.get('number', '')}"
        yield Text.assemble(
            (f"{number:<{_NUMBERS}}", BAD if over else ""),
            _bar(turn, columns, scale, post),
            (f"{_latency(turn):>{_LATENCY - 1}}", BAD if over else ""),
        )
        yield from _said(turn)


def _waited(turn: Mapping[str, Any]) -> float:
    return float(turn.get(LATENCY, turn.get("first_output_seconds", 0.0)))


def _latency(turn: Mapping[str, Any]) -> str:
    if LATENCY in turn:
        return f"{turn[LATENCY]:.2f}"
    return f"({_waited(turn):.2f})" if _waited(turn) else ""


def _bar(turn: Mapping[str, Any], columns: int, scale: float, post: int) -> Text:
    """The parts as letters; the budget as a line through them."""
    failed = {tool.get("name") for tool in turn.get("tools", ()) if tool.get("is_error")}
    bar, at = Text(), 0.0
    parts = turn.get("parts", {})
    places = [0.0]
    for seconds in parts.values():
        at += seconds
        places.append(at)
    for (name, _), (begin, end) in zip(parts.items(), pairwise(places), strict=True):
        count = round(end / scale * columns) - round(begin / scale * columns)
        kind = kind_of(name)
        letter = "x" if name.removeprefix("tool.") in failed else kind.letter
        bar.append(letter * count, style=_STYLES.get(kind.key, ""))
    bar.append(" " * (columns - len(bar)))
    line = "|" if _waited(turn) > post / columns * scale else "┊"
    return Text.assemble(bar[:post], (line, BAD), bar[post + 1 : columns])


def _said(turn: Mapping[str, Any]) -> Iterator[Text]:
    for who, key in (("U", "user_text"), ("A", "agent_text")):
        if turn.get(key):
            yield Text(f"{'':{_NUMBERS}}{who} {plain(turn[key])}")
    facts = " · ".join(_facts(turn))
    if facts:
        yield Text(f"{'':{_NUMBERS}}· {facts}", style=DIM)


def _facts(turn: Mapping[str, Any]) -> Iterator[str]:
    for tool in turn.get("tools", ()):
        took = f" {tool['duration_seconds']:.2f} s" if "duration_seconds" in tool else ""
        yield f"{plain(tool.get('name', ''))}{' failed' if tool.get('is_error') else ''}{took}"
    if turn.get("interrupted"):
        heard = f" after {turn['heard_seconds']:.2f} s" if "heard_seconds" in turn else ""
        part = f", {turn['heard_share']:.0%} heard" if "heard_share" in turn else ""
        yield f"{'barge-in' if turn.get('barged_in') else 'interrupted'}{heard}{part}"
    if turn.get("overlap_seconds"):
        yield f"{turn['overlap_seconds']:.2f} s gained"
    if turn.get("transcript_corrections"):
        yield "corrected transcript"


def _legend(call: Mapping[str, Any]) -> Iterator[Text]:
    """What the letters mean, those that are there."""
    found = {
        kind.letter: "tool" if kind.key == "tool" else kind.label
        for turn in _shown(call)
        for name, seconds in turn.get("parts", {}).items()
        if seconds > 0.001 and (kind := kind_of(name))
    }
    if any(tool.get("is_error") for turn in _shown(call) for tool in turn.get("tools", ())):
        found["x"] = "tool that failed"
    yield Text("  ".join(f"{letter} {label}" for letter, label in found.items()), style=DIM)
    yield Text(
        "! over the budget · (…) first output, nobody had spoken · ░ made, never heard", style=DIM
    )
