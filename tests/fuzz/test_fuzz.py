"""Some damaged files through every command; `python -m tests.fuzz` has 100,000."""

from __future__ import annotations

import pytest

from tests.fuzz.mutations import damaged
from tests.fuzz.trial import problems_of


@pytest.mark.parametrize("seed", range(25))
def test_no_file_ends_a_command_but_in_a_sentence(seed: int) -> None:
    """The status is 0, 1 or 2, there is no traceback, and it takes its time and no more."""
    assert problems_of(seed) == []


def test_a_file_can_be_made_again() -> None:
    """A number stands for a file."""
    assert [damaged(n) for n in range(10)] == [damaged(n) for n in range(10)]
    assert len({damaged(n) for n in range(10)}) > 7
