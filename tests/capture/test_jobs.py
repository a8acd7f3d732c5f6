"""What a job adds to its call when it ends."""

from __future__ import annotations

from tests.dialects.scored import TAGGED
from tracing import stamps
from tracing.capture.jobs import outcome_attributes
from tracing.harmless.filter import Harmless


def test_tagger_becomes_attributes_without_content_where_that_is_withheld() -> None:
    """What LiveKit's own Tagger holds, as `job_entrypoint` carries it."""
    from livekit.agents.evals import EvaluationResult, JudgmentResult
    from livekit.agents.observability import Tagger

    tagger = Tagger()
    assert outcome_attributes(tagger) == {}
    tagger.fail(reason="hung up")
    tagger.add("language:es")
    tagger.add("vip")
    judged = JudgmentResult(verdict="pass", reasoning="all true")
    tagger._evaluation(EvaluationResult(judgments={"accuracy": judged}))
    found = outcome_attributes(tagger)
    assert {**found, stamps.CALL_TAGS: sorted(found[stamps.CALL_TAGS])} == {  # type: ignore[type-var,arg-type]
        **TAGGED,
        "call.tags": sorted(TAGGED["call.tags"]),
    }
    assert Harmless().attributes(found) == {
        "call.outcome": "fail",
        "call.tags": ["lk.fail", "lk.judge.accuracy:pass"],
        "call.evaluations": '[{"name": "accuracy", "verdict": "pass"}]',
    }
