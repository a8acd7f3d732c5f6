"""How much more the replies of one side take, where the means would tell of outliers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from statistics import median
from typing import Any

_MOST_OF_A_SIDE = 1_000

Turn = Mapping[str, Any]


def shift(
    strata: Iterable[tuple[Sequence[Turn], Sequence[Turn]]], value: Callable[[Turn], float]
) -> float:
    """B less A in the middle of all pairs within the strata: the Hodges-Lehmann estimate.

    It points where the rank-sum tests point. Of large strata an evenly spaced part is taken.
    """
    return median(
        b - a
        for of_a, of_b in strata
        for a, b in product(_spaced(map(value, of_a)), _spaced(map(value, of_b)))
    )


def _spaced(values: Iterable[float]) -> list[float]:
    ordered = sorted(values)
    step = max(1, len(ordered) / _MOST_OF_A_SIDE)
    return [ordered[int(place * step)] for place in range(int(len(ordered) / step))]
