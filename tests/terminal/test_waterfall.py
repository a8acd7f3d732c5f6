"""One call as a waterfall of text."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.view.calls import RECORDINGS, TOOLS, hostile, killed, only_call, with_tools
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


def test_the_answer_stands_first_and_in_words() -> None:
    """What was never answered and why, what slow replies waited for, and when each turn began."""
    failed = printed(only_call(RECORDINGS / "1.8.9" / "llm_error.json"))
    assert failed[2:4] == [
        "ended: user initiated   tokens 100 in (0 cached), 20 out",
        "1 of 2 turns brought no answer: 1 LLM failed: model overloaded",
    ]
    assert [line[:12] for line in failed if line[:2] in (" 1", " 2")] == [
        " 1          ",
        " 2  0:01.3  ",
    ]
    spans = only_call(TOOLS).recorded
    slow = [s._replace(attributes={**s.attributes, "call.budget_seconds": 0.3}) for s in spans]
    assert [line for line in printed(call_of(slow)) if " over 0.3 s" in line] == [
        "1 of 2 over 0.3 s   1 0.37"
    ]


def test_a_call_whose_process_died_says_so() -> None:
    """At the head, beside the turn, and beside the tool that it did not finish."""
    whole = only_call(TOOLS)
    tool = whole.shown["lanes"]["tools"][0]
    lines = printed(call_of(killed(whole, (tool["at"] + tool["end"]) / 2)))
    assert lines[1:4] == [
        "the process died 0:00.5 into the call, agent answering",
        "tokens 100 in (0 cached), 20 out",
        "1 of 1 turn brought no answer: 1 cut off: the process ended first",
    ]
    assert "            · get_weather unfinished · cut off: the process ended first" in lines
    assert [line for line in lines if line.rstrip().endswith("T get_weather unfinished")]


def test_thirty_tools_of_a_turn_take_little_room() -> None:
    """Those that failed are named and none lies at another's time; facts are not cut off."""
    lines = printed(call_of(with_tools(only_call(TOOLS), 30)))
    [lane] = [line for line in lines if line.startswith("tools ")]
    assert lane.split(" ", 1)[1].strip() == "x get_weather +30, 5 failed"
    facts = " ".join(line[14:].strip() for line in lines if line.startswith(" " * 12 + "· "))
    assert "look_up_number_28 failed 0.01 s · 25 more tools" in facts


def test_the_letters_are_explained_in_the_order_of_a_reply() -> None:
    """Only those that are there; round numbers and the budget above the bars."""
    lines = printed(only_call(TOOLS))
    [legend] = [line for line in lines if line.startswith("r transcript")]
    assert legend.split("  ")[:4] == ["r transcript", "t turn", "L llm step", "T tool"]
    [axis] = [line for line in lines if line.startswith(" #  at")]
    assert axis.split() == ["#", "at", "0", "0.5", "budget", "1", "s", "seconds"]


def test_no_word_of_a_call_moves_the_cursor() -> None:
    """Escape sequences and changes of direction are not obeyed."""
    spans = hostile(only_call(TOOLS).recorded)
    text = "\n".join(printed(call_of(spans)))
    assert not {"\x1b", "\u202e"} & set(text)
