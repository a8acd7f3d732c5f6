"""One call as a waterfall of text: lanes on one axis, and each wait in letters on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.text import Text

from tracing.calls.lanes import lanes
from tracing.calls.parts import kind_of, letters
from tracing.calls.rows import agents_of, death_of, doing
from tracing.calls.silence import ENDED_FIRST, Silence, in_words, silences, unanswered
from tracing.calls.tools import bunched, foremost, state_of
from tracing.calls.tools import in_words as tool_words
from tracing.calls.totals import LATENCY, budget_of, of_turns
from tracing.calls.tree import Tree
from tracing.calls.why import why
from tracing.span import Span
from tracing.terminal.cells import BAD, DIM, TITLE, counted, plain, share

_LABELS = 9
"""Columns of the lanes' names."""
_NUMBERS = 12
"""Columns before a turn's bar."""
_LATENCY = 8
"""Columns after it."""
_NARROWEST = 60
_FACT_LINES = 4
"""What is known of a turn has so many lines at most."""

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
    on_axis = lanes(tree)
    for line in _head(call, tree.spans, width):
        console.print(line)
    for line in (Text(), *_lanes(call, on_axis, width), Text()):
        console.print(line, no_wrap=True, overflow="crop", crop=True, soft_wrap=False)
    for line in (*_turns(call, _starts(on_axis), width), Text()):
        console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
    for line in _legend(call):
        console.print(line)


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
    room = width - len(title) - len(trace)
    yield Text.assemble((title, TITLE), " " * room if room > 0 else "\n", (trace, DIM))
    if death_of(spans):
        at = _clock(call.get("duration_seconds", 0.0), tenths=True)
        while_doing = f", {found}" if (found := doing(spans)) else ""
        yield Text(f"the process died {at} into the call{while_doing}", style=BAD)
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
    ended = [f"ended: {closed}"] if closed else []
    if told := "   ".join([*ended, *_tokens(call)]):
        yield Text(told)
    yield from _why(call)


def _tokens(call: Mapping[str, Any]) -> Iterator[str]:
    used = [u for u in call.get("summary", {}).get("usage", ()) if u.get("type") == "llm_usage"]
    read, cached, written = (
        sum(int(u.get(key, 0)) for u in used)
        for key in ("input_tokens", "input_cached_tokens", "output_tokens")
    )
    if read or written:
        yield f"tokens {read:,} in ({cached:,} cached), {written:,} out"


def _why(call: Mapping[str, Any]) -> Iterator[Text]:
    """The answer in words: what was never answered, and what the slow replies waited for."""
    turns = _shown(call)
    lost = unanswered(turns)
    if lost or not turns:
        which = [
            f"{'' if s.number is None else f'{s.number} '}{plain(in_words(s))}" for s in lost[:6]
        ]
        of_all = f"{len(lost)} of {counted(len(turns), 'turn')} brought no answer: "
        words = of_all + "; ".join(which) if turns else "no turn was recorded: nobody was heard"
        yield Text(words, style=BAD if not turns or any(s.stage for s in lost) else "")
    found = why(call)
    if found["over"]:
        yield Text.assemble(
            (f"{found['over']} of {found['replies']} over {found['budget_seconds']:g} s", BAD),
            *(
                f"   {turn['number']} {turn['latency']:.2f}{_more(turn['excess'])}"
                for turn in found.get("turns", ())
            ),
            f"   in the mean{_more(found['parts'])}" if found.get("parts") else "",
        )


def _more(parts: Mapping[str, float]) -> str:
    return ",".join(f" +{more:.2f} {plain(kind_of(part).label)}" for part, more in parts.items())


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
        self.cells = [" "] * columns
        self._name, self._style = name, style
        self._scale = columns / max(end, 1e-9)
        self._free = 0

    def fill(self, at: float, until: float, mark: str) -> None:
        last = len(self.cells) - 1
        begin = min(last, max(0, round(at * self._scale)))
        for place in range(begin, min(last, max(begin, round(until * self._scale) - 1)) + 1):
            self.cells[place] = mark

    def write(self, at: float, words: str) -> None:
        """Words from a place on, or from where the last ones ended; none beyond the end."""
        latest = len(self.cells) - len(words)
        begin = max(min(round(at * self._scale), latest), self._free)
        for place, letter in enumerate(words, begin):
            if place < len(self.cells):
                self.cells[place] = letter
        self._free = begin + len(words) + 1

    def after(self, at: float, words: str) -> float:
        """When words that are written from a place on have ended."""
        return at + (len(words) + 1) / self._scale

    def text(self) -> Text:
        return Text.assemble(f"{self._name:<{_LABELS}}", ("".join(self.cells), self._style))


def _starts(on_axis: Mapping[str, Any]) -> dict[Any, float]:
    """When each turn was first heard."""
    return {mark["turn"]: mark["at"] for mark in reversed(on_axis["agent"]) if "turn" in mark}


def _lanes(call: Mapping[str, Any], on_axis: Mapping[str, Any], width: int) -> Iterator[Text]:
    end, columns, budget = on_axis["duration_seconds"], width - _LABELS, budget_of(call)
    axis = _Row("", end, columns, DIM)
    step = next(
        (s for s in (5, 10, 15, 30, 60, 120, 300, 600, 1800) if end / s * 7 <= columns), 3600
    )
    for tick in range(int(end / step) + 1):
        axis.write(tick * step, _clock(tick * step))
    numbers, waits = _Row("turn", end, columns), _Row("wait", end, columns)
    starts = _starts(on_axis)
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
    for bunch in bunched(on_axis["tools"], lambda found: tools.after(found[0]["at"], _tool(found))):
        tools.write(bunch[0]["at"], _tool(bunch))
    for mark in on_axis["events"]:
        if mark["kind"] != "tool_failed":
            sign = _SIGNS.get(mark["kind"], "!")
            words = f" {mark['words']}" if "words" in mark else ""
            events.write(mark["at"], f"{sign} {plain(mark['text'] + words)}")
    yield from (row.text() for row in (axis, numbers, caller, agent, waits))
    yield from (row.text() for row in (tools, events) if row.text().plain.split()[1:])


def _tool(bunch: Sequence[Mapping[str, Any]]) -> str:
    is_failed = any(tool.get("is_error") for tool in bunch)
    return f"{'x' if is_failed else 'T'} {plain(tool_words(bunch))}"


_SIGNS = {"barge_in": "›", "handoff": "⇄", "telephone": "☎", "noted": "•"}


def _clock(seconds: float, *, tenths: bool = False) -> str:
    minutes, rest = divmod(round(seconds, 1) if tenths else int(seconds), 60)
    return f"{int(minutes)}:{rest:04.1f}" if tenths else f"{minutes}:{rest:02d}"


def _turns(call: Mapping[str, Any], starts: Mapping[Any, float], width: int) -> Iterator[Text]:
    turns, budget = _shown(call), budget_of(call)
    columns = width - _NUMBERS - _LATENCY
    scale = max([_waited(turn) for turn in turns] + [budget * 1.25]) * 1.05
    post = round(columns * budget / scale)
    marks = _marks(columns, scale, budget)
    yield Text(f"{' #  at':<{_NUMBERS}}{marks}{'seconds':>{_LATENCY - 1}}", style=DIM)
    for turn, silence in zip(turns, silences(turns), strict=True):
        over = turn.get(LATENCY, 0.0) > budget
        number = f"{'!' if over else ' '}{turn.get('number', '')}"
        sound = starts.get(turn.get("number"))
        if sound is not None:
            number = f"{number:<3} {_clock(max(0.0, sound - _waited(turn)), tenths=True)}"
        yield Text.assemble(
            (f"{number:<{_NUMBERS}}", BAD if over else ""),
            _bar(turn, columns, scale, post),
            (f"{_latency(turn):>{_LATENCY - 1}}", BAD if over else ""),
        )
        yield from _said(turn, silence, width)


def _marks(columns: int, scale: float, budget: float) -> str:
    """The words above the bars: the budget where its line is, round numbers where there is room."""
    axis = _Row("", scale, columns)
    word = f"budget {budget:g} s"
    at_budget = budget - len(word) / 2 * scale / columns
    step = next((s for s in (0.25, 0.5, 1, 2, 5, 10, 30, 60) if scale / s <= 5), scale)
    places = {n * step: f"{n * step:g}" for n in range(int(scale / step) + 1)}
    room = (len(word) / 2 + 5) * scale / columns
    before = {at: text for at, text in places.items() if at < budget - room}
    after = {at: text for at, text in places.items() if budget + room < at < scale * 0.96}
    for at, text in {**before, at_budget: word, **after}.items():
        axis.write(max(0.0, at), text)
    return "".join(axis.cells)


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


def _said(turn: Mapping[str, Any], silence: Silence | None, width: int) -> Iterator[Text]:
    for who, key in (("U", "user_text"), ("A", "agent_text")):
        if turn.get(key):
            yield Text(f"{'':{_NUMBERS}}{who} {plain(turn[key])}")
    facts = " · ".join([*_facts(turn), *_of_silence(silence)])
    room = width - _NUMBERS - len("· ")
    for line in wrap(facts, room, max_lines=_FACT_LINES, placeholder=" …"):
        yield Text(f"{'':{_NUMBERS}}· {line.removeprefix('· ')}", style=DIM)


def _of_silence(silence: Silence | None) -> Iterator[str]:
    """Why nothing was heard; what the turn called stands beside it."""
    if silence is not None:
        later = silence.answered_by
        yield plain(in_words(silence)) if later is None else f"turn {later} answered"


def _facts(turn: Mapping[str, Any]) -> Iterator[str]:
    if turn.get("is_unfinished") and "agent_started_speaking_at" in turn:
        yield f"cut off: {ENDED_FIRST}"
    tools, more = foremost(turn.get("tools", ()))
    for tool in tools:
        took = f"{tool['duration_seconds']:.2f} s" if "duration_seconds" in tool else ""
        yield " ".join(filter(None, [plain(tool.get("name", "")), state_of(tool), took]))
    if more:
        yield more
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
    there = {
        kind.letter: "tool" if kind.key == "tool" else kind.label
        for turn in _shown(call)
        for name, seconds in turn.get("parts", {}).items()
        if seconds > 0.001 and (kind := kind_of(name))
    }
    found = {letter: there[letter] for letter in letters() if letter in there}
    if any(tool.get("is_error") for turn in _shown(call) for tool in turn.get("tools", ())):
        found["x"] = "tool that failed"
    yield Text("  ".join(f"{letter} {label}" for letter, label in found.items()), style=DIM)
    yield Text(
        "! over the budget · (…) first output, nobody had spoken · ░ made, never heard", style=DIM
    )
