"""`report`: calls as a table, as JSON or CSV, or two sides compared."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from tracing.commands.options import Agent, Directory, Files, Model, Sides, Since, Strict, Until
from tracing.commands.surroundings import failures_said, make_console, opened
from tracing.read.compare import compare
from tracing.read.selection import ChoiceError, choose, parse_time
from tracing.read.sources import Source, load_calls
from tracing.store.call_rows import CallSummary
from tracing.terminal.comparison import print_comparison
from tracing.terminal.report import print_report, to_json, write_csv, write_json


def report(
    files: Files = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a row per turn.")] = False,
    sides: Sides = None,
    since: Since = None,
    until: Until = None,
    agent: Agent = None,
    model: Model = None,
    last: Annotated[int | None, typer.Option(min=1, help="The last so many calls.")] = None,
    strict: Strict = False,
    directory: Directory = Path(".tracing"),
) -> None:
    """Show calls: each turn's latency and where it went, interruptions, tools, errors, usage."""
    with failures_said():
        if as_csv and (as_json or sides):
            raise ChoiceError("--csv goes with neither --json nor --compare")
        wanted: dict[str, Any] = {
            "since": parse_time(since) if since else None,
            "until": parse_time(until) if until else None,
            "agent": agent,
            "model": model,
        }
        with opened(files, directory, strict) as source:
            if sides:
                among = list(islice(source.calls(**wanted), last))
                _print_comparison(source, sides, as_json, among)
                return
            found = _print_calls(load_calls(source, last=last, **wanted), as_json, as_csv)
        if not found:
            typer.echo(_nothing_found(files, directory, any(wanted.values())), err=True)


def _print_calls(calls: Iterable[Mapping[str, Any]], as_json: bool, as_csv: bool) -> int:
    """Print them, as JSON one by one; how many there were."""
    if as_json:
        return write_json("calls", calls, sys.stdout)
    kept = list(calls)
    if as_csv:
        write_csv(kept, sys.stdout)
    else:
        print_report(kept, make_console())
    return len(kept)


def _print_comparison(
    source: Source, sides: tuple[str, str], as_json: bool, calls: Sequence[CallSummary]
) -> None:
    a, b = (choose(side, source, calls) for side in sides)
    compared = compare(a, b)
    if as_json:
        typer.echo(to_json({"compare": compared}))
    else:
        print_comparison(compared, make_console())


def _nothing_found(files: Sequence[Path] | None, directory: Path, is_filtered: bool) -> str:
    if is_filtered:
        return "No call matches."
    if files:
        return "No call in these files."
    return f"No calls in {directory} yet. To get one in, offline and without keys: make demo"
