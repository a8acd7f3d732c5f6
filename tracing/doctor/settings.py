"""What is set, where it was set, whether it is used; and which files were read for it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream

from tracing.config.backends import Backend
from tracing.config.dotenv_files import (
    FILE_NAMES,
    Source,
    are_switched_off,
    file_paths,
    sources,
)
from tracing.config.environment import VARIABLES, shown, unquoted
from tracing.config.settings import ConfigError, Settings, backends_of
from tracing.doctor.findings import Finding, mend, note, ok

_PUBLIC_PREFIX = "pk-"


def look_at_problems(error: ConfigError) -> Iterator[Finding]:
    """Why nothing can be set up with what is given."""
    for problem in error.problems:
        yield mend("settings", *_with_mend(problem))


def _with_mend(problem: str) -> tuple[str, str]:
    text, _, how = problem.partition(": ")
    return text, how


def look_at_choice(settings: Settings, *, sees_code: bool) -> Iterator[Finding]:
    """Where spans go, and why there; `sees_code` tells whether this is the agent's process."""
    if settings.off_because:
        yield note("settings", f"tracing is off, because {settings.off_because}")
        return
    places = ", ".join(_place(one) for one in backends_of(settings) if not one.beside)
    unseen = "" if sees_code else "; what code gives to setup_tracer is seen by its check() alone"
    yield ok("settings", f"spans go to {places} ({settings.chosen_by}){unseen}")
    for remark in settings.remarks:
        yield note("settings", *_with_mend(remark))


def look_at_given(settings: Settings | None, arguments: Mapping[str, Any]) -> Iterator[Finding]:
    """Every argument and variable that has a value, masked, with where it has it from."""
    unused = settings.unused if settings is not None else ()
    for name, value in arguments.items():
        yield _given(f"{name}=", _argument(name, value), "the arguments of setup_tracer", unused)
    found = sources()
    for name in VARIABLES:
        having = [source for source in found if name in source.values]
        if having and having[0].values[name]:
            yield _given(name, _variable(name, having[0]), having[0].name, unused)
            yield from _overruled(name, having)


def look_at_files() -> Iterator[Finding]:
    """Which `.env.local` and `.env` are there, and whether they are read."""
    paths = [path for path in file_paths() if os.path.lexists(path)]
    for path in paths:
        yield _file(path)
    for directory in Path.cwd().parents if not paths else ():
        for path in (directory / name for name in FILE_NAMES if (directory / name).is_file()):
            how = "start the agent where the file is, or move the file to where it starts"
            yield note(path.name, f"{path} is not read: it is above the working directory", how)


def _file(path: Path) -> Finding:
    name = path.name
    if are_switched_off():
        return note(name, f"{path} is not read: PYTHON_DOTENV_DISABLED is set")
    if not path.is_file():
        return note(name, f"{path} is not read: it is no regular file")
    try:
        broken = _broken_lines(path.read_text(encoding="utf-8"))
    except PermissionError:
        return mend(name, f"{path} is not read: this user may not", f"chmod u+r {path}")
    except (OSError, UnicodeError) as error:
        return mend(name, f"{path} is not read: {_reason(error)}", "save it as UTF-8 text")
    if broken:
        text = f"{path} has on line {', '.join(map(str, broken))} no NAME=VALUE, which is left out"
        return mend(name, text, "write it as NAME=VALUE")
    [names] = [sorted(one.values) for one in sources() if one.name == str(path)] or [[]]
    used = ", ".join(names) or "nothing in it is a setting of tracing"
    return ok(name, f"{path} is read: {used}")


def _broken_lines(text: str) -> list[int]:
    """The numbers of the lines that nothing is read from, though they are not empty."""
    return [one.original.line for one in parse_stream(io.StringIO(text)) if one.error]


def _reason(error: Exception) -> str:
    return "it is not in UTF-8" if isinstance(error, UnicodeError) else str(error)


def _given(name: str, value: str, source: str, unused: Sequence[str]) -> Finding:
    text = f"{value} from {source}"
    if name in unused:
        return note(name, f"{text}, is used by no backend that is chosen", "leave it out")
    return ok(name, text)


def _overruled(name: str, having: Sequence[Source]) -> Iterator[Finding]:
    """The file that says otherwise and is not heard."""
    values = [source.values[name] for source in having]
    for source, value in zip(having[1:], values[1:], strict=True):
        if value != values[0]:
            text = f"another value in {source.name} does not count, that of {having[0].name} does"
            yield note(name, text, "leave one of them out")


def _place(backend: Backend) -> str:
    return f"{backend.name} at {backend.url}" if backend.url else backend.name


def _variable(name: str, source: Source) -> str:
    value = unquoted(source.values[name])
    return _masked(value) if is_secret(name) else value


def _argument(name: str, value: Any) -> str:
    if is_secret(name):
        return _masked(value) if isinstance(value, str) else f"a {type(value).__name__}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_argument(name, one) for one in value)
    return value if isinstance(value, str) else shown(value)


def _masked(value: str) -> str:
    """A public key as it is, and of anything else that it is there."""
    is_public = value.startswith(_PUBLIC_PREFIX) and value.isascii() and value.isprintable()
    return value if is_public else f"[secret] of {len(value)} characters"


def is_secret(name: str) -> bool:
    """Whether a variable or argument of that name may open something."""
    return name.lower().endswith(("_key", "headers")) and "client_key" not in name.lower()


def secrets_given(arguments: Mapping[str, Any]) -> Iterator[str]:
    """The values of those, so that no server's words repeat them, also where settings are wrong."""
    given = [(name, value) for name, value in arguments.items() if isinstance(value, str)]
    for source in sources():
        given += [(name, source.values[name]) for name in VARIABLES if name in source.values]
    for name, value in given:
        if is_secret(name) and not unquoted(value).startswith(_PUBLIC_PREFIX):
            yield unquoted(value)
