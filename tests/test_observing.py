"""What `observe` takes: a text is not a yes, and what is wrong is said without harm to the call."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.agents import Agent, AgentSession

from tests.sessions.scripted import Said
from tests.sessions.studio import Recorder, studio
from tracing.observing import observe


async def observed(caplog: pytest.LogCaptureFixture, **arguments: Any) -> tuple[Any, list[str]]:
    """The reply's attributes, and what was logged by `observe`."""

    def prepare(session: AgentSession, recorder: Recorder) -> None:
        observe(session, **arguments)

    script = {"hello": Said("Good evening.")}
    with caplog.at_level("INFO", "tracing"):
        async with studio(Agent(instructions=""), script, prepare=prepare) as running:
            await running.caller.say("hello")
            await running.until_heard("Good evening")
    said = [r.getMessage() for r in caplog.records if r.name == "tracing.observing"]
    return running.recorder.named("agent_turn")[0].attributes, said


async def test_arguments_may_be_words(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `os.getenv` gives them."""
    turn, said = await observed(caplog, table="false", log_summary="0", budget_seconds="0.0001")
    assert (said, capsys.readouterr().out) == ([], "")
    assert turn["turn.over_budget"] is True


async def test_what_is_wrong_is_said_once_and_the_call_goes_on(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the defaults."""
    wrong = {"table": "maybe", "log_summary": None, "budget_seconds": "soon", "user_id": 5}
    turn, said = await observed(caplog, **wrong)
    assert said[0] == (
        "observe: log_summary= is None: give true or false; table= is 'maybe': give true or false; "
        "user_id= is a int: give a text; "
        "budget_seconds= is 'soon': give a positive number, such as 1"
    )
    assert [line.partition(":")[0] for line in said[1:]] == ["call ended"]
    assert capsys.readouterr().out == ""
    assert turn["turn.over_budget"] is False
