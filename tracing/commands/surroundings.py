"""What every command stands on: the calls it reads, the console it prints to, how it fails."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer
from rich.console import Console

from tracing.config.backends import STORE_NAME
from tracing.otlp_json import LeftOut, OtlpJsonError
from tracing.places import data_directory
from tracing.read.selection import ChoiceError, choose_call
from tracing.read.sources import RecordedFiles, Source
from tracing.safe_text import get_logger, safe
from tracing.store.call_rows import CallSummary
from tracing.store.store import Store

if TYPE_CHECKING:
    from tracing.config.settings import Settings

T = TypeVar("T")

logger = get_logger("tracing.cli")
_PIPED_COLUMNS = 200


def is_file(given: str) -> bool:
    """Whether an argument is a file to read, standard input included."""
    return given == "-" or Path(given).is_file()


@contextmanager
def opened(files: Sequence[Path] | None, directory: Path, strict: bool) -> Iterator[Source]:
    """The calls that a command reads: those of the files, else of the local store."""
    if files:
        recorded = RecordedFiles(files, strict=strict)
        say_left_out(recorded.left_out)
        yield recorded
    else:
        path = data_directory(directory) / STORE_NAME
        with Store(path, read_only=True) as store:
            waiting = store.waiting_calls()
        if waiting:
            _catch_up(path)
        with Store(path, read_only=True) as store:
            yield store


def chosen_call(
    selector: str | None, source: Source, files: Sequence[Path] | None, directory: Path
) -> CallSummary:
    """The call that is asked for, else the latest; where there is none at all, how to get one."""
    calls = list(source.calls())
    if not calls:
        raise ChoiceError(no_calls(files, directory))
    return choose_call(selector, calls)


def no_calls(files: Sequence[Path] | None, directory: Path) -> str:
    """That nothing is there to be read, and how to get a call."""
    if files:
        return "No call in these files."
    return (
        f"No calls in {directory} yet. Agents that set up tracing here record theirs; in a "
        "checkout of this project `make demo` makes one, offline and without keys"
    )


def _catch_up(path: Path) -> None:
    """Describe once what an earlier version has stored."""
    # Late, because it is seldom needed.
    from tracing.store.catching_up import catch_up
    from tracing.terminal.progress import progress_bar

    with progress_bar("calls to describe, once") as tell:
        catch_up(path, tell)


def settings_of(backend: str | None, directory: Path) -> Settings:
    """The settings that delivery by hand goes by; ends with status 2 where they are wrong."""
    from tracing.config.load import load_settings

    names = backend.split(",") if backend else None
    return set_up(lambda: load_settings(names, directory=directory))


def set_up(read: Callable[[], T]) -> T:
    """What is read from the settings; every problem in them is said, and ends it with status 2."""
    from tracing.config.settings import ConfigError

    try:
        return read()
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def say_left_out(left_out: Mapping[Path, LeftOut]) -> None:
    """Say what of each file could not be read."""
    for path, found in left_out.items():
        complain(f"{path}: left out {found}")


def complain(text: str) -> None:
    """Say it where errors go, in the name of this program."""
    typer.echo(safe(f"livekit-tracing: {text}"), err=True)


def make_console() -> Console:
    """A console that is as wide as the terminal, or wide enough to cut nothing in a pipe."""
    if sys.stdout is not None and sys.stdout.isatty():
        return Console(highlight=False)
    columns = shutil.get_terminal_size((_PIPED_COLUMNS, 0)).columns
    return Console(highlight=False, width=columns)


@contextmanager
def failures_said() -> Iterator[None]:
    """Say in one line what could not be read, and exit with status 2."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read our output has enough
    except (typer.Exit, typer.Abort):
        raise
    except (ChoiceError, OtlpJsonError, OSError) as error:
        complain(_words(error))
        raise typer.Exit(2) from error
    except Exception as error:
        logger.debug("the command failed", exc_info=True)
        complain(f"cannot go on, by a fault of this program: {error!r}")
        raise typer.Exit(2) from error


def _words(error: Exception) -> str:
    """What is wrong, and with which file where that is known."""
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(filter(None, (error.filename and str(error.filename), error.strerror)))
    return str(error)
