"""A recorded call on one axis of time."""

from __future__ import annotations

import pytest

from tests.view.calls import RECORDINGS, TOOLS, only_call
from tracing.calls.lanes import lanes
from tracing.calls.rows import call_row
from tracing.calls.turn_detail import turn_detail

EVERY = sorted(RECORDINGS.glob("*/*.json"))


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_mark_lies_on_the_axis(path) -> None:  # type: ignore[no-untyped-def]
    """From the call's start to what was last heard of it, and ends after it begins."""
    found = lanes(only_call(path).tree)
    end = found["duration_seconds"] + 0.001
    for lane in ("caller", "agent", "unheard", "llm", "stt", "waits", "tools", "tts", "events"):
        for mark in found[lane]:
            assert -0.001 <= mark["at"] <= end, (lane, mark)
            assert mark["at"] <= mark.get("end", mark["at"]) <= end, (lane, mark)


def test_the_lanes_of_a_call_with_tools() -> None:
    """Who spoke, which tools ran and failed, and what the models did meanwhile."""
    call = only_call(TOOLS)
    found = lanes(call.tree)
    called = [tool for turn in call.described["turns"] for tool in turn.get("tools", ())]
    assert [mark["name"] for mark in found["tools"]] == [tool["name"] for tool in called]
    assert sum("is_error" in mark for mark in found["tools"]) == sum(t["is_error"] for t in called)
    spoken = [turn["number"] for turn in call.described["turns"] if "agent_text" in turn]
    assert {mark["turn"] for mark in found["agent"]} == set(spoken)
    assert all(mark["first"] <= mark["end"] for mark in found["llm"] if "first" in mark)


def test_what_was_made_and_never_heard_follows_the_barge_in() -> None:
    """From the cut to where the made audio would have ended, at the latest the next reply."""
    call = only_call(RECORDINGS / "1.8.9" / "interruption.json")
    found = lanes(call.tree)
    cut = [turn for turn in call.described["turns"] if turn.get("barged_in")]
    assert [event["kind"] for event in found["events"]].count("barge_in") == len(cut)
    for mark in found["unheard"]:
        assert mark["turn"] in {turn["number"] for turn in cut}


def test_a_turn_in_full() -> None:
    """Each model's step shows what was new to it; tools what went in and came out."""
    call = only_call(TOOLS)
    number = next(turn["number"] for turn in call.described["turns"] if turn.get("tools"))
    detail = turn_detail(call.tree, number)
    assert detail is not None
    kinds = [step["kind"] for step in detail["steps"]]
    assert kinds.count("llm") == 2
    tool = next(step for step in detail["steps"] if step["kind"] == "tool")
    again = detail["steps"][-1]
    assert any(str(tool["output"])[:20] in message["text"] for message in again["new"])
    assert len(again["earlier"]) >= len(detail["steps"][0]["earlier"])
    assert {span["name"] for span in detail["tree"]} >= {"agent_turn", "llm_node", "llm_request"}
    assert turn_detail(call.tree, 999) is None


def test_a_row_of_the_list() -> None:
    """A column for each turn, and the flags by which lists are narrowed."""
    call = only_call(TOOLS)
    row = call_row(call.described, call.tree.spans)
    turns = [turn for turn in call.described["turns"] if turn["kind"] != "discarded"]
    assert (row["turns"], len(row["strip"])) == (len(turns), len(turns))
    failed = sum(tool["is_error"] for turn in turns for tool in turn.get("tools", ()))
    assert row.get("tool_failures", 0) == failed
    assert ("tool-failed" in row["flags"]) == bool(failed)
    withheld = only_call(RECORDINGS / "1.8.9" / "withheld.json")
    assert "withheld" in call_row(withheld.described, withheld.tree.spans)["flags"]
    realtime = only_call(RECORDINGS / "1.8.9" / "realtime.json")
    assert "realtime" in call_row(realtime.described, realtime.tree.spans)["flags"]
    text = only_call(RECORDINGS / "1.8.9" / "text.json")
    assert "text" in call_row(text.described, text.tree.spans)["flags"]
