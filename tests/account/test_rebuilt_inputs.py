"""Inputs that LiveKit recorded as deltas are whole again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.dialects.recorded import recorded
from tests.dialects.spans import livekit_span
from tracing.account.rewrites import RebuiltInputs
from tracing.span import Span


def request(number: int, messages: Sequence[str], **delta: Any) -> Span:
    attributes = {"gen_ai.input.messages": json.dumps(messages)}
    attributes |= {f"lk.input.{key}": value for key, value in delta.items()}
    return livekit_span("llm_request", attributes, span_id=number.to_bytes(8, "big"))


def span_id(number: int) -> str:
    return number.to_bytes(8, "big").hex()


def messages_of(stamped: Any) -> Any:
    return json.loads(stamped["gen_ai.input.messages"])


def test_a_recorded_session_is_whole_again() -> None:
    """Three requests of a real session: the second and third are deltas of the one before."""
    inputs = RebuiltInputs()
    spans = [span for span in recorded("input_delta") if span.name == "llm_request"]
    whole = [{**span.attributes, **inputs.ended(span)} for span in spans]
    roles = [[m["role"] for m in messages_of(attributes)] for attributes in whole]
    assert roles == [
        ["user"],
        ["user", "assistant", "user"],
        ["user", "assistant", "user", "assistant", "tool"],
    ]
    instructions = {attributes["gen_ai.system_instructions"] for attributes in whole}
    assert len(instructions) == 1
    assert "gen_ai.system_instructions" not in spans[2].attributes


def test_dropped_messages_are_dropped() -> None:
    """The base's last messages are replaced by the span's own."""
    inputs = RebuiltInputs()
    assert inputs.ended(request(1, ["a", "b, with ] and }", "guide"])) == {}
    stamped = inputs.ended(request(2, ["c", "guide"], base_span_id=span_id(1), dropped_from_base=1))
    assert messages_of(stamped) == ["a", "b, with ] and }", "c", "guide"]
    stamped = inputs.ended(request(3, ["d"], base_span_id=span_id(2), dropped_from_base=2))
    assert messages_of(stamped) == ["a", "b, with ] and }", "d"]


def test_a_discarded_request_is_no_base() -> None:
    """Two requests may continue the same one."""
    inputs = RebuiltInputs()
    inputs.ended(request(1, ["a"]))
    inputs.ended(request(2, ["b"], base_span_id=span_id(1)))
    stamped = inputs.ended(request(3, ["c"], base_span_id=span_id(1), dropped_from_base=0))
    assert messages_of(stamped) == ["a", "c"]


def test_a_delta_without_its_base_stays_as_it_is() -> None:
    """What is not known is not made up."""
    assert RebuiltInputs().ended(request(2, ["b"], base_span_id=span_id(1))) == {}


def test_what_is_rebuilt_is_not_rebuilt_again() -> None:
    """A recording of rebuilt spans is read as it is, and serves as a base."""
    inputs = RebuiltInputs()
    inputs.ended(request(1, ["a"]))
    again = request(2, ["a", "b"], base_span_id=span_id(1))
    again = again._replace(attributes={**again.attributes, "input.is_rebuilt": True})
    assert inputs.ended(again) == {}
    assert messages_of(inputs.ended(request(3, ["c"], base_span_id=span_id(2)))) == ["a", "b", "c"]


def test_memory_is_bounded() -> None:
    """Only the latest requests are kept."""
    inputs = RebuiltInputs(kept=2)
    for number in range(1, 4):
        inputs.ended(request(number, ["a"]))
    assert inputs.ended(request(9, ["b"], base_span_id=span_id(1))) == {}
    assert inputs.ended(request(10, ["b"], base_span_id=span_id(3))) != {}


def test_a_delta_of_what_is_no_json_stays_as_it_is() -> None:
    """A text cut off by a limit of the SDK's is passed over."""
    inputs = RebuiltInputs()
    inputs.ended(request(1, ["a"])._replace(attributes={"gen_ai.input.messages": '["a'}))
    assert inputs.ended(request(2, ["b"], base_span_id=span_id(1))) == {}


def test_withheld_messages_stay_away() -> None:
    """A delta without content adds none."""
    inputs = RebuiltInputs()
    inputs.ended(livekit_span("llm_request", span_id=b"1" * 8))
    bare = livekit_span("llm_request", {"lk.input.base_span_id": (b"1" * 8).hex()})
    assert inputs.ended(bare) == {}
