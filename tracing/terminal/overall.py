"""The numbers of many calls, as lines and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracing.calls.totals import HAPPENINGS, SHORTEST_PART_SECONDS
from tracing.read.used import used_as
from tracing.terminal.cells import BAD, GOOD, TITLE, counted, new_table, plain, seconds, share


def print_overall(numbers: Mapping[str, Any], console: Console) -> None:
    """Print what `totals.overall` found, leaving out what no call knows."""
    heading = (counted(numbers["calls"], "call"), counted(numbers["turns"], "turn"))
    console.print(Text(f"In all: {', '.join(heading)}", style=TITLE))
    for line in _lines(numbers):
        console.print(line)
    for table in (_latency_table(numbers), _tool_table(numbers), _model_table(numbers)):
        if table.row_count:
            console.print()
            console.print(table)


def _lines(numbers: Mapping[str, Any]) -> Iterator[Text]:
    latency = numbers.get("latency")
    if latency:
        within = latency["within_budget_share"]
        yield Text.assemble(
            "  Within the budget of ",
            f"{numbers['budget_seconds']:g} s: ",
            (share(within), GOOD if within > 0.5 else BAD),
            f" of {counted(latency['count'], 'turn')} with a latency",
        )
    if "barge_in_rate" in numbers:
        heard = f"{numbers['barge_ins']} of {counted(numbers['heard_turns'], 'turn')} heard"
        yield Text(f"  Barge-ins: {heard} ({share(numbers['barge_in_rate'])})")
    if "mean_transcript_confidence" in numbers:
        mean = numbers["mean_transcript_confidence"]
        yield Text(f"  Speech recognition: confidence {mean:.2f} in the mean")
    counts = [counted(numbers[key], one) for key, one in HAPPENINGS.items() if key in numbers]
    if counts:
        yield Text(f"  {' · '.join(counts)}")
    if "errors" in numbers:
        by_stage = (f"{plain(stage)} {count}" for stage, count in numbers["errors"].items())
        yield Text(f"  Errors: {' · '.join(by_stage)}", style=BAD)


def _latency_table(numbers: Mapping[str, Any]) -> Table:
    table = new_table("Latency", ">Turns", ">p50", ">p95", ">max")
    parts = numbers.get("parts", {})
    rows = [
        ("user to agent", numbers.get("latency")),
        *(
            (f"  {plain(name)}", parts[name])
            for name in sorted(parts, key=lambda name: name == "unaccounted")
            if parts[name]["max_seconds"] >= SHORTEST_PART_SECONDS
        ),
        ("heard, from sound to sound", numbers.get("heard_latency")),
        ("first output, where nobody had spoken", numbers.get("first_output")),
    ]
    for name, found in rows:
        if found:
            table.add_row(Text(name), str(found["count"]), *_percentiles(found))
    return table


def _tool_table(numbers: Mapping[str, Any]) -> Table:
    table = new_table("Tool", ">Calls", ">Failed", ">Failure rate", ">p50", ">p95", ">max")
    for name, tool in numbers.get("tools", {}).items():
        failed = Text(str(tool["failures"]), style=BAD if tool["failures"] else "")
        rate = share(tool["failure_rate"])
        table.add_row(Text(plain(name)), str(tool["calls"]), failed, rate, *_percentiles(tool))
    return table


_USAGE = (
    ("Input", "input_tokens"),
    ("cached", "input_cached_tokens"),
    ("Output", "output_tokens"),
    ("Characters", "characters_count"),
)


def _model_table(numbers: Mapping[str, Any]) -> Table:
    table = new_table("Model", "Provider", "Used as", *(f">{n}" for n, _ in _USAGE), ">Audio")
    for used in numbers.get("usage", ()):
        table.add_row(
            Text(plain(used["model"])),
            Text(plain(used["provider"])),
            Text(plain(used_as(used))),
            *(f"{used[key]:,}" if used.get(key) else "" for _, key in _USAGE),
            f"{used['audio_duration']:,.1f} s" if used.get("audio_duration") else "",
        )
    return table


def _percentiles(found: Mapping[str, float]) -> Iterator[str]:
    return (seconds(found.get(f"{key}_seconds")) for key in ("p50", "p95", "max"))
