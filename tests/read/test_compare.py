"""Two sides compared, and what is more than noise."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from tests.described import replies, side, spread
from tracing.read.compare import compare, rank_sum_p
from tracing.read.selection import Side


def _slower(part: str) -> dict[str, object]:
    """A part that took 0.6 s more on side B, told apart by the smallest p of four against four."""
    return {
        "name": part,
        "mean_a": pytest.approx(0.65),
        "mean_b": pytest.approx(1.25),
        "difference": pytest.approx(0.6),
        "closest": pytest.approx(0.6),
        "farthest": pytest.approx(0.6),
        "p": 2 / 70,
        "verdict": "slower, more than noise",
    }


def test_two_sides_are_compared() -> None:
    """Each side's numbers, the difference of every number both know, and the test."""
    compared = compare(
        side("a", *replies(0.5, 0.6, 0.7, 0.8)), side("b", *replies(1.1, 1.2, 1.3, 1.4))
    )
    assert compared == {
        "a": {
            "selector": "a",
            "calls": 1,
            "turns": 4,
            "latency": {
                **spread(4, 0.65, 0.785, 0.8),
                "within_budget_share": 1.0,
                "mean_seconds": pytest.approx(0.65),
            },
            "parts": {
                "llm_first_token": spread(4, 0.65, 0.785, 0.8),
                "queue_wait": spread(4, 0, 0, 0),
            },
            "llm_input_tokens_per_turn": 10.0,
        },
        "b": {
            "selector": "b",
            "calls": 1,
            "turns": 4,
            "latency": {
                **spread(4, 1.25, 1.385, 1.4),
                "within_budget_share": 0.0,
                "mean_seconds": pytest.approx(1.25),
            },
            "parts": {
                "llm_first_token": spread(4, 1.25, 1.385, 1.4),
                "queue_wait": spread(4, 0, 0, 0),
            },
            "llm_input_tokens_per_turn": 10.0,
        },
        "difference": {
            "calls": 0,
            "turns": 0,
            "latency.count": 0,
            "latency.p50_seconds": pytest.approx(0.6),
            "latency.p95_seconds": pytest.approx(0.6),
            "latency.max_seconds": pytest.approx(0.6),
            "latency.within_budget_share": -1.0,
            "latency.mean_seconds": pytest.approx(0.6),
            "parts.llm_first_token.count": 0,
            "parts.llm_first_token.p50_seconds": pytest.approx(0.6),
            "parts.llm_first_token.p95_seconds": pytest.approx(0.6),
            "parts.llm_first_token.max_seconds": pytest.approx(0.6),
            "parts.queue_wait.count": 0,
            "parts.queue_wait.p50_seconds": 0.0,
            "parts.queue_wait.p95_seconds": 0.0,
            "parts.queue_wait.max_seconds": 0.0,
            "llm_input_tokens_per_turn": 0.0,
        },
        "test": {
            "turns_a": 4,
            "turns_b": 4,
            "p": 2 / 70,
            "shift_seconds": pytest.approx(0.6),
            "verdict": "more than noise",
        },
        "parts": [_slower("latency"), _slower("llm_first_token")],
        "lines": [],
        "options": {},
    }


def test_too_few_turns_are_said_to_be_too_few() -> None:
    """Three turns against three can never tell; the numbers are shown all the same."""
    compared = compare(side("a", *replies(0.1, 0.2, 0.3)), side("b", *replies(1, 2, 3)))
    assert compared["test"] == {
        "turns_a": 3,
        "turns_b": 3,
        "verdict": "too few turns to tell a difference from noise",
    }


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [
        ([], [1.0], None),
        ([1, 2, 3], [4, 5, 6], None),
        ([1, 2, 3, 4], [5, 6, 7, 8], 2 / 70),
        ([5, 6, 7, 8], [1, 2, 3, 4], 2 / 70),
        ([1, 3, 5, 7], [2, 4, 6, 8], 0.6857142857142857),
        ([1.0] * 5, [1.0] * 5, 1.0),
        ([1.0] * 50, [1.0] * 50, 1.0),
    ],
)
def test_the_rank_sum_test_by_known_values(a: list[float], b: list[float], p: float | None) -> None:
    """The exact test agrees with the tables of Mann and Whitney."""
    assert rank_sum_p(a, b) == (p if p is None else pytest.approx(p))


def test_the_approximation_agrees_with_the_exact_test() -> None:
    """Where both can be had they differ by little, so the switch between them shows nowhere."""
    low = [0.1 * n for n in range(10)]
    for shift in (0.0, 0.25, 0.55):
        high = [value + shift + 0.01 for value in low]
        splits = list(itertools.combinations(range(1, 21), 10))
        ranks = sorted([*low, *high])
        observed = abs(sum(ranks.index(value) + 1 for value in low) - 105)
        exact = sum(abs(sum(split) - 105) >= observed for split in splits) / len(splits)
        assert rank_sum_p(low, high) == pytest.approx(exact, abs=0.01)


def test_many_turns_are_compared_at_once() -> None:
    """Thousands of turns take no thousands of permutations."""
    hour = timedelta(hours=1).total_seconds()
    slow, fast = ([hour * k + n for n in range(5000)] for k in (2, 1))
    assert rank_sum_p(slow, fast) == pytest.approx(0.0, abs=1e-12)


def test_options_that_differ_are_in_a_persons_words() -> None:
    """Each once: the list of what was changed says the same again."""
    sides = [
        Side("", 1, [], [], [], [{"early": early, "changed": [f"early={early}"], "delay": 0.5}])
        for early in (True, False)
    ]
    assert compare(*sides)["options"] == {"early": ["true", "false"]}
