"""The application's function that names a call costs, where it fails, no more than that name."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.capture.pipeline import Pipeline
from tracing.account.call import Call
from tracing.capture.session_name import SessionNamer

JOB = {"lk.job_id": "AJ_1", "lk.agent_name": "", "lk.pii.room_name": "lobby"}
BY_LIVEKIT = "lobby/AJ_1"


class Text(str):
    """A text of somebody's own type."""

    def __str__(self) -> str:
        raise RuntimeError("not even this")


def raising(call: Any) -> str:
    raise RuntimeError("no name for you")


def clearing(call: Any) -> str:
    call.clear()
    return "cleared"


async def promised(call: Any) -> str:
    return "later"


def promising(call: Any) -> Any:
    promise = promised(call)
    promise.close()
    return promise


@pytest.mark.parametrize(
    ("function", "session_id", "said"),
    [
        (lambda call: f"{call['lk.agent_name']}-{call['lk.job_id']}", "-AJ_1", 0),
        (lambda call: call["lk.job"], BY_LIVEKIT, 1),
        (raising, BY_LIVEKIT, 1),
        (lambda call: None, BY_LIVEKIT, 0),
        (lambda call: "", BY_LIVEKIT, 0),
        (lambda call: 7, BY_LIVEKIT, 1),
        (lambda call: b"seven", BY_LIVEKIT, 1),
        (lambda call: {"session": 1}, BY_LIVEKIT, 1),
        (promising, BY_LIVEKIT, 1),
        (lambda: "takes nothing", BY_LIVEKIT, 1),
        (clearing, "cleared", 0),
        (lambda call: Text("mine"), "mine", 0),
        (lambda call: "half a \ud800 pair", "half a ? pair", 0),
    ],
)
def test_whatever_it_does_the_spans_have_all_the_rest(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    function: Callable[..., Any],
    session_id: str,
    said: int,
) -> None:
    """One name on every span of two calls, every stamp of their turns, and one line at the most."""
    name_session = SessionNamer(function)
    pipeline = Pipeline(tmp_path, make_call=functools.partial(Call, session_id=name_session))
    with caplog.at_level(logging.WARNING, "tracing"):
        for _ in range(2):
            one_call(pipeline)
    carried = {span.attributes.get("session.id") for span in pipeline.ended().values()}
    turn = pipeline.ended()["agent_turn"].attributes
    assert carried == {session_id}
    assert (turn["turn.number"], turn["turn.kind"], turn["user.id"]) == (1, "reply", "ann")
    assert pipeline.ledger.counts == {}
    assert len(caplog.records) == said


def one_call(pipeline: Pipeline) -> None:
    """A job with one turn each."""
    job = pipeline.start("job_entrypoint", **JOB)
    session = pipeline.start("agent_session", job)
    heard = {"lk.pii.participant_identity": "ann", "lk.pii.user_transcript": "hi"}
    pipeline.start("user_turn", session, **heard).end()
    answer = {"lk.pii.user_input": "hi", "lk.pii.response.text": "yo", "lk.e2e_latency": 0.4}
    pipeline.start("agent_turn", session, **answer).end()
    session.end()
    job.end()
