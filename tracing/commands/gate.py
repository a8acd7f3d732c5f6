"""`report --check` and `--baseline`: whether calls pass, said and as the status of the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import typer

from tracing.read.baseline import against
from tracing.read.gate import Check, Judged, judge
from tracing.terminal.gate import gate_lines
from tracing.terminal.report import to_json

Call = Mapping[str, Any]


class Gate(NamedTuple):
    """What calls have to pass."""

    checks: Sequence[Check]
    baseline: Sequence[Call] | None
    baseline_name: str


def pass_through(gate: Gate, calls: Sequence[Call], *, as_json: bool) -> NoReturn:
    """Say what does not hold; ends with 1 for a breach, with 2 where anything cannot be told.

    As JSON the report has `checks` and `baseline` too, and the lines go to standard error.
    """
    judged = judge(gate.checks, calls)
    compared = None
    if gate.baseline is not None:
        compared = against(gate.baseline, calls, gate.baseline_name)
    if as_json:
        checks = [_as_json(one) for one in judged]
        found = {"checks": checks, **({} if compared is None else {"baseline": compared})}
        typer.echo(to_json({"calls": calls, **found}))
    for line in gate_lines(judged, compared, len(calls)):
        typer.echo(line, err=as_json)
    raise typer.Exit(_status(judged, compared))


def _status(judged: Sequence[Judged], compared: Mapping[str, Any] | None) -> int:
    holds = [one.holds for one in judged]
    if compared is not None:
        holds.append(None if "is_worse" not in compared else not compared["is_worse"])
    return 2 if None in holds else int(not all(holds))


def _as_json(judged: Judged) -> dict[str, Any]:
    """A check as the report has it; without `value` and `holds` where it cannot be told."""
    check, found = judged
    told = {"check": check.text, "name": check.name, "limit": check.limit}
    if found is None:
        return told
    counted = {"counted_over": found.over, "counted": found.of}
    return {**told, "value": found.value, **counted, "holds": judged.holds}
