"""The variables of `.env.local` and `.env`, below those that the process has.

Agents often call `setup_tracer()` above `load_dotenv()`, or never call that; their job processes
inherit what was loaded by then. Read here, the files lead every process to the same choice.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from dotenv import dotenv_values

from tracing.config.environment import as_flag, may_be_meant
from tracing.safe_text import get_logger

logger = get_logger(__name__)

FILE_NAMES = (".env.local", ".env")


PROCESS = "the environment"
"""The source of a variable that the process itself has."""


class Source(NamedTuple):
    """Where variables come from: the process, or a file; and what each is set to there."""

    name: str
    values: Mapping[str, str]


def process_environ() -> Mapping[str, str]:
    """`os.environ`, which is never written, and what only the files have of `VARIABLES`
    (and of names that may be one of them misspelt).
    """
    environ: dict[str, str] = {}
    for source in sources():
        environ = {**source.values, **environ}
    return environ


def sources(is_wanted: Callable[[str], bool] = may_be_meant) -> Sequence[Source]:
    """The process and what is wanted of the files, those that count first before the others.

    The working directory's files go before those beside the main script, `.env.local` before
    `.env`. As with `load_dotenv`, PYTHON_DOTENV_DISABLED switches that off.
    """
    process = Source(PROCESS, dict(os.environ))
    if are_switched_off():
        return [process]
    return [process, *(Source(str(path), _wanted(path, is_wanted)) for path in file_paths())]


def are_switched_off() -> bool:
    """Whether the process says that no such file is to be read."""
    return bool(as_flag(os.environ.get("PYTHON_DOTENV_DISABLED")))


def file_paths() -> Sequence[Path]:
    """Where files are looked for, those that count first before the others."""
    # In a job's process the agent's module is imported under the first of these names.
    main = sys.modules.get("__mp_main__") or sys.modules.get("__main__")
    script = getattr(main, "__file__", None)
    directories = [Path.cwd(), *([Path(script).absolute().parent] if script else [])]
    return [directory / name for directory in dict.fromkeys(directories) for name in FILE_NAMES]


def _wanted(path: Path, is_wanted: Callable[[str], bool]) -> Mapping[str, str]:
    """What is wanted of a file; an empty value is a line that nobody filled in."""
    return {name: value for name, value in _values(path).items() if value and is_wanted(name)}


def _values(path: Path) -> Mapping[str, str | None]:
    if not os.path.isfile(path):  # a pipe, as of some keepers of secrets, can be read but once
        return {}
    try:
        return dotenv_values(path)
    except (OSError, UnicodeError) as error:
        _say_once(f"{path} cannot be read, so nothing of it is used: {error}")
        return {}


@cache
def _say_once(text: str) -> None:
    """What stays true however often the files are read."""
    logger.warning("%s", text)
