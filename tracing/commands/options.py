"""The arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tracing.config.dotenv_files import process_environ
from tracing.config.environment import Environment


def traces_directory() -> Path:
    """Where an agent that starts here keeps its traces, by its variables and files."""
    return Path(Environment(process_environ()).text("TRACING_DIR") or ".tracing")


Files = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Files of OTLP JSON, also packed by gzip or zstd, `-` for standard input; without"
        " them the local store is read."
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse a file of which anything cannot be read.")
]
Sides = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--compare",
        metavar="A B",
        help="Compare two sides: each a session id, the beginning of a trace id, START..END,"
        " or NAME=VALUE such as preemptive_generation=true.",
    ),
]
Checks = Annotated[
    list[str] | None,
    typer.Option(
        "--check",
        metavar="CHECK",
        help="End with 1 unless it holds, as in p95<=1.2 or tool_failure_rate<0.05; may be given"
        " several times.",
    ),
]
Baseline = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="End with 1 where replies are slower than in a saved `report --json`, beyond noise.",
    ),
]
Call = Annotated[
    str | None,
    typer.Option(metavar="CALL", help="One call: a session id or the beginning of a trace id."),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Calls from 2026-10-01, or 2h for 2 hours ago."),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Calls before this.")]
Agent = Annotated[
    str | None, typer.Option(metavar="PATTERN", help="Calls of this agent, as in clinic*.")
]
Model = Annotated[str | None, typer.Option(metavar="PATTERN", help="Calls that used this model.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="NAME=VALUE",
        help="Calls with this tag, metadata, outcome, user or attribute, as in tag=vip; again for"
        " more that has to hold.",
    ),
]
Directory = Annotated[
    Path,
    typer.Option(
        "--dir",
        default_factory=traces_directory,
        show_default="TRACING_DIR, else .tracing",
        help="Where the traces are kept.",
    ),
]
