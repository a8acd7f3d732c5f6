"""What spans learn from others, told span by span, is what the whole recording shows."""

from __future__ import annotations

import json

import pytest

from tests.dialects.stamps import VERSIONS, _Tree, recorded, scenarios
from tests.fakes import make_span
from tracing import names, stamps
from tracing.account.neighbours import Neighbours
from tracing.account.restamp import restamp
from tracing.span import STATUS_ERROR, Span, as_number

EVERY_RECORDING = [(version, name) for version in VERSIONS for name in scenarios(version)]
ONLY_EVENTS_KNOW = {stamps.TURN_ERROR}


@pytest.mark.parametrize(("version", "scenario"), EVERY_RECORDING)
def test_every_recording_is_told_as_its_tree_shows(version: str, scenario: str) -> None:
    """Computed with all spans at hand, and as they came: the same."""
    spans = restamp(recorded(scenario, version))
    tree = _Tree(spans)
    for span in spans:
        expected = {k: v for k, v in tree.stamps(span).items() if k not in ONLY_EVENTS_KNOW}
        found = {key: span.attributes.get(key) for key in expected}
        assert found == expected, span.name


def story(*spans: Span) -> dict[str, dict[str, object]]:
    """What is told of each span, when all start first and then end in turn."""
    teller = Neighbours(attributes_of=lambda span_id: {})
    for span in spans:
        span_id, parent_id = as_number(span.span_id), as_number(span.parent_span_id)
        teller.opened(span_id, parent_id, span.name, span.attributes)
    return {
        span.name: dict(teller.ended(span, teller.open.pop(as_number(span.span_id)), {}))
        for span in reversed(spans)
    }


def test_error_is_told_to_the_failed_spans_above_it() -> None:
    """Langfuse shows an error once, where it happened."""
    above = make_span(1, "above", status_code=STATUS_ERROR)
    fine = make_span(2, "fine", parent_span_id=above.span_id)
    below = make_span(3, "below", parent_span_id=fine.span_id, status_code=STATUS_ERROR)
    found = story(above, fine, below)
    assert found == {"below": {}, "fine": {}, "above": {stamps.ERROR_IS_BELOW: True}}


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
