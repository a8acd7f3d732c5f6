"""Calls as tables in the terminal, and as rows of CSV."""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracing.calls.application import in_words
from tracing.calls.silence import ENDED_FIRST
from tracing.calls.telephone import caller_of
from tracing.calls.tools import foremost
from tracing.calls.totals import (
    HAPPENINGS,
    HEARD_LATENCY,
    LATENCY,
    SHORTEST_PART_SECONDS,
    budget_of,
    counted_turns,
    of_turns,
    overall,
)
from tracing.safe_text import printable
from tracing.terminal.cells import (
    BAD,
    DIM,
    GOOD,
    TITLE,
    counted,
    new_table,
    plain,
    seconds,
    share,
)
from tracing.terminal.overall import print_overall
from tracing.terminal.sounded import sounded

DETAILED_CALLS = 10
"""Above this many calls each gets a line instead of a table of its turns."""

_TEXT_LENGTH = 70
_NAME_LENGTH = 26
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet's formula, or what hides one, begins with."""
_BEYOND_ASCII = re.compile(r"[^\x00-\x7e]+")


def print_report(calls: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print described calls: the turns of each, or a line each where they are many, and sums."""
    if len(calls) > DETAILED_CALLS:
        console.print(table_of_calls(calls))
        console.print()
    for call in calls if len(calls) <= DETAILED_CALLS else ():
        console.print(call_title(call))
        if call.get("turns"):
            console.print(table_of_turns(call))
            console.print(Text(_legend(call), style=DIM))
        console.print()
    if calls:
        print_overall(overall(calls), console)


def call_title(call: Mapping[str, Any]) -> Text:
    """Which call it was: session, agent, caller, start, duration, turns, end, log, trace."""
    facts = [
        plain(call.get("agent", "")),
        plain(", ".join(call.get("user_ids") or [caller_of(call)])),
        _local_time(call),
        _duration(call),
        counted(len(counted_turns([call])), "turn"),
        plain(call.get("summary", {}).get("close_reason", "")),
        plain(", ".join(in_words(call))),
        _logged(call),
    ]
    name = plain(call.get("session_id", call["trace_id"]))
    return Text.assemble(
        (f"Call {name}", TITLE),
        "".join(f" · {fact}" for fact in facts if fact),
        (f"\ntrace {call['trace_id']}", DIM),
    )


def table_of_turns(call: Mapping[str, Any]) -> Table:
    """A call's turns, a row each."""
    table = new_table(">#", "!Kind", "Said", ">Latency", "!Where it went", "What happened")
    for turn in call.get("turns", ()):
        table.add_row(
            str(turn.get("number", "")),
            plain(turn.get("kind", "")),
            _said(turn),
            _latency(turn, budget_of(call)),
            _parts(turn),
            Text("\n").join(_events(turn)),
        )
    return table


def table_of_calls(calls: Sequence[Mapping[str, Any]]) -> Table:
    """Many calls, a row each."""
    table = new_table(
        "!Started", "Session", "Agent", ">Lasted", ">Turns", ">p50", ">p95", ">Within", "Trouble"
    )
    for call in calls:
        turns = counted_turns([call])
        latency = of_turns(turns, [budget_of(call)] * len(turns))["latency"]
        table.add_row(
            _local_time(call),
            Text(plain(call.get("session_id", call["trace_id"])), overflow="fold"),
            Text(plain(call.get("agent", ""))),
            _duration(call),
            str(len(turns)),
            seconds(latency.get("p50_seconds")),
            seconds(latency.get("p95_seconds")),
            share(latency.get("within_budget_share")),
            Text(_trouble(call), style=BAD),
        )
    return table


def to_json(value: object) -> str:
    """JSON for a person and for jq, to which NaN is none: what is no number is left out.

    Control characters are escapes, those too that JSON itself would let through to a terminal.
    """
    try:
        text = _encode(value)
    except ValueError:
        text = _encode(_finite(value))
    legible = _BEYOND_ASCII.sub(lambda found: _escaped_json(found[0]), text)
    # With `indent` the standard library's encoder takes ten times as long.
    return msgspec.json.format(legible, indent=2)


def write_json(name: str, values: Iterable[object], file: TextIO) -> None:
    """Write `to_json` of an object with this one list as its values come."""
    is_begun = False
    for value in values:
        file.write(",\n" if is_begun else f'{{\n  "{name}": [\n')
        file.write("    " + to_json(value).replace("\n", "\n    "))
        is_begun = True
    file.write("\n  ]\n}\n" if is_begun else f'{{\n  "{name}": []\n}}\n')


def write_csv(calls: Sequence[Mapping[str, Any]], file: TextIO) -> None:
    """Write a row per turn; parts and other groups are columns such as `parts.turn_decision`."""
    rows = [_row(call, turn) for call in calls for turn in call.get("turns", ())]
    columns = list(dict.fromkeys(key for row in rows for key in row)) or list(_CALL_COLUMNS)
    writer = csv.writer(file)
    writer.writerow(map(_cell, columns))
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)


def _cell(value: object) -> object:
    """A cell that a spreadsheet takes for no formula, and a terminal for no command."""
    if not isinstance(value, str):
        return value
    return printable(f"'{value}" if value.startswith(_FORMULA) else value, keep="\n\t")


def _escaped_json(text: str) -> str:
    if printable(text) == text:
        return text
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "".join(one if printable(one) == one else json.dumps(one)[1:-1] for one in whole)


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str).encode


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items() if _is_finite(item)}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value if _is_finite(item)]
    return value


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


_CALL_COLUMNS = ("trace_id", "session_id", "user_id", "agent", "started_at")
_TURN_COLUMNS = ("number", "kind", "user_text", "agent_text", LATENCY, "interrupted", "barged_in")


def _row(call: Mapping[str, Any], turn: Mapping[str, Any]) -> dict[str, Any]:
    row = {key: call.get(key) for key in _CALL_COLUMNS}
    row.update({key: turn.get(key) for key in _TURN_COLUMNS})
    for key, value in turn.items():
        if isinstance(value, Mapping):
            row.update({f"{key}.{name}": inner for name, inner in value.items()})
        else:
            row[key] = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
    return row


def _said(turn: Mapping[str, Any]) -> Text:
    lines = [
        f"{who}: {plain(turn[key], _TEXT_LENGTH)}"
        for who, key in (("U", "user_text"), ("A", "agent_text"))
        if turn.get(key)
    ]
    return Text("\n".join(lines))


def _latency(turn: Mapping[str, Any], budget_seconds: float) -> Text:
    latency = turn.get(LATENCY)
    if latency is None:
        first_output = turn.get("first_output_seconds")
        return Text("" if first_output is None else f"({seconds(first_output)})", style=DIM)
    is_over = latency > budget_seconds
    told = Text(f"{'! ' if is_over else ''}{seconds(latency)}", style=BAD if is_over else GOOD)
    if HEARD_LATENCY in turn:
        told = Text.assemble(told, (f"\n{seconds(turn[HEARD_LATENCY])}", DIM))
    return told


def _legend(call: Mapping[str, Any]) -> str:
    turns = call["turns"]
    notes = []
    if any(turn.get(LATENCY, 0) > budget_of(call) for turn in turns):
        notes.append(f"! over the budget of {budget_of(call):g} s")
    if any(LATENCY not in turn and "first_output_seconds" in turn for turn in turns):
        notes.append("(…) first output of a turn that answers nobody")
    if any(HEARD_LATENCY in turn for turn in turns):
        notes.append("below the latency: as it was heard, from sound to sound")
    if any(turn.get("user_text") or turn.get("agent_text") for turn in turns):
        notes.append("U user, A agent")
    return " · ".join(notes)


def _parts(turn: Mapping[str, Any]) -> Text:
    """The parts long enough to matter, the longest in bold."""
    parts = turn.get("parts", {})
    shown = {name: value for name, value in parts.items() if value >= SHORTEST_PART_SECONDS}
    longest = max(shown.values(), default=0)
    return Text("\n").join(
        Text(f"{value:.2f} {plain(name, _NAME_LENGTH)}", style=TITLE if value == longest else "")
        for name, value in shown.items()
    )


def _events(turn: Mapping[str, Any]) -> Iterator[Text]:
    """What a reader should know of a turn beside its time, a line each."""
    if turn.get("is_unfinished"):
        yield Text(f"cut off: {ENDED_FIRST}", style=BAD)
    if turn.get("interrupted"):
        yield Text(_interruption(turn), style="yellow")
    tools, more = foremost(turn.get("tools", ()))
    yield from map(_tool, tools)
    if more:
        yield Text(more)
    failed = Counter(
        (plain(error.get("stage", "")), plain(error.get("message", ""), _TEXT_LENGTH))
        for error in turn.get("errors", ())
        if error.get("stage") != "tool"
    )
    for (stage, message), count in failed.items():
        times = f", {count} times" if count > 1 else ""
        yield Text(f"{stage} error{times}{message and ': ' + message}", style=BAD)
    for key, one in HAPPENINGS.items():
        if turn.get(key):
            yield Text(counted(turn[key], one))
    yield from map(Text, sounded(turn))
    if turn.get("overlap_seconds"):
        yield Text(f"{seconds(turn['overlap_seconds'])} gained by preemption", style=GOOD)


def _interruption(turn: Mapping[str, Any]) -> str:
    word = "barge-in" if turn.get("barged_in") else "interrupted"
    if "heard_seconds" in turn:
        word += f" after {seconds(turn['heard_seconds'])}"
    if "heard_share" in turn:
        word += f" ({share(turn['heard_share'])} heard)"
    return word


def _tool(tool: Mapping[str, Any]) -> Text:
    name = f"tool {plain(tool.get('name', ''))}"
    if tool.get("is_unfinished"):
        return Text(f"{name} unfinished: {ENDED_FIRST}", style=BAD)
    took = f" {seconds(tool.get('duration_seconds'))}".rstrip()
    if not tool.get("is_error"):
        return Text(name + took)
    reason = plain(tool.get("error", ""), _TEXT_LENGTH)
    return Text(f"{name} failed{took and ' after' + took}{reason and ': ' + reason}", style=BAD)


def _trouble(call: Mapping[str, Any]) -> str:
    errors = call.get("summary", {}).get("errors", {})
    return " · ".join(f"{plain(stage)} {count}" for stage, count in errors.items())


def _logged(call: Mapping[str, Any]) -> str:
    """How many warnings and errors were logged; "" for none."""
    found = call.get("log", {})
    counts = [
        counted(found[f"{one}s"], one) for one in ("warning", "error") if found.get(f"{one}s")
    ]
    return f"{' and '.join(counts)} logged" if counts else ""


def _local_time(call: Mapping[str, Any]) -> str:
    try:
        started = datetime.fromisoformat(call["started_at"])
    except (KeyError, ValueError):
        return plain(call.get("started_at", ""))
    return started.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _duration(call: Mapping[str, Any]) -> str:
    if "duration_seconds" not in call:
        return ""
    duration = call["duration_seconds"]
    if duration < 60:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes} min {rest} s"
