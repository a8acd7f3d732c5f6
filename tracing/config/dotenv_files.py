"""The variables of `.env.local` and `.env`, below those that the process has.

Agents often call `setup_tracer()` above `load_dotenv()`, or never call that; their job processes
inherit what was loaded by then. Read here, the files lead every process to the same choice.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from dotenv import dotenv_values

from tracing.config.environment import OUR_PREFIX, VARIABLES, as_flag
from tracing.safe_text import get_logger

logger = get_logger(__name__)

FILE_NAMES = (".env.local", ".env")


def process_environ() -> Mapping[str, str]:
    """`os.environ`, which is never written, and what only the files have of `VARIABLES`
    (and of names of ours that are misspelt).

    The working directory's files go before those beside the main script, `.env.local` before
    `.env`. As with `load_dotenv`, PYTHON_DOTENV_DISABLED switches that off.
    """
    environ = dict(os.environ)
    if not as_flag(environ.get("PYTHON_DOTENV_DISABLED")):
        for path in _files():
            for name, value in _values(path).items():
                if value and (name in VARIABLES or name.startswith(OUR_PREFIX)):
                    environ.setdefault(name, value)
    return environ


def _files() -> Iterator[Path]:
    # In a job's process the agent's module is imported under the first of these names.
    main = sys.modules.get("__mp_main__") or sys.modules.get("__main__")
    script = getattr(main, "__file__", None)
    directories = [Path.cwd(), *([Path(script).absolute().parent] if script else [])]
    for directory in dict.fromkeys(directories):
        yield from (directory / name for name in FILE_NAMES)


def _values(path: Path) -> Mapping[str, str | None]:
    if not os.path.isfile(path):  # a pipe, as of some keepers of secrets, can be read but once
        return {}
    try:
        return dotenv_values(path)
    except (OSError, UnicodeError) as error:
        logger.warning("%s cannot be read, so nothing of it is used: %s", path, error)
        return {}
