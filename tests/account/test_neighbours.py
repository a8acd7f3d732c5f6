"""What spans learn from others, told span by span, is what the whole recording shows."""

from __future__ import annotations

import json

import pytest

from tests.dialects.stamps import VERSIONS, _Tree, recorded, scenarios
from tests.fakes import make_span
from tests.livekit.spans import span
from tracing import names, stamps
from tracing.account.neighbours import Neighbours
from tracing.account.restamp import restamp
from tracing.read.describe import describe
from tracing.read.transcribe import transcribe
from tracing.span import STATUS_ERROR, Span, as_number

EVERY_RECORDING = [(version, name) for version in VERSIONS for name in scenarios(version)]
ONLY_EVENTS_KNOW = {stamps.TURN_ERROR}


@pytest.mark.parametrize(("version", "scenario"), EVERY_RECORDING)
def test_every_recording_is_told_as_its_tree_shows(version: str, scenario: str) -> None:
    """Computed with all spans at hand, and as they came: the same."""
    spans = restamp(recorded(scenario, version))
    tree = _Tree(spans)
    for told in spans:
        expected = {k: v for k, v in tree.stamps(told).items() if k not in ONLY_EVENTS_KNOW}
        found = {key: told.attributes.get(key) for key in expected}
        assert found == expected, told.name


def story(*spans: Span) -> dict[str, dict[str, object]]:
    """What is told of each span, when all start first and then end in turn."""
    teller = Neighbours(attributes_of=lambda span_id: {})
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
    assert [entry["text"] for entry in transcribe(spans)["entries"]] == expected


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
    assert describe(spans)["turns"][0]["agent_text"] == "One moment. One moment. Done."
    told = [(e["at_seconds"], e["text"]) for e in transcribe(spans)["entries"] if "turn" in e]
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
