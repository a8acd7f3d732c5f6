"""What was measured after a call is read as a part of its turns."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from tests.view.calls import TOOLS, only_call
from tracing.calls.describe import describe
from tracing.calls.lanes import lanes
from tracing.calls.totals import overall
from tracing.calls.transcribe import transcribe
from tracing.calls.tree import Tree
from tracing.calls.turn_detail import turn_detail
from tracing.span import Span
from tracing.stamps import HEARD, HEARD_SCOPE
from tracing.terminal.report import print_report
from tracing.view.library import call_of
from tracing.view.pages.call_page import Choice
from tracing.view.pages.one_call import page_of
from tracing.view.render import render

TOLD = {
    "turn.heard_latency_seconds": 9.87,
    "turn.speech_tail_seconds": 0.11,
    "turn.voice_lead_in_seconds": 0.03,
    "turn.heard_reason": "noise hides the end of the caller's voice",
}


def spans() -> list[Span]:
    """A recorded call of several turns."""
    return list(only_call(TOOLS).recorded)


def a_reply(of: list[Span]) -> Span:
    """A turn with a latency."""
    turns = Tree(of).named("agent_turn")
    return next(turn for turn in turns if "turn.user_bot_latency_seconds" in turn.attributes)


def with_heard(of: list[Span], **changes: Any) -> list[Span]:
    """The call, and what was heard of that turn."""
    turn = a_reply(of)
    heard = Span(
        turn.trace_id,
        b"heardspa",
        turn.span_id,
        HEARD,
        turn.start_time_unix_nano,
        turn.end_time_unix_nano,
        {"session.id": "another", **TOLD},
        scope_name=HEARD_SCOPE,
    )
    return [*of, heard._replace(**changes)]


def test_a_turn_tells_what_was_heard_of_it() -> None:
    """As if it had known; everything else of the call is as it was."""
    bare = describe(Tree(spans()))
    found = describe(Tree(with_heard(spans())))
    [turn] = [turn for turn in found["turns"] if "heard_latency_seconds" in turn]
    for key, value in TOLD.items():
        assert turn.pop(key.removeprefix("turn.")) == value
    assert found == bare


def test_nothing_else_sees_that_span() -> None:
    """Not the transcript, not the lanes, not the tree, not the sums but its own."""
    bare, tree = Tree(spans()), Tree(with_heard(spans()))
    number = int(str(a_reply(spans()).attributes["turn.number"]))
    assert transcribe(tree) == transcribe(bare)
    assert lanes(tree) == lanes(bare)
    assert [span.name for span in tree.spans] == [span.name for span in bare.spans]
    before, after = (turn_detail(one, number) or {} for one in (bare, tree))
    assert len(after["tree"]) == len(before["tree"]) > 1
    numbers = overall([describe(tree)])
    assert numbers.pop("heard_latency")["max_seconds"] == 9.87
    assert numbers == overall([describe(bare)])


def test_somebody_elses_span_of_that_name_is_a_span() -> None:
    """Ours is told by its scope."""
    tree = Tree(with_heard(spans(), scope_name="theirs"))
    assert len(tree.spans) == len(spans()) + 1
    assert all("heard_latency_seconds" not in turn for turn in describe(tree)["turns"])


def test_what_was_heard_is_shown() -> None:
    """In the report beside the latency, and in the viewer on the bar, the waveform and in words."""
    out = io.StringIO()
    print_report([describe(Tree(with_heard(spans())))], Console(file=out, width=220))
    assert "9.87 s" in out.getvalue()
    assert "speech tail 0.11 s, voice's lead-in 0.03 s" in out.getvalue()
    assert "noise hides the end of the caller's voice" in out.getvalue()
    pages = [_page(of) for of in (with_heard(spans()), spans())]
    for mark in ('class="heard"', "9.87 heard", "heard 9.87 s: 0.11 tail"):
        assert [mark in page for page in pages] == [True, False], mark


def _page(of: list[Span]) -> str:
    call = call_of(of)
    return render("call.html", base="", page="call", store="", **page_of(call, Choice()))
