"""One damaged file through the commands, in this process: how each ended, and whether rightly."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import typer

from tests.fuzz.mutations import damaged
from tracing import cli

REPORTS = (
    ("report",),
    ("report", "--json"),
    ("report", "--csv"),
    ("report", "--check", "p95<=1.2"),
)
"""Each file is reported in one of these forms."""
COMMANDS = (
    ("transcript",),
    ("view", "--terminal"),
    ("view", "--html", os.devnull),
    ("replay", "--backend", "local"),
)
"""What else reads files: a new command belongs here. The file comes behind the first word."""

MAX_CPU_SECONDS, MAX_SECONDS = 5.0, 120.0
"""What one command may take for a file of some kilobytes: of a processor, and until it ends,
which on a machine that does much else says little."""

_command = typer.main.get_command(cli.app)


class TookTooLong(BaseException):
    """A command did not end in time."""


def problems_of(seed: int) -> list[str]:
    """What is wrong with how the commands end on the file of a seed; empty where all is right."""
    content, found = damaged(seed), []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "damaged.json")
        path.write_bytes(content)
        for command in (REPORTS[seed % len(REPORTS)], *COMMANDS):
            place = ("--dir", str(Path(directory, "traces")))
            status, said = run(command[0], str(path), *command[1:], *place)
            if status not in (0, 1, 2) or "Traceback" in said:
                words = f"status {status}: {said[-3_000:]}"
                found.append(f"seed {seed}, {' '.join(command)}: {words}")
    return found


def run(*arguments: str) -> tuple[int, str]:
    """The status of a command, -1 where it did not end by itself, and all that it said."""
    out = io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
        _columns("80"),
        _faults_told(out),
    ):
        try:
            with _in_time():
                return int(
                    _command.main(list(arguments), standalone_mode=False) or 0
                ), out.getvalue()
        except SystemExit as left:
            return int(left.code or 0), out.getvalue()
        except (Exception, TookTooLong):
            traceback.print_exc(file=out)
    return -1, out.getvalue()


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    """Raise TookTooLong where it lasts too long."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TookTooLong

    before = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
    signal.setitimer(signal.ITIMER_PROF, MAX_CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _faults_told(out: io.StringIO) -> Iterator[None]:
    """Have a fault of the command line told with its traceback, which a person does not see."""
    logger, handler = logging.getLogger(cli.__name__), logging.StreamHandler(out)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


@contextlib.contextmanager
def _columns(number: str) -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = number
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
