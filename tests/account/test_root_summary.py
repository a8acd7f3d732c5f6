"""A session's summary on the root above it, where lists of calls can be filtered by it."""

from __future__ import annotations

import pytest

from tests.sessions.spans import llm_metrics, span
from tracing import names, stamps
from tracing.account.restamp import restamp
from tracing.dialects.langfuse import LangfuseDialect

OBSERVED = {
    "call.options.changed": ["endpointing.min_delay=0.4"],
    "call.options.llm_model": "gpt-4o",
    "call.errors.llm": 1,
}
ON_THE_ROOT = {
    "turns": 1,
    "budget_seconds": 1.0,
    "duration_seconds": 1.0,
    "close_reason": "user_initiated",
    "options.changed": ["endpointing.min_delay=0.4"],
    "errors.llm": 1,
}


@pytest.mark.parametrize("root_name", ["job_entrypoint", "my call"])
def test_the_root_has_what_the_session_says(root_name: str) -> None:
    """All that can be filtered by, and not what was used, which the session keeps."""
    root = span(root_name, 0, 2_000)
    session = span("agent_session", 0, 1_000, OBSERVED, parent=root)
    turn = span("agent_turn", 100, 500, parent=session)
    request = span("llm_request", 110, 200, {"lk.llm_metrics": llm_metrics()}, parent=turn)
    close = span("session_close", 900, 950, {"lk.close_reason": "user_initiated"}, parent=session)
    spans = [one._replace(scope_name=names.SCOPE) for one in (root, session, turn, request, close)]
    stamped = restamp(spans)
    found = {
        key.removeprefix(stamps.ROOT_SUMMARY): value
        for key, value in stamped[0].attributes.items()
        if key.startswith(stamps.ROOT_SUMMARY)
    }
    assert found == ON_THE_ROOT
    assert not any(key.startswith(stamps.ROOT_SUMMARY) for key in stamped[1].attributes)
    shown = LangfuseDialect()(stamped[0])
    assert shown is not None
    kept = {key.rpartition("metadata.")[2] for key in shown.attributes if "metadata." in key}
    assert {key.replace(".", "_") for key in ON_THE_ROOT} <= kept


def test_a_session_that_is_the_root_says_it_once() -> None:
    """Under its own names."""
    session = span("agent_session", 0, 1_000, OBSERVED)._replace(scope_name=names.SCOPE)
    (stamped,) = restamp([session])
    assert not any(key.startswith(stamps.ROOT_SUMMARY) for key in stamped.attributes)
