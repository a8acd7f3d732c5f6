"""What can be taken of what an application says; the rest is a problem, that shows no text."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

from tracing.account.told.prompts import Prompt
from tracing.config.environment import Environment, shown
from tracing.span import AttributeValue


def tags(given: object, env: Environment) -> tuple[str, ...]:
    """What can be taken of tags."""
    if given is None:
        return ()
    if isinstance(given, str):
        env.problems.append("tags= is a str: give a list of texts, such as ['a']")
        return ()
    return env.check_texts("tags=", given)


def name(given: object, env: Environment) -> str:
    """What can be taken of the name of a score or an event; "" for nothing."""
    found = env.check_text("name", given)
    if not found and not env.problems:
        env.problems.append("name is empty: give a text")
    return found


def metadata(argument: str, given: object, env: Environment) -> dict[str, AttributeValue]:
    """What can be taken of metadata."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        env.problems.append(
            f"{argument} is a {type(given).__name__}: give a mapping, such as {{'plan': 'a'}}"
        )
        return {}
    found: dict[str, AttributeValue] = {}
    for key, value in given.items():
        if not isinstance(key, str) or not key:
            env.problems.append(f"{argument} has the name {shown(key)}: give a text")
        elif (kept := _value(value)) is None:
            env.problems.append(
                f"{argument or 'attribute '}{key} is {shown(value)}: give a text, a number, True"
                " or False, or a list of these"
            )
        else:
            found[key] = kept
    return found


def _value(given: object) -> AttributeValue | None:
    """A value as an attribute; None for what is none."""
    if isinstance(given, (str, bool, int, float)):
        return given if _is_finite(given) else None
    if not isinstance(given, (list, tuple)) or not given:
        return None
    kinds = {type(one) for one in given}
    is_plain = len(kinds) == 1 and kinds <= {str, bool, int, float} and all(map(_is_finite, given))
    return [*given] if is_plain else None


def _is_finite(value: object) -> bool:
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return not isinstance(value, float) or math.isfinite(value)


def score(given: object, env: Environment) -> float | str:
    """What can be taken of a score's value; 0 for nothing."""
    if isinstance(given, (bool, int, float, str)) and given != "" and _is_finite(given):
        return given
    env.problems.append(f"value is {shown(given)}: give a number, True or False, or a text")
    return 0


def prompt(given: object, version: object, env: Environment) -> Prompt | None:
    """A prompt by its name and version; None, too, for one that Langfuse did not have."""
    found = given
    if not isinstance(given, str):
        read = given.get if isinstance(given, Mapping) else functools.partial(_read, given)
        found, version = read("name"), read("version")
        if read("is_fallback") is True:
            return None
    if isinstance(version, str) and version.isdecimal():
        version = int(version)
    if isinstance(found, str) and found and type(version) is int and version > 0:
        return Prompt(found, version)
    env.problems.append(
        "prompt has no name and version: give a prompt of Langfuse's SDK, or both of these"
    )
    return None


def _read(prompt: object, field: str) -> object:
    return getattr(prompt, field, None)
