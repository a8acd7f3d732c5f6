"""One call as a waterfall of text."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.view.calls import RECORDINGS, TOOLS, hostile, only_call
from tracing.terminal.waterfall import print_waterfall
from tracing.view.library import Call, call_of

EVERY = sorted(RECORDINGS.glob("*/*.json"))


def printed(call: Call, width: int = 100) -> list[str]:
    """The lines that a terminal of this width shows."""
    out = io.StringIO()
    print_waterfall(call.described, call.tree, Console(file=out, width=width))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_recorded_call_fits(path, width: int) -> None:  # type: ignore[no-untyped-def]
    """No line is wider than the terminal."""
    lines = printed(only_call(path), width)
    assert max(map(len, lines)) <= width


def test_bars_are_on_one_scale_in_letters() -> None:
    """As many letters as its share of the axis; a failed tool is an x, the budget a line."""
    call = only_call(TOOLS)
    lines = printed(call)
    bars = [line for line in lines if line[:2].strip(" !").isdigit() and line[:2].strip()]
    turns = [turn for turn in call.described["turns"] if turn["kind"] != "discarded"]
    assert len(bars) == len(turns)
    for bar, turn in zip(bars, turns, strict=True):
        latency = turn.get("user_bot_latency_seconds")
        assert latency is None or f"{latency:.2f}" in bar
    letters = [sum(letter.isalnum() for letter in bar[12:-8]) for bar in bars]
    waits = [t.get("user_bot_latency_seconds", t.get("first_output_seconds", 0.0)) for t in turns]
    longest = waits.index(max(waits))
    for count, wait in zip(letters, waits, strict=True):
        assert count == pytest.approx(letters[longest] * wait / waits[longest], abs=4)


def test_no_word_of_a_call_moves_the_cursor() -> None:
    """Escape sequences and changes of direction are not obeyed."""
    spans = hostile(only_call(TOOLS).recorded)
    text = "\n".join(printed(call_of(spans)))
    assert not {"\x1b", "\u202e"} & set(text)
