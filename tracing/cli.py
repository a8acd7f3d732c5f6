"""The command line: `python -m tracing report | transcript | view | replay | doctor`."""

from __future__ import annotations

import io
import sys

import typer

from tracing.commands.doctor import doctor
from tracing.commands.replay import replay
from tracing.commands.report import report
from tracing.commands.transcript import transcript
from tracing.commands.view import view

app = typer.Typer(
    help="Read what LiveKit agents did.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (report, transcript, view, replay, doctor):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows ASCII only
    app()
