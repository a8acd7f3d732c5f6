"""Checks of a report's numbers, such as `p95<=1.2`, for a gate in front of a release."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tracing.read.measures import Measured, is_name, known_names, measured
from tracing.read.selection import ChoiceError

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
_SIGNS = "<=, <, >= or >"
_LONGEST = 200
_CHECK = re.compile(r"\s*([^<>=\s][^<>=]*?)\s*(<=|<|>=|>)\s*(\d+\.?\d*|\.\d+)\s*", re.ASCII)


class Check(NamedTuple):
    """A number that has to hold a limit."""

    name: str
    comparison: str
    limit: float
    text: str
    """As it was written, without spaces."""

    def holds(self, value: float) -> bool:
        """Whether a value is within the limit."""
        return _COMPARISONS[self.comparison](value, self.limit)


class Judged(NamedTuple):
    """A check, and what was found; None where the calls cannot tell."""

    check: Check
    found: Measured | None

    @property
    def holds(self) -> bool | None:
        """Whether it holds; None where that cannot be known."""
        return None if self.found is None else self.check.holds(self.found.value)


def parse_checks(texts: Sequence[str]) -> list[Check]:
    """Checks as people write them; a ChoiceError lists all that cannot be read."""
    read = [_CHECK.fullmatch(text[:_LONGEST]) for text in texts]
    checks, problems, unknown = [], [], False
    for text, found in zip(texts, read, strict=True):
        limit = float(found[3]) if found else math.inf
        if found is None or len(text) > _LONGEST or not math.isfinite(limit):
            problems.append(f"{text[:_LONGEST]!r} is no check: write it as p95<=1.2, by {_SIGNS}")
        elif not is_name(found[1]):
            problems.append(f"{text!r} names no number of a report")
            unknown = True
        else:
            checks.append(Check(found[1], found[2], limit, "".join(found.groups())))
    if unknown:
        problems.append(f"known are: {', '.join(known_names())}")
    if problems:
        raise ChoiceError("; ".join(problems))
    return checks


def judge(checks: Sequence[Check], calls: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """Each check against the numbers of these calls."""
    numbers = measured(calls)
    return [Judged(check, numbers.get(check.name)) for check in checks]
