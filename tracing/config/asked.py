"""What a set-up was asked for, and what of a later one does not apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import Any

from tracing.config.environment import Environment, as_flag, shown
from tracing.config.load import BackendArguments, load_settings
from tracing.config.settings import Mask, Settings

_NO_SETTINGS = ("session_id", "user_id", "mask")
"""The arguments of `setup_tracer` that are no settings."""

_MAX_MASKS = 16


@dataclass(frozen=True)
class Masks:
    """Several masks, one after the other."""

    masks: tuple[Mask, ...]

    def __call__(self, text: str) -> str:
        """The text as it may leave the process."""
        for mask in self.masks:
            text = mask(text)
        return text


@dataclass(frozen=True)
class Asked:
    """The arguments of one call of `setup_tracer` that were given."""

    arguments: Mapping[str, Any] = field(repr=False)  # keys are among them

    @classmethod
    def of(cls, **arguments: Any) -> Asked:
        """Those of the arguments that are not None."""
        return cls({name: value for name, value in arguments.items() if value is not None})

    def settings(self) -> Settings:
        """The settings that these arguments and the environment make; raises ConfigError."""
        given = {k: v for k, v in self.arguments.items() if k not in _NO_SETTINGS}
        return load_settings(**given, problems=self._problems())

    def _problems(self) -> list[str]:
        env = Environment({})
        session_id, mask = self.arguments.get("session_id"), self.arguments.get("mask")
        env.check_text("user_id=", self.arguments.get("user_id"))
        if not callable(session_id):
            env.check_text("session_id=", session_id)
        if mask is not None and not callable(mask):
            env.problems.append(f"mask= is {shown(mask)}: give a function, text -> text")
        return env.problems

    @property
    def withholds(self) -> bool:
        """Whether no content may leave the process; what cannot be read may mean that."""
        given = self.arguments.get("capture_content")
        return given is not None and as_flag(given) is not True

    def masks_and(self, again: Asked) -> Mask | None:
        """The mask given here and the later one, as one; None without a further one.

        There are 16 at the most, for a job may make a mask of its own.
        """
        known, mask = self.arguments.get("mask"), again.arguments.get("mask")
        masks = known.masks if isinstance(known, Masks) else (known,) if known else ()
        if "mask" not in again.differing(self) or not callable(mask) or len(masks) >= _MAX_MASKS:
            return None
        return Masks((*masks, mask))

    def over(self, first: Asked) -> Asked:
        """What both ask for, this before the first; a backend that is named comes without its."""
        kept = first
        if "backend" in self.arguments:
            kept = first.without(*BackendArguments.__annotations__)
        return Asked({**kept.arguments, **self.arguments})

    def without(self, *names: str) -> Asked:
        """The same without some arguments."""
        kept = {name: value for name, value in self.arguments.items() if name not in names}
        return replace(self, arguments=kept)

    def differing(self, first: Asked) -> list[str]:
        """The arguments that were given another value, or none, the first time."""
        return [
            name
            for name, value in self.arguments.items()
            if name not in first.arguments or not _is_same(value, first.arguments[name])
        ]


def not_applying(again: Asked, first: Asked, in_force: Settings) -> Sequence[str]:
    """The arguments of a later set-up that ask for something else than is in force.

    Raises ConfigError where they would be wrong in a first one, too.
    """
    differing = again.differing(first)
    if differing and again.over(first).settings() == in_force:
        return [name for name in differing if name in _NO_SETTINGS]
    return differing


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values ask for the same; a function that a job defines again is the same."""
    if isinstance(other, Masks):
        return any(_is_same(one, mask) for mask in other.masks)
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        return one is other or (one.__code__ == other.__code__ and not one.__closure__)
    return bool(one == other)
