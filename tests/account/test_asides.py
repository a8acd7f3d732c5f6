"""What models used beside the turns: in the call's usage, as what it was for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sessions.spans import llm_metrics, span
from tracing.account.call import Call
from tracing.account.restamp import restamp
from tracing.account.summary import Summary
from tracing.calls.describe import describe
from tracing.calls.tree import Tree
from tracing.span import Span

STEP = {
    "type": "llm_usage",
    "provider": "openai",
    "model": "gpt",
    "input_tokens": 100,
    "input_cached_tokens": 40,
    "output_tokens": 10,
}


def aside(purpose: str) -> dict[str, Any]:
    """What one request of it adds up to."""
    return {**STEP, "purpose": purpose}


def asked(parent: Span, start: float, end: float, name: str = "") -> list[Span]:
    """A request to a model, below a span of this name where one is given."""
    above = span(name, start, end, parent=parent) if name else parent
    request = span("llm_request", start, end, {"lk.llm_metrics": llm_metrics()}, parent=above)
    return [above, request] if name else [request]


@pytest.mark.parametrize("end", [800, 3_000])
@pytest.mark.parametrize("purpose", ["keyterm_detection", "judge_evaluation", "amd"])
def test_what_is_asked_beside_a_turn_is_none_of_its_steps(purpose: str, end: float) -> None:
    """Whether or not it ends in the turn's time."""
    session = span("agent_session", 0, 9_000)
    turn = span("agent_turn", 100, 1_000, parent=session)
    spans = [session, turn, *asked(turn, 110, 200), *asked(turn, 300, end, purpose)]
    by_name = {one.name: one.attributes for one in restamp(spans)}
    assert by_name["agent_turn"]["turn.llm_calls"] == 1
    assert by_name["agent_turn"]["turn.llm_input_tokens"] == 100
    usage = json.loads(str(by_name["agent_session"]["call.usage"]))
    assert usage == [STEP, aside(purpose)]


def test_what_is_asked_after_the_session_is_on_the_job() -> None:
    """A judge hears the whole call; the report adds it up."""
    job = span("job_entrypoint", 0, 20_000)
    session = span("agent_session", 0, 9_000, parent=job)
    turn = span("agent_turn", 100, 1_000, parent=session)
    shutdown = span("job_shutdown", 9_000, 19_000, parent=job)
    judges = [one for _ in range(2) for one in asked(shutdown, 9_500, 9_900, "judge_evaluation")]
    late = asked(session, 8_000, 9_500, "keyterm_detection")
    spans = [job, session, turn, *asked(turn, 110, 200), *late, shutdown, *judges]
    by_name = {one.name: one.attributes for one in restamp(spans)}
    assert json.loads(str(by_name["agent_session"]["call.usage"])) == [STEP]
    twice = {
        key: 2 * n if isinstance(n, int) else n for key, n in aside("judge_evaluation").items()
    }
    on_job = json.loads(str(by_name["job_entrypoint"]["call.usage"]))
    assert on_job == [aside("keyterm_detection"), twice]
    assert describe(Tree(spans))["summary"]["usage"] == [STEP, *on_job]


@pytest.mark.parametrize("theirs", [100, 200, 300])
def test_livekits_own_sum_takes_none_of_it_away(theirs: int) -> None:
    """Whether it has it not, once, or twice, as where the session's own model was asked."""
    summary = Summary()
    summary.add_usage({**STEP})
    summary.add_usage(aside("keyterm_detection"))
    factor = theirs // 100
    summary.replace_usage([{k: n * factor if isinstance(n, int) else n for k, n in STEP.items()}])
    found = {used.get("purpose", ""): used for used in summary.numbers()["usage"]}
    assert found == {"": STEP, "keyterm_detection": aside("keyterm_detection")}


def test_a_request_before_any_session_is_on_the_job() -> None:
    """Such as one by which an entrypoint prepares itself."""
    job = span("job_entrypoint", 0, 99)
    call = Call()
    call.started(job)
    for one in asked(job, 1, 2):
        call.started(one)
        call.ended(one)
    assert json.loads(str(call.ended(job)["call.usage"])) == [STEP]
