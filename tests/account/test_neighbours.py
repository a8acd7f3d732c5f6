"""What spans learn from others, told span by span, is what the whole recording shows."""

from __future__ import annotations

import json

import pytest

from tests.dialects.recorded import VERSIONS, Tree, recorded, scenarios
from tests.fakes import make_span
from tests.sessions.spans import span
from tracing import names, stamps
from tracing.account.neighbours import Neighbours
from tracing.account.restamp import restamp
from tracing.calls.describe import describe
from tracing.calls.transcribe import transcribe
from tracing.calls.tree import Tree as CallTree
from tracing.span import STATUS_ERROR, Span, as_number

EVERY_RECORDING = [(version, name) for version in VERSIONS for name in scenarios(version)]


@pytest.mark.parametrize(("version", "scenario"), EVERY_RECORDING)
def test_every_recording_is_told_as_its_tree_shows(version: str, scenario: str) -> None:
    """Computed with all spans at hand, and as they came: the same."""
    spans = restamp(recorded(scenario, version))
    tree = Tree(spans)
    for told in spans:
        expected = {stamps.TURN_ERROR: None, **tree.stamps(told)}
        found = {key: told.attributes.get(key) for key in expected}
        assert found == expected, told.name


NO_VOICE = "voice service unavailable"
ERRORS: dict[tuple[str, str], dict[str, object]] = {
    ("1.5.17", "tts_error"): {"agent_turn 1": f"APIConnectionError: {NO_VOICE}"},
    ("1.6.10", "tts_error"): {"agent_turn 1": f"APIConnectionError: {NO_VOICE}"},
    ("1.7.1", "tts_error"): {"agent_turn 1": f"APIConnectionError: {NO_VOICE}"},
    ("1.8.9", "tts_error"): {"agent_turn 1": NO_VOICE},
    # Before 1.8 no span tells why a session closes.
    ("1.8.9", "stt_error"): {"user_turn 2": "stt_error"},
}


def errors(spans: list[Span]) -> dict[str, object]:
    """What failed for good, by the kind and the number of the turn."""
    return {
        f"{one.name} {one.attributes[stamps.TURN_NUMBER]}": one.attributes[stamps.TURN_ERROR]
        for one in restamp(spans)
        if stamps.TURN_ERROR in one.attributes
    }


@pytest.mark.parametrize(("version", "scenario"), EVERY_RECORDING)
def test_what_failed_for_good(version: str, scenario: str) -> None:
    """The turn that failed; none after it, and none that a retry or a fallback saved."""
    assert errors(recorded(scenario, version)) == ERRORS.get((version, scenario), {})


@pytest.mark.parametrize("version", ["1.6.10", "1.7.1"])
def test_an_stt_error_that_events_told(version: str) -> None:
    """The turn in which nothing was transcribed has it, and no other one."""
    spans = [
        one._replace(attributes={**one.attributes, "turn.errors.stt": 1})
        if one.name == "user_turn"
        else one
        for one in recorded("stt_error", version)
    ]
    assert errors(spans) == {"user_turn 2": "stt_error"}


@pytest.mark.parametrize("end", [200.0, 400.0])
@pytest.mark.parametrize(
    ("attributes", "error_type", "expected"),
    [
        ({}, "stt_error", {"user_turn 1": "stt_error"}),
        ({}, "tts_error", {}),
        ({}, "", {}),
        ({"lk.user_transcript": "bye"}, "stt_error", {}),
        ({"lk.end_of_turn_delay": 0, "turn.errors.stt": 1}, "stt_error", {}),
    ],
    ids=["failed", "another stage", "none", "transcribed", "transcribed and withheld"],
)
def test_a_user_turn_of_a_session_that_closes(
    end: float, attributes: dict[str, object], error_type: str, expected: dict[str, object]
) -> None:
    """Whether the turn ends while its session closes, or after that."""
    session = span("agent_session", 0, 500)
    why = {"exception.type": error_type} if error_type else {}
    close = span("session_close", 150, 300, why, parent=session)
    assert errors([session, span("user_turn", 100, end, attributes, parent=session), close]) == (
        expected
    )


def test_another_session_of_the_call_that_closes() -> None:
    """It says nothing of this one's user."""
    sessions = [span("agent_session", start, 900) for start in (0, 10)]
    close = span("session_close", 150, 300, {"exception.type": "stt_error"}, parent=sessions[0])
    assert errors([*sessions, span("user_turn", 100, 400, parent=sessions[1]), close]) == {}


def failing(turn: Span, start: float, end: float, why: str, **attributes: object) -> Span:
    voice = span("tts_node", start, end, attributes, parent=turn, failed=True)
    return voice._replace(status_message=why)


def test_a_voice_that_failed() -> None:
    """Also after the first sentence, in one step of several, and where nobody says why."""
    turn = asked(100, "Book it.", "Done.")
    spoke = span("agent_speaking", 150, 300, parent=turn)
    fine = span("tts_node", 400, 450, parent=turn)
    for failed, expected in (
        ([failing(turn, 120, 200, "gone"), spoke], "gone"),
        ([failing(turn, 120, 200, "gone"), spoke, fine], "gone"),
        ([failing(turn, 120, 200, "[withheld]")], "[withheld]"),
        ([failing(turn, 120, 200, "")], "tts_error"),
    ):
        assert errors([ROOT, turn, *failed]) == {"agent_turn 1": expected}
        after = asked(800, "And now?", "Well.")
        assert errors([ROOT, turn, *failed, after]) == {"agent_turn 1": expected}


def test_a_voice_that_nobody_missed() -> None:
    """Another provider took over; it was to speak a discarded reply; its process died."""
    turn = asked(100, "Book it.", "Done.")
    node = span("tts_node", 120, 200, parent=turn)
    request = failing(turn, 130, 140, "gone")._replace(
        name="tts_request", parent_span_id=node.span_id
    )
    assert errors([ROOT, turn, node, request]) == {}
    given_up = span("agent_turn", 100, 300, {"lk.interrupted": True}, parent=ROOT)
    step = span("llm_node", 110, 120, parent=given_up)
    assert errors([ROOT, given_up, step, failing(given_up, 120, 200, "gone")]) == {}
    died = {stamps.RECOVERED_REASON: "process 41 died with the span open"}
    assert errors([ROOT, turn, failing(turn, 120, 200, "the process ended", **died)]) == {}


def story(*spans: Span) -> dict[str, dict[str, object]]:
    """What is told of each span, when all start first and then end in turn."""
    teller = Neighbours(open_span=lambda span_id: None)
    for one in spans:
        span_id, parent_id = as_number(one.span_id), as_number(one.parent_span_id)
        teller.opened(span_id, parent_id, one.name, one.attributes)
    return {
        one.name: dict(teller.ended(one, teller.open.pop(as_number(one.span_id)), {}))
        for one in reversed(spans)
    }


def test_error_is_told_to_the_failed_spans_above_it() -> None:
    """Langfuse shows an error once, where it happened."""
    above = make_span(1, "above", status_code=STATUS_ERROR)
    fine = make_span(2, "fine", parent_span_id=above.span_id)
    below = make_span(3, "below", parent_span_id=fine.span_id, status_code=STATUS_ERROR)
    found = story(above, fine, below)
    assert found == {"below": {}, "fine": {}, "above": {stamps.ERROR_IS_BELOW: True}}


ROOT = span("agent_session", 0, 9_000)


def heard(start: float, text: str) -> Span:
    return span("user_turn", start, start + 100, {"lk.pii.user_transcript": text}, parent=ROOT)


def asked(start: float, text: str, said: str) -> Span:
    attributes = {"lk.pii.user_input": text, "lk.pii.response.text": said}
    return span("agent_turn", start, start + 500, attributes, parent=ROOT)


def voice(turn: Span) -> Span:
    """What was heard in it."""
    start, end = turn.start_time_unix_nano + 50_000_000, turn.end_time_unix_nano - 50_000_000
    speaking = span("agent_speaking", 0, 1, parent=turn)
    return speaking._replace(start_time_unix_nano=start, end_time_unix_nano=end)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        (  # one reply to what took two turns of the user
            [heard(0, "I want"), heard(200, "a table."), asked(400, "I want a table.", "When?")],
            ["I want", "a table.", "When?"],
        ),
        (  # typed, although it was said as well before
            [
                heard(0, "Yes please."),
                asked(200, "Yes please.", "Two?"),
                asked(900, "Yes", "Fine."),
            ],
            ["Yes please.", "Two?", "Yes", "Fine."],
        ),
        (  # a hook made it shorter
            [heard(0, "Hey chef, a table for two."), asked(200, "a table for two", "At eight?")],
            ["Hey chef, a table for two.", "At eight?"],
        ),
        (  # typed before it was said
            [asked(200, "Yes", "Two?"), heard(900, "Yes"), asked(1_100, "Yes", "Fine.")],
            ["Yes", "Two?", "Yes", "Fine."],
        ),
    ],
)
def test_what_was_heard_and_what_was_typed(spans: list[Span], expected: list[str]) -> None:
    """The conversation and the transcript tell it alike, each word once."""
    voices = [voice(turn) for turn in spans if turn.name == "agent_turn"]
    spans = [ROOT, *spans, *voices]
    conversation = json.loads(str(restamp(spans)[0].attributes[stamps.CONVERSATION]))
    assert [message["content"] for message in conversation] == expected
    assert [entry["text"] for entry in transcribe(CallTree(spans))["entries"]] == expected


def test_what_an_agent_says_twice_is_told_twice() -> None:
    """In two steps of one turn; of a third it is not known that it was spoken."""
    turn = asked(100, "Book it.", "Done.")
    texts = ("One moment.", "", "One moment.", "Done. Anything else?")
    steps = [
        span("llm_node", 110 + 50 * n, 150 + 50 * n, {"lk.pii.response.text": text}, parent=turn)
        for n, text in enumerate(texts)
    ]
    spans = [ROOT, turn, *steps]
    assert restamp(spans)[1].attributes[stamps.TURN_AGENT_TEXT] == "One moment.\nOne moment.\nDone."
    assert describe(CallTree(spans))["turns"][0]["agent_text"] == "One moment. One moment. Done."
    told = [
        (e["at_seconds"], e["text"]) for e in transcribe(CallTree(spans))["entries"] if "turn" in e
    ]
    assert told == [(0.11, "One moment."), (0.21, "One moment."), (0.26, "Done.")]


def test_conversation_is_on_the_root() -> None:
    """In the order in which it was said; a typed question has no user turn."""
    root = make_span(1, "root")
    typed = make_span(
        2,
        names.AGENT_TURN,
        parent_span_id=root.span_id,
        attributes={"lk.pii.user_input": "hours?", "lk.pii.response.text": "at nine"},
    )
    found = story(root, typed)["root"]
    assert json.loads(str(found[stamps.CONVERSATION])) == [
        {"role": "user", "content": "hours?"},
        {"role": "assistant", "content": "at nine"},
    ]
