"""`report`: calls as a table, as JSON or CSV, or two sides compared."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from tracing.commands.gate import Gate, pass_through
from tracing.commands.options import (
    Agent,
    Baseline,
    Call,
    Checks,
    Directory,
    Files,
    Model,
    Sides,
    Since,
    Strict,
    Until,
    Where,
)
from tracing.commands.surroundings import (
    failures_said,
    make_console,
    no_calls,
    opened,
)
from tracing.read.baseline import load_baseline
from tracing.read.compare import compare
from tracing.read.gate import parse_checks
from tracing.read.selection import ChoiceError, choose, choose_call, matching, parse_time
from tracing.read.sources import Source, described
from tracing.store.call_rows import CallSummary
from tracing.terminal.comparison import print_comparison
from tracing.terminal.report import print_report, to_json, write_csv, write_json

EXAMPLES = (
    "python -m tracing report --last 5",
    "python -m tracing report --since 2h --where tag=vip",
    "python -m tracing report --compare tag=vip tag=std",
    'python -m tracing report --check "p95<=1.2" --baseline baseline.json',
    "python -m tracing report calls.json --json",
)


def report(
    files: Files = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a row per turn.")] = False,
    sides: Sides = None,
    checks: Checks = None,
    baseline: Baseline = None,
    call: Call = None,
    since: Since = None,
    until: Until = None,
    agent: Agent = None,
    model: Model = None,
    where: Where = None,
    last: Annotated[int | None, typer.Option(min=1, help="The last so many calls.")] = None,
    strict: Strict = False,
    *,
    directory: Directory,
) -> None:
    """Show calls: each turn's latency and where it went, interruptions, tools, errors, usage."""
    with failures_said():
        if as_csv and (as_json or sides):
            raise ChoiceError("--csv goes with neither --json nor --compare")
        _check_files(files or ())
        gate = _gate(checks, baseline)
        if gate and (as_csv or sides):
            raise ChoiceError("--check and --baseline go with neither --csv nor --compare")
        wanted: dict[str, Any] = {
            "since": parse_time(since) if since else None,
            "until": parse_time(until) if until else None,
            "agent": agent,
            "model": model,
        }
        with opened(files, directory, strict or gate is not None) as source:
            found: Iterable[CallSummary] = source.calls(**wanted)
            if where:
                found = matching(where, source, list(found))
            among = list(islice(found, last))
            if sides:
                _print_comparison(source, sides, as_json, among)
                return
            if call:
                among = [choose_call(call, among)]
            if not among:
                is_filtered = any((*wanted.values(), where))
                none = "No call matches." if is_filtered else no_calls(files, directory)
                typer.echo(none, err=True)
            calls = described(source, reversed(among))
            if gate is not None:
                _pass(gate, list(calls), len(among), as_json=as_json)
            _print_calls(calls, as_json, as_csv)


def _check_files(files: Sequence[Path]) -> None:
    """Say of what is no file how a call is asked for: other commands take one in its place."""
    for file in files:
        if str(file) != "-" and not file.exists():
            raise ChoiceError(f"there is no file {file}; a call is asked for by --call {file}")


def _pass(
    gate: Gate, calls: Sequence[Mapping[str, Any]], wanted: int, *, as_json: bool
) -> NoReturn:
    """Say what does not hold of all `wanted` calls, and end with that as the status."""
    if len(calls) < max(wanted, 1):
        raise ChoiceError("without all of the calls nothing can be told of them")
    pass_through(gate, calls, as_json=as_json)


def _gate(checks: Sequence[str] | None, baseline: Path | None) -> Gate | None:
    """What the calls have to pass, if anything."""
    if not checks and baseline is None:
        return None
    saved = None if baseline is None else load_baseline(baseline)
    return Gate(parse_checks(checks or ()), saved, str(baseline))


def _print_calls(calls: Iterable[Mapping[str, Any]], as_json: bool, as_csv: bool) -> None:
    """Print them, as JSON one by one."""
    if as_json:
        write_json("calls", calls, sys.stdout)
    elif as_csv:
        write_csv(list(calls), sys.stdout)
    else:
        print_report(list(calls), make_console())


def _print_comparison(
    source: Source, sides: tuple[str, str], as_json: bool, calls: Sequence[CallSummary]
) -> None:
    a, b = (choose(side, source, calls) for side in sides)
    compared = compare(a, b)
    if as_json:
        typer.echo(to_json({"compare": compared}))
    else:
        print_comparison(compared, make_console())
