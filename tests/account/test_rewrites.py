"""What is written otherwise than LiveKit has it: inputs once, and the status of tools."""

from __future__ import annotations

import json

import pytest

from tests.fakes import make_span
from tracing.account.rewrites import RecordedInputs, with_status
from tracing.span import STATUS_ERROR, STATUS_OK, Span
from tracing.stamps import RECORDED_ON

MESSAGES = "gen_ai.input.messages"
TOOL = "function_tool"


def request(
    number: int, messages: list[str], parent: int = 1, instructions: str = "be kind"
) -> Span:
    """An `llm_request` with the whole history."""
    return make_span(
        number,
        "llm_request",
        parent_span_id=parent.to_bytes(8, "big"),
        attributes={MESSAGES: json.dumps(messages), "gen_ai.system_instructions": instructions},
    )


def node(number: int) -> Span:
    """The `llm_node` above it."""
    return make_span(number, "llm_node", attributes={"lk.pii.chat_ctx": "[...]", "x": 1})


def test_chat_context_goes_where_the_request_below_carries_the_messages() -> None:
    """The node says where its input is."""
    inputs = RecordedInputs()
    below = request(2, ["a"])
    assert inputs.once(below) == below
    assert inputs.once(node(1)).attributes == {"x": 1, RECORDED_ON: "llm_request"}


def test_chat_context_stays_where_no_request_carries_it() -> None:
    """A custom llm_node without a request keeps its only input."""
    inputs = RecordedInputs()
    inputs.once(make_span(2, "llm_request", parent_span_id=(1).to_bytes(8, "big")))
    assert inputs.once(node(1)) == node(1)


def test_chat_context_goes_through_a_fallback_adapter_too() -> None:
    """The request is below the adapter, which is below the node."""
    inputs = RecordedInputs()
    inputs.once(request(3, ["a"], parent=2))
    inputs.once(make_span(2, "llm_fallback_adapter", parent_span_id=(1).to_bytes(8, "big")))
    assert "lk.pii.chat_ctx" not in inputs.once(node(1)).attributes


def test_deltas_carry_only_what_is_new_and_name_their_base() -> None:
    """In LiveKit's own form: base span, nothing dropped from it, no repeated instructions."""
    inputs = RecordedInputs(deltas=True)
    first, second, third = request(1, ["a"]), request(2, ["a", "b", "c"]), request(3, ["x"])
    assert inputs.once(first) == first
    delta = dict(inputs.once(second).attributes)
    assert json.loads(str(delta.pop(MESSAGES))) == ["b", "c"]
    assert delta == {
        "lk.input.base_span_id": first.span_id.hex(),
        "lk.input.dropped_from_base": 0,
    }
    assert inputs.once(third) == third  # another history: whole again


def test_new_instructions_are_recorded_with_a_delta() -> None:
    """Only what is the same is left out."""
    inputs = RecordedInputs(deltas=True)
    inputs.once(request(1, ["a"]))
    changed = inputs.once(request(2, ["a", "b"], instructions="be brief")).attributes
    assert changed["gen_ai.system_instructions"] == "be brief"
    assert json.loads(str(changed[MESSAGES])) == ["b"]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"lk.function_tool.is_error": True, "lk.pii.function_tool.output": "no room"}, "no room"),
        ({"lk.function_tool.is_error": True, "lk.function_tool.output": "older"}, "older"),
        ({"lk.function_tool.is_error": True}, "the tool failed"),
    ],
)
def test_failed_tool_is_an_error_with_its_message(
    attributes: dict[str, object], message: str
) -> None:
    """LiveKit leaves the status unset."""
    span = make_span(1, TOOL, attributes=attributes)
    failed = span._replace(status_code=STATUS_ERROR, status_message=message)
    assert with_status(span) == failed


def test_other_tools_stay_as_they_are() -> None:
    """One that worked, and one whose status somebody set."""
    worked = make_span(1, TOOL, attributes={"lk.function_tool.is_error": False})
    settled = make_span(
        2, TOOL, attributes={"lk.function_tool.is_error": True}, status_code=STATUS_OK
    )
    assert (with_status(worked), with_status(settled)) == (worked, settled)
