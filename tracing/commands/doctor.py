"""`python -m tracing doctor`: what stands between an agent and its trace, a line each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tracing.commands.options import traces_directory
from tracing.commands.surroundings import failures_said, make_console
from tracing.doctor.findings import Finding, State

_MARKS: dict[State, tuple[str, str]] = {
    "ok": ("ok  ", "green"),
    "note": ("note", "yellow"),
    "mend": ("mend", "bold red"),
    "unknown": ("?   ", "bold yellow"),
}
EXAMPLES = (
    "python -m tracing doctor",
    "python -m tracing doctor --json",
)


def doctor(
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            show_default="TRACING_DIR, else .tracing",
            help="Where the traces are kept.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Look for what stands in the way of traces; exits 0 if fine, 1 if something is to mend, 2 if
    something could not be looked at.

    Sees what an agent started here would see; the arguments of setup_tracer are in the agent's
    code, where tracing.check() sees them.
    """
    # Not at the top: other commands start without OpenTelemetry.
    from tracing.config.load import load_settings
    from tracing.doctor.examine import examine

    with failures_said():
        found = examine(lambda: load_settings(directory=directory), directory or traces_directory())
        status = status_of(found)
        if as_json:
            document = {"status": status, "findings": [one._asdict() for one in found]}
            typer.echo(json.dumps(document, indent=2))
        else:
            console = make_console()
            for one in found:
                console.print(Text.assemble(_MARKS[one.state], f"  {one.line}"), soft_wrap=True)
    raise typer.Exit(status)


def status_of(found: list[Finding]) -> int:
    """The status that the command ends with."""
    states = {one.state for one in found}
    return 1 if "mend" in states else 2 if "unknown" in states else 0
