"""The pages say what the calls are, of every version recorded, and obey no word in them."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from tests.view.calls import (
    HOSTILE,
    RECORDINGS,
    TOOLS,
    Given,
    cut,
    hostile,
    killed,
    library,
    only_call,
    with_tools,
)
from tracing.log_line import LogLine
from tracing.read.sources import RecordedFiles
from tracing.store.store import Store
from tracing.view.library import Call, Library, call_of
from tracing.view.pages.call_page import Choice
from tracing.view.pages.calls_page import calls_page
from tracing.view.pages.filters import Filters
from tracing.view.pages.hits import hit
from tracing.view.pages.lane_marks import zoom_of
from tracing.view.pages.one_call import drawer_of, page_of
from tracing.view.render import render, visible
from tracing.view.share import share

EVERY = sorted(RECORDINGS.glob("*/*.json"))


def call_html(call: Call, **choice: object) -> str:
    """A call's page."""
    context = page_of(call, Choice(**choice))  # type: ignore[arg-type]
    return render("call.html", base="", page="call", store="", **context)


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_recorded_call_has_its_pages(path: Path) -> None:
    """The list, the call with each drawer, and the file of it."""
    calls = library(path)
    rows = calls.rows()
    listed = render(
        "calls.html", base="", page="calls", store="", **calls_page(rows, Filters(), {})
    )
    for row in rows:
        call = calls.call(row["trace_id"])
        assert call is not None
        assert row["trace_id"] in listed
        for turn in call.described["turns"]:
            if "number" not in turn:  # nobody answered
                continue
            page = call_html(call, turn=turn["number"], align="ttft", slowest_first=True)
            if turn.get("kind") != "discarded":
                assert f"Turn {turn['number']} " in page
        assert share(call).startswith("<!doctype html>")


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_page_from_the_store_is_that_of_the_spans(path: Path, tmp_path: Path) -> None:
    """It reads what the drainer wrote of a call that has ended, and no span."""
    recorded = library(path)
    with Store(tmp_path / "calls.db") as store:
        store.add([span for trace in RecordedFiles([path]).traces for span in trace])
        stored = Library(store, "stored")
        for row in recorded.rows():
            of_files, of_rows = (one.call(row["trace_id"]) for one in (recorded, stored))
            assert of_files is not None
            assert of_rows is not None
            assert call_html(of_rows) == call_html(of_files)
            assert "recorded" not in vars(of_rows)  # its spans were not read
            assert share(of_rows) == share(of_files)


def test_the_page_of_a_call_adds_up() -> None:
    """Each reply's segments cover its wait, and the drawer's stairs are its parts."""
    call = only_call(TOOLS)
    page = page_of(call, Choice())
    for row in page["rows"]:
        if row["latency"] is not None:
            covered = sum(float(segment["width"][:-1]) for segment in row["segments"])
            assert covered == pytest.approx(float(row["width"][:-1]), abs=0.1)
            drawer = drawer_of(call, row["number"], page)
            assert drawer is not None
            whole = sum(stair["seconds"] for stair in drawer["stairs"])
            assert whole == pytest.approx(row["latency"], abs=0.005)


def test_while_a_call_goes_on_its_open_turn_grows() -> None:
    """A bar of what was waited so far, on an axis with room for the next half minute."""
    whole = only_call(TOOLS)
    wait = next(w for w in page_of(whole, Choice())["lanes"]["waits"] if w["is_reply"])
    seen = []
    for waited in (0.05, 0.2, 0.3):  # first as a turn of the caller that nobody answers yet
        call = call_of(cut(whole, wait["at"] + waited))
        page = page_of(call, Choice())
        row = page["rows"][-1]
        assert (row["number"], row["latency"]) == (wait["number"] if seen else None, None)
        assert row["note"].endswith("s so far")
        assert (page["lanes"]["end"], page["row"]["is_open"]) == (30.0, True)
        seen.append(float(row["note"].split()[0]))
    assert 0 <= seen[0] < seen[1] < seen[2] <= 0.31


def test_a_call_whose_process_died_says_so_first() -> None:
    """When, and doing what; its spans that were closed by recovery are no failures of a model."""
    whole = only_call(TOOLS)
    wait = next(w for w in page_of(whole, Choice())["lanes"]["waits"] if w["is_reply"])
    spans = killed(whole, wait["at"] + 0.2)
    page = call_html(call_of(spans))
    assert "<b>The process died</b>" in page
    number = wait["number"]
    link = f'<a href="?turn={number}#t{number}">turn {number}</a>'
    assert f"into the call, in {link}, agent answering" in page
    assert "process died here" in page
    lanes = page_of(call_of(spans), Choice())["lanes"]
    assert [mark for mark in (*lanes["llm"], *lanes["tts"]) if "is_failed" in mark] == []


def test_a_turn_and_a_tool_that_were_cut_off_say_so() -> None:
    """A bar as long as the wait was; in the drawer that the tool brought no result."""
    whole = only_call(TOOLS)
    tool = next(iter(whole.shown["lanes"]["tools"]))
    call = call_of(killed(whole, (tool["at"] + tool["end"]) / 2))
    page = page_of(call, Choice())
    row = page["rows"][-1]
    waited = float(re.fullmatch(r"cut off after (\d\.\d\d) s", row["note"])[1])  # type: ignore[index]
    assert 0 < waited < whole.described["turns"][0]["user_bot_latency_seconds"]
    assert float(row["so_far"][:-1]) == pytest.approx(100 * waited / page["scale"], abs=0.5)
    assert [chip["text"] for chip in row["chips"]][:2] == ["cut off", f"{tool['name']} unfinished"]
    drawer = call_html(call, turn=row["number"])
    assert "unfinished: the process ended first" in drawer
    assert "<pre></pre>" not in drawer
    assert "still running" in call_html(call_of(cut(whole, tool["at"] + 0.001)), turn=row["number"])


@pytest.mark.parametrize(
    ("waits", "anchors", "room"),
    [([0.5, 0.52], ["end", "start"], 0), ([0.1, 0.12], ["start", "start"], 18)],
)
def test_the_words_of_close_latencies_do_not_lie_upon_each_other(
    waits: list[float], anchors: list[str], room: float
) -> None:
    """On both sides of their lines, or as far from each other as they are wide."""
    row = {**only_call(TOOLS).row, "strip": [{"latency": wait} for wait in waits]}
    marks = calls_page([row], Filters(), {})["histogram"]["marks"]
    assert [mark["anchor"] for mark in marks] == anchors
    first, last = (float(mark["words_x"][:-1]) for mark in marks)
    assert last - first >= room


def test_a_list_says_how_many_turns_brought_no_answer() -> None:
    """Of a call that has ended; while it goes on an answer may still come."""
    silent, fine = only_call(RECORDINGS / "1.8.9" / "llm_error.json"), only_call(TOOLS)
    assert (silent.row["unanswered"], "unanswered" in fine.row) == (1, False)
    asked = page_of(fine, Choice())["lanes"]["waits"][0]["at"] + 0.01
    assert call_of(killed(fine, asked)).row["unanswered"] == 1
    assert "unanswered" not in call_of(cut(fine, asked)).row
    found = calls_page([silent.row], Filters(), {})
    listed = render("calls.html", base="", page="calls", store="", **found)
    assert "1 unanswered</span>" in listed


@pytest.mark.parametrize(
    ("seconds", "turns", "zoom"), [(0, 0, 1), (120, 20, 1), (121, 3, 2), (90, 41, 3), (9e9, 9, 64)]
)
def test_the_lanes_of_a_long_call_are_zoomed(seconds: float, turns: int, zoom: int) -> None:
    """Two minutes and twenty turns are seen at once at most."""
    assert zoom_of(seconds, turns) == zoom


def test_thirty_tools_of_a_turn_take_little_room() -> None:
    """Five are named, first what failed; one word in the lanes; folded in the drawer."""
    page = page_of(call_of(with_tools(only_call(TOOLS), 30)), Choice(turn=1))
    words = [mark["text"] for mark in page["lanes"]["tool_words"]]
    assert words == ["get_weather +29, 4 failed", "book_table failed"]
    assert [chip["text"].split(" 0.")[0] for chip in page["rows"][0]["chips"]] == [
        "get_weather",
        *(f"look_up_number_{number} failed" for number in (7, 14, 21, 28)),
        "25 more tools",
    ]
    html = render("call.html", base="", page="call", store="", **page)
    assert (html.count('class="folded"'), html.count('class="folded"><details open>')) == (30, 4)
    assert "folded" not in call_html(only_call(TOOLS), turn=1)


def test_a_call_that_failed_says_so_in_words() -> None:
    """Which turn nobody answered and why; in the file for others what failed, not its words."""
    call = only_call(RECORDINGS / "1.8.9" / "llm_error.json")
    page = call_html(call)
    assert "1 of 2 turns brought no answer:" in page
    assert page.count("LLM failed: model overloaded") == 2  # before the turns, and in its own
    assert "The one reply came within 1 s." in page
    withheld = share(call, withheld=True)
    assert ("LLM failed" in withheld, "model overloaded" in withheld) == (True, False)


@pytest.mark.parametrize(
    ("name", "remark"),
    [("realtime", "Realtime model."), ("text", "Text session."), ("withheld", "Content withheld.")],
)
def test_a_call_of_another_kind_says_what_its_numbers_mean(name: str, remark: str) -> None:
    """Before any of them."""
    page = call_html(only_call(RECORDINGS / "1.8.9" / f"{name}.json"))
    assert 0 < page.index(f"<b>{remark}</b>") < page.index("<dt>Turns</dt>")


def test_a_text_session_shows_what_was_typed() -> None:
    """A dot as each turn began, the first text instead of a latency, no interruptions."""
    context = page_of(only_call(RECORDINGS / "1.8.9" / "text.json"), Choice())
    assert [m["text"] for m in context["lanes"]["typed"]] == ["Hi!", "When do you open?"]
    terms = [fact["term"] for fact in context["facts"]]
    assert terms == ["Turns", "First text, p50", "First text, p95", "Tokens"]
    assert context["silent"] == "Nobody spoke: there is nothing to play"


def test_a_call_without_a_turn_says_that_nobody_was_heard() -> None:
    """A page of it, not an empty one."""
    call = only_call(TOOLS)
    [root] = [span for span in call.recorded if span.name == "agent_session"]
    page = call_html(call_of([root]))
    assert "No turn was recorded: nobody was heard, and nothing was answered." in page


def test_no_word_of_a_call_is_markup() -> None:
    """Scripts, attributes and turns of direction in every text are shown as text."""
    spans = hostile(only_call(TOOLS).recorded)
    call = call_of(spans)
    calls = Library(Given(spans), HOSTILE)
    pages = [
        call_html(call),
        *(call_html(call, turn=turn["number"]) for turn in call.described["turns"]),
        render(
            "calls.html", base="", page="calls", store=HOSTILE,
            **calls_page(calls.rows(), Filters(query="script", agent="*"), calls.search("script")),
        ),
        share(call),
    ]  # fmt: skip
    for page in pages:
        without_own = re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL)
        assert "<script>window" not in without_own
        assert "<img" not in without_own
        assert "\u202e" not in page
        assert "\x1b" not in page
        assert "&lt;script&gt;window.broken=1" in page


def test_withheld_leaves_only_words_of_the_page_itself() -> None:
    """Of what was said, passed and returned nothing is in the file that is for others."""
    call = only_call(TOOLS)
    page = html.unescape(share(call, withheld=True))
    page = re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL)
    said = {
        text
        for turn in call.described["turns"]
        for text in (turn.get("user_text"), turn.get("agent_text"))
        if text
    }
    passed = {
        str(value)
        for span in call.recorded
        for key, value in span.attributes.items()
        if ".pii." in key or (key.startswith("gen_ai.") and "messages" in key)
    }
    assert said
    assert {text for text in said | passed if len(text) > 4 and text in page} == set()
    assert page.count('class="withheld"') >= len(said)
    for name in (call.described.get("session_id"), call.described.get("user_id")):
        assert name is None or name not in page


def _with_lines(path: Path, text: str) -> Call:
    """A call in which an error was logged in its first turn, and many warnings at once."""
    call = only_call(path)
    turn = call.tree.named("agent_turn")[0]
    begun = turn.start_time_unix_nano
    error = LogLine(turn.trace_id, turn.span_id, begun, 40, "ERROR", "my.app", text)
    warning = error._replace(level=30, level_name="WARNING", message="busy")
    end = max(span.end_time_unix_nano for span in call.tree.spans)
    lines = [error._replace(exception_type="ValueError", exception_stacktrace=text)]
    lines += [warning._replace(span_id=b"", time_unix_nano=end + n) for n in range(600)]
    return call_of(call.recorded, lines)


def test_what_was_logged_is_a_lane_a_list_and_in_its_turn() -> None:
    """A tick a stretch, however many there are; the words in full, and never obeyed."""
    call = _with_lines(TOOLS, f"no table {HOSTILE}")
    context = page_of(call, Choice(turn=1))
    [error, many] = context["lanes"]["log"]
    assert (error["kind"], error["more"]) == ("error", 0)
    assert (many["kind"], many["text"], many["more"]) == ("warning", "WARNING my.app: busy", 599)
    assert context["lanes"]["lanes"][-1]["word"] == "Log"
    assert [line["level"] for line in context["drawer"]["log"]] == ["ERROR"]
    page = call_html(call, turn=1)
    assert page.count('class="log-error"') == 1
    assert "601 log lines" in page
    assert "The first 500 are shown" in page
    assert page.count("no table") == 5  # tick, list and traceback, and both again in the drawer
    assert "<script>window" not in re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL)


def test_withheld_leaves_out_what_was_logged() -> None:
    """The lane, too: when something was logged, and how bad it was, says more than a file needs."""
    page = share(_with_lines(TOOLS, "no table for Mr Smith"), withheld=True)
    assert ("Smith" in page, "log line" in page, 'class="log-' in page) == (False, False, False)
    assert "Smith" in share(_with_lines(TOOLS, "no table for Mr Smith"))


def test_what_cannot_be_seen_is_shown() -> None:
    """Control characters and changes of direction, as signs that stand for them."""
    assert visible("a\x1b[2Jb\u202ec\n\td") == "a\u241b[2Jb\\u202ec\n\td"


def test_filters_are_read_from_the_address_and_written_back() -> None:
    """What cannot be understood is a problem for the reader, not an error."""
    filters = Filters.read(
        {"q": " gift ", "since": "24h", "latency": "1.0..1.5", "sort": "-p95"}, ["over", "nonsense"]
    )
    assert filters.flags == ("over",)
    assert filters.address() == "q=gift&since=24h&is=over&latency=1..1.5&sort=-p95"
    assert filters.address(q="") == "since=24h&is=over&latency=1..1.5&sort=-p95"
    [problem] = Filters.read({"since": "yesterday"}, []).problems
    assert "'yesterday' is no time" in problem


def test_what_narrows_the_list_can_be_taken_away_from_it() -> None:
    """The words that were searched for and the latencies that were dragged over stand beside it."""
    rows = library(TOOLS).rows()
    filters = Filters(query="oslo", latency=(0.1, 0.5))
    page = calls_page(rows, filters, {rows[0]["trace_id"]: []})
    assert (page["shown"], [(way["label"], way["address"]) for way in page["chosen"]]) == (
        1,
        [("said “oslo”", "latency=0.1..0.5"), ("latency 0.1 to 0.5 s", "q=oslo")],
    )


def test_calls_are_narrowed_to_what_the_application_said() -> None:
    """By the address, and by a list of what is said of several calls; or to a user."""
    [row] = library(TOOLS).rows()
    said = {"a": ["tag=vip", "plan=gold"], "b": ["tag=vip"], "c": []}
    rows = [{**row, "trace_id": key, "said": told, "user_id": key} for key, told in said.items()]
    filters = Filters.read({"where": "tag=vip"}, [])
    assert filters.address() == "where=tag%3Dvip"
    assert [key for key, row in zip(said, rows, strict=True) if filters.fits(row)] == ["a", "b"]
    assert [row["user_id"] for row in rows if Filters(said="user=c").fits(row)] == ["c"]
    page = calls_page(rows, Filters(said="tag=nobody"), {})
    assert (page["shown"], page["said"]) == (0, ["tag=vip"])
    assert [way["label"] for way in page["in_the_way"]] == ["where tag=nobody"]


def test_where_nothing_matches_the_filters_in_the_way_are_named() -> None:
    """With what each one's absence would give."""
    rows = library(TOOLS).rows()
    page = calls_page(rows, Filters(agent="nobody", flags=("realtime",)), {})
    assert (page["shown"], page["total"]) == (0, 1)
    assert [(way["label"], way["count"]) for way in page["in_the_way"]] == [
        ("agent nobody", 0),
        ("realtime", 0),
    ]


def test_a_search_finds_what_was_said_and_when() -> None:
    """All words of the query in one line, whoever said it."""
    calls = library(*EVERY)
    call = only_call(TOOLS)
    line = next(turn["agent_text"] for turn in call.described["turns"] if turn.get("agent_text"))
    found = calls.search(line.upper())
    [said] = found[call.described["trace_id"]][:1]
    found_in = hit(said, line.upper())
    assert found_in["match"] == line.strip()
    whole = f"{found_in['before']}{found_in['match']}{found_in['after']}"
    assert whole.startswith(line[:20])
    assert calls.search("nobody said this") == {}
