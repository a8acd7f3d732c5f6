"""LiveKit's own calls of a model beside the turns, in real sessions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sessions.accounts import Clerk
from tests.sessions.scripted import FakeLLM, FakeSTT, Said
from tests.sessions.studio import Recorder, observed, studio
from tracing.span import Span

NOTHING_NEW = Said("No keyterms.", delay=0.01)


class Script(dict[str, Said]):
    """Answers whatever else is asked."""

    def __missing__(self, key: str) -> Said:
        return NOTHING_NEW


def used_by(requests: list[Span]) -> int:
    """The input tokens of requests, by LiveKit's metrics of each."""
    told = (json.loads(str(one.attributes["lk.llm_metrics"])) for one in requests)
    return sum(metrics["prompt_tokens"] for metrics in told)


@pytest.mark.parametrize("shares_the_model", [False, True])
@pytest.mark.parametrize("is_observed", [False, True])
async def test_keyterm_detection_is_in_the_usage_as_what_it_is(
    shares_the_model: bool, is_observed: bool
) -> None:
    """Each token once, with LiveKit's own sum and without, whoever's model it asks."""
    script = Script({"hello": Said("Good evening.")})
    model = FakeLLM(script)
    detector = model if shares_the_model else FakeLLM(script)
    scribe = FakeSTT()
    scribe.capabilities.keyterms = True
    options: dict[str, Any] = {
        "llm": model,
        "stt": scribe,
        "stt_context_options": {"keyterm_detection": {"enabled": True, "llm": detector}},
    }
    if is_observed:
        options["prepare"] = observed(log_summary=False)

    async with studio(Clerk(), script, **options) as running:
        running.caller.scribe = scribe
        await running.caller.say("hello")
        await running.until_heard("Good evening")
        await running.until(lambda: bool(detections(running.recorder)))
    recorder = running.recorder
    [detection] = detections(recorder)
    requests = recorder.named("llm_request")
    beside = [one for one in requests if one.parent_span_id == detection.span_id]
    steps = [one for one in requests if one not in beside]
    [session] = recorder.named("agent_session")
    usage = json.loads(str(session.attributes["call.usage"]))
    tokens = {
        used.get("purpose", ""): used["input_tokens"]
        for used in usage
        if used["type"] == "llm_usage"
    }
    assert tokens == {"": used_by(steps), "keyterm_detection": used_by(beside)}
    [turn] = recorder.named("agent_turn")
    assert turn.attributes["turn.llm_calls"] == len(steps)


def detections(recorder: Recorder) -> list[Span]:
    """The passes that ended."""
    return recorder.named("keyterm_detection")
