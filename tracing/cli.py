"""The command line: `python -m tracing report | transcript | view | replay | doctor`."""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS = ("report", "transcript", "view", "replay", "doctor")
"""Each is the function of its name in the module of its name in `commands`, with its EXAMPLES."""


class _Commands(TyperGroup):
    """A group that imports a command when it is asked for: each needs other parts, and its time."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        module = import_module(f"tracing.commands.{cmd_name}")
        examples = "\n\n".join(("Examples:", *module.EXAMPLES))  # a paragraph is a line
        alone.command(cmd_name, epilog=examples)(getattr(module, cmd_name))
        return typer.main.get_command(alone)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(help="Read what LiveKit agents did.")
def tracing() -> None:
    """Stand before every command, so that there is a group."""


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows ASCII only
    app()
