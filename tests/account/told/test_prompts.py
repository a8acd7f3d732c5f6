"""Which prompt an agent's calls to a model are made with."""

from __future__ import annotations

from tests.sessions.spans import span
from tracing.account.call import Call
from tracing.account.told.prompts import Prompt, Prompts

CLERK, COOK = Prompt("clerk", 1), Prompt("cook", 2)


def test_a_prompt_holds_until_the_agent_changes() -> None:
    """What was named before the first agent is the first one's; an agent that resumes has its own.

    One that starts anew, of the same class too, has none until it is named.
    """
    prompts = Prompts(CLERK)
    prompts.agent_starts("Clerk")
    seen = [prompts.current]
    prompts.agent_starts("Cook")
    seen.append(prompts.current)
    prompts.current = COOK
    seen.append(prompts.current)
    prompts.agent_resumes("Clerk")
    seen.append(prompts.current)
    prompts.agent_starts("Cook")
    seen.append(prompts.current)
    assert seen == [CLERK, None, COOK, CLERK, None]


def test_the_agents_own_calls_to_a_model_are_linked() -> None:
    """From when it was named; a request that began before is not, nor is a judge's."""
    call = Call()
    call.use_prompt(CLERK, b"")
    job = span("job_entrypoint", 0, 90)
    session = span("agent_session", 1, 80, parent=job)
    start = span("start_agent_activity", 2, 3, {"lk.agent_label": "Clerk"}, parent=session)
    turn = span("agent_turn", 4, 40, parent=session)
    early, late = (span("llm_request", at, 30, parent=turn) for at in (5, 20))
    realtime = span("realtime_inference", 21, 30, parent=turn)
    judge = span("judge_evaluation", 50, 70, parent=session)
    judging = span("llm_request", 51, 60, parent=judge)
    for one in (job, session, start, turn, early):
        call.started(one)
    call.use_prompt(COOK, turn.span_id)
    for one in (late, realtime, judge, judging):
        call.started(one)
    linked = [call.ended(one).get("prompt.name") for one in (early, late, realtime, judging)]
    assert linked == ["clerk", "cook", "cook", None]
