"""`replay`: recorded calls delivered as live ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tracing.commands.options import Directory, Strict
from tracing.commands.surroundings import complain, failures_said, say_left_out, settings_of
from tracing.read.selection import ChoiceError

EXAMPLES = (
    "python -m tracing replay calls.json --backend langfuse --dry-run",
    "python -m tracing replay calls.json --backend langfuse",
    "python -m tracing replay calls.json --backend langfuse,local --rate 200",
)


def replay(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files of OTLP JSON, also packed; `-` for standard input."),
    ],
    backend: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="langfuse, otlp, local, or several with commas."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be delivered, and deliver nothing.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.1, metavar="N", help="At most so many spans a second.")
    ] = None,
    strict: Strict = False,
    *,
    directory: Directory,
) -> None:
    """Deliver recorded calls, stamped as live ones are; exits 1 if something is left or lost.

    A replay that was stopped goes on where it was when it is given the same files again.
    """
    with failures_said():
        # Late, because the other commands can do without.
        from tracing.commands.redelivery import plan_replay
        from tracing.commands.redelivery import replay as deliver
        from tracing.terminal.progress import progress_bar

        settings = settings_of(backend, directory)
        if not settings.backends:
            raise ChoiceError(f"nothing is delivered: {settings.off_because}")
        names = ", ".join(settings.backends)
        if dry_run:
            plan = plan_replay(files, settings, strict=strict)
            say_left_out(plan.left_out)
            typer.echo(f"{plan.told()} to {names}")
            return
        try:
            with progress_bar(f"spans to {names}") as progress:
                done = deliver(
                    files, settings, strict=strict, spans_per_second=rate, progress=progress
                )
        except KeyboardInterrupt:
            complain("stopped: the same command goes on where it was")
            raise typer.Exit(1) from None
        say_left_out(done.plan.left_out)
    typer.echo("\n".join(done.told()), err=not done.is_complete)
    if not done.is_complete:
        raise typer.Exit(1)
