"""The status of a tool's span."""

from __future__ import annotations

import pytest

from tests.fakes import make_span
from tracing.account.rewrites import with_status
from tracing.span import STATUS_ERROR, STATUS_OK

TOOL = "function_tool"


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
