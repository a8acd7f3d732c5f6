"""The same script on both sides is found, and compared line by line."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from math import comb
from typing import Any

import pytest

from tracing.calls.totals import LATENCY
from tracing.read.paired import Line, common_lines, within_lines_p

Turn = Mapping[str, Any]


def turn(number: int, text: str, latency: float) -> Turn:
    """A reply to a line."""
    return {"number": number, "user_text": text, LATENCY: latency}


def latency(of: Turn) -> float:
    """Its latency in seconds."""
    return float(of[LATENCY])


def line(a: list[float], b: list[float]) -> Line:
    """A line with replies of these latencies."""
    return Line("x", 1, [turn(1, "x", v) for v in a], [turn(1, "x", v) for v in b])


SCRIPT = ["When do you open?", "A table for two.", "Goodbye."]


def call(latencies: list[float], texts: list[str] = SCRIPT) -> list[Turn]:
    """A call in which these lines were said."""
    pairs = zip(texts, latencies, strict=True)
    return [turn(number, text, value) for number, (text, value) in enumerate(pairs, 2)]


def test_lines_are_found_by_their_words() -> None:
    """Whatever their letters' case and spaces; in the order of the script."""
    shouted = [text.upper().replace(" ", "  ") for text in SCRIPT]
    lines = common_lines([call([1, 2, 3])], [call([4, 5, 6], shouted), call([7, 8, 9])])
    assert [(found.text, found.number) for found in lines] == [
        ("when do you open?", 2),
        ("a table for two.", 3),
        ("goodbye.", 4),
    ]
    assert [[latency(t) for t in found.b] for found in lines] == [[4, 7], [5, 8], [6, 9]]


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (SCRIPT[:2], 2),
        (SCRIPT[:1], 0),
        ([*SCRIPT, "One more."], 3),
        (["A", "B", "C"], 0),
        ([], 0),
    ],
)
def test_two_thirds_of_the_lines_make_a_script(other: list[str], found: int) -> None:
    """Of each side's lines; what is on one side alone is left out."""
    assert len(common_lines([call([1, 2, 3])], [call([1.0] * len(other), other)])) == found


def test_words_that_are_said_twice_are_two_lines() -> None:
    """The first time is compared with the first."""
    twice = ["Yes.", "Yes."]
    lines = common_lines([call([1, 2], twice)], [call([3, 4], twice)])
    assert [(latency(f.a[0]), latency(f.b[0])) for f in lines] == [(1, 3), (2, 4)]


def test_the_test_is_exact_where_it_can_be_counted() -> None:
    """Three calls a side, every line slower: both extremes of all ways to divide them."""
    lines = [line([1, 2, 3], [4, 5, 6])] * 3
    assert within_lines_p(lines, latency) == pytest.approx(2 / comb(6, 3) ** 3)


def test_it_is_the_share_of_all_divisions_that_lie_as_far_out() -> None:
    """Compared with a plain count over every division within the lines, ties included."""
    numbers = random.Random(7)
    for _ in range(20):
        lines = [
            line(
                [numbers.randint(1, 6) for _ in range(2)],
                [numbers.randint(1, 6) for _ in range(numbers.randint(1, 3))],
            )
            for _ in range(3)
        ]
        found = within_lines_p(lines, latency)
        assert found is None or found == pytest.approx(_counted(lines))


def _counted(lines: list[Line]) -> float:
    """The same, by the definition: ranks within a line, weights of one over its size plus one."""
    sums: list[list[float]] = []
    observed = expected = 0.0
    for found in lines:
        values = [latency(t) for t in (*found.a, *found.b)]
        ranks = [
            sum(v < value for v in values) + (sum(v == value for v in values) + 1) / 2
            for value in values
        ]
        weight = 1 / (len(values) + 1)
        sums.append([weight * sum(some) for some in itertools.combinations(ranks, len(found.a))])
        observed += weight * sum(ranks[: len(found.a)])
        expected += weight * len(found.a) * (len(values) + 1) / 2
    every = [sum(one) for one in itertools.product(*sums)]
    distance = abs(observed - expected) - 1e-6
    return sum(abs(value - expected) >= distance for value in every) / len(every)


def test_too_few_replies_tell_nothing() -> None:
    """Where even the farthest outcome could be chance there is no p; replies alike have one."""
    assert within_lines_p([line([1], [1])] * 5, latency) is None
    assert within_lines_p([line([1], [1])] * 6, latency) == 1
    assert within_lines_p([line([1], [2])] * 5, latency) is None
    assert within_lines_p([line([1], [2])] * 6, latency) == pytest.approx(2 / 2**6)


def test_many_calls_are_judged_by_the_normal_approximation() -> None:
    """A shift of a tenth of the spread is found among 40 calls a side, none is not."""
    numbers = random.Random(3)
    same, shifted = [], []
    for number in range(7):
        a, b = ([numbers.gauss(number, 0.1) for _ in range(40)] for _ in range(2))
        same.append(line(a, b))
        shifted.append(line(a, [value + 0.1 for value in b]))
    p = within_lines_p(shifted, latency)
    assert p is not None
    assert p < 1e-6
    p = within_lines_p(same, latency)
    assert p is not None
    assert p > 0.05
