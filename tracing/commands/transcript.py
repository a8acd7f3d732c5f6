"""`transcript`: one call's conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tracing.commands.options import Directory, Files, Strict
from tracing.commands.surroundings import (
    chosen_call,
    failures_said,
    is_file,
    make_console,
    opened,
)
from tracing.places import data_directory
from tracing.store.reports import find_reports
from tracing.terminal.report import to_json
from tracing.terminal.transcript import print_transcript

EXAMPLES = (
    "python -m tracing transcript",
    "python -m tracing transcript 4bf9",
    "python -m tracing transcript calls.json --json",
)


def transcript(
    call: Annotated[
        str | None,
        typer.Argument(help="A session id, or the beginning of a trace id; else the latest call."),
    ] = None,
    files: Files = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    strict: Strict = False,
    *,
    directory: Directory,
) -> None:
    """Show a call's conversation, with its tools and handoffs, and LiveKit's own report of it."""
    with failures_said():
        # Late, because `--help` and `doctor` can do without.
        from tracing.calls.transcribe import transcribe
        from tracing.calls.tree import Tree

        if call is not None and is_file(call):
            files, call = [Path(call), *(files or ())], None
        with opened(files, directory, strict) as source:
            chosen = chosen_call(call, source, files, directory)
            found = transcribe(Tree(source.spans(chosen.trace_id)))
        reports = find_reports(data_directory(directory), chosen.trace_id)
        found.update({"reports": reports} if reports else {})
        if as_json:
            typer.echo(to_json(found))
        else:
            print_transcript(found, make_console())
