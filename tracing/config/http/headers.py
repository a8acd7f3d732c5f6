"""HTTP headers as people have them, sent as they were meant or refused with the mend.

Problems name an entry by its place or its name, never by its value, which may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from tracing.config.environment import Environment, unquoted

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ANOTHER_ENTRY = re.compile(r";\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*[=:]")

GIVE = "give key=value,key=value"


def read_headers(given: object, env: Environment, *variables: str) -> dict[str, str]:
    """Headers from a mapping, or from a list whose values may be URL-encoded or not."""
    source = env.named(*variables) if given is None and variables else "headers="
    headers = env.text(*variables) if given is None else given
    if isinstance(headers, str):
        return _checked(source, _entries(source, headers, env.problems), env.problems)
    if not isinstance(headers, Mapping):
        what = type(headers).__name__
        env.problems.append(f"{source} is a {what}: give a mapping, or key=value,key=value")
        return {}
    return _checked(source, _plain(source, headers, env.problems), env.problems)


def _entries(source: str, text: str, problems: list[str]) -> Iterable[tuple[str, str]]:
    """Name and value of each entry of a list: `key=value`, or `key: value`, quoted or not."""
    for number, quoted in enumerate(unquoted(text).split(","), 1):
        entry = unquoted(quoted)
        if not entry:
            continue
        split = re.match(r"([^=:]*)[=:](.*)", entry, re.DOTALL)
        if split is None:
            problems.append(f"{source} has an entry without '=', entry {number}: {GIVE}")
            continue
        name, value = split[1].strip(), split[2]
        if _ANOTHER_ENTRY.search(value):
            problems.append(
                f"{source} has a ';' in entry {number}: separate entries with commas, "
                "and write a semicolon in a value as %3B"
            )
        elif not _NAME.fullmatch(name):
            problems.append(f"{source} has no header's name in entry {number}: {GIVE}")
        else:
            yield name.lower(), unquote(unquoted(value))


def _plain(
    source: str, headers: Mapping[object, object], problems: list[str]
) -> Iterable[tuple[str, str]]:
    """Name and value of each item of a mapping."""
    for name, value in headers.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.append(f"{source} has a key that is no header's name: give texts as keys")
        elif not isinstance(value, str) and not is_number:
            what = type(value).__name__
            problems.append(f"{source} holds a {what} for {name!r}: give a text, or leave it out")
        else:
            yield name, str(value)


def _checked(
    source: str, entries: Iterable[tuple[str, str]], problems: list[str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in entries:
        if name.lower() in {other.lower() for other in found}:
            problems.append(f"{source} names {name!r} twice: give it once")
        elif not value.isprintable() or not value.isascii():
            problems.append(f"{source} holds for {name!r} what HTTP cannot carry: copy it again")
        else:
            found[name] = value
    return found
