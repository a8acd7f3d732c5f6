"""Scores of turns and calls: what is sent of a span, and how."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dialects.scored import CALL, TAGGED, TURN, turn
from tests.dialects.spans import livekit_span
from tracing.dialects.langfuse import LangfuseDialect
from tracing.dialects.scores import SCORES, Score, documents_of, scores_dialect, scores_of


def test_table_names_every_score_once() -> None:
    """A verdict, an outcome and what was heard have two sources; few scores are on by default."""
    named = [row.score for row in SCORES]
    twice = ["judge.*", "outcome", "turn_heard_latency", "turn_speech_tail", "turn_voice_lead_in"]
    assert sorted(named) == sorted([*dict.fromkeys(named), *twice])
    assert [row.score for row in SCORES if row.is_default] == [
        "turn_latency_seconds",
        "turn_heard_latency",
        "turn_heard_latency",
        "call_within_budget_share",
        "call_interruption_rate",
        "call_tool_failures",
        "judge.*",
        "judge.*",
        "outcome",
        "outcome",
    ]


@pytest.mark.parametrize(
    ("name", "attributes", "default", "more"),
    [
        (
            "agent_turn",
            TURN,
            [Score("turn_latency_seconds", 0.75, "NUMERIC")],
            [
                Score("turn_part_seconds.llm_first_token", 0.5, "NUMERIC"),
                Score("turn_part_seconds.tts_first_byte", 0.25, "NUMERIC"),
                Score("turn_over_budget", 0, "BOOLEAN"),
                Score("turn_barged_in", 1, "BOOLEAN"),
            ],
        ),
        (
            "agent_session",
            CALL,
            [
                Score("call_within_budget_share", 0.5, "NUMERIC"),
                Score("call_interruption_rate", 0.25, "NUMERIC"),
                Score("call_tool_failures", 1, "NUMERIC"),
            ],
            [
                Score("call_latency_p50_seconds", 0.8, "NUMERIC"),
                Score("call_latency_p95_seconds", 1.5, "NUMERIC"),
                Score("call_turns", 4, "NUMERIC"),
                Score("call_errors.llm", 2, "NUMERIC"),
            ],
        ),
        (
            "judge_evaluation",
            {
                "gen_ai.evaluation.name": "accuracy",
                "gen_ai.evaluation.score.label": "maybe",
                "gen_ai.evaluation.explanation": "half of it",
            },
            [Score("judge.accuracy", "maybe", "CATEGORICAL", "half of it")],
            [],
        ),
        (
            "job_entrypoint",
            TAGGED,
            [
                Score("judge.accuracy", "pass", "CATEGORICAL", "all true"),
                Score("outcome", "fail", "CATEGORICAL", "hung up"),
            ],
            [
                Score("tag.language", "es", "CATEGORICAL"),
                Score("tag.vip", "true", "CATEGORICAL"),
            ],
        ),
        ("agent_session", {"call.tool_calls": 2}, [Score("call_tool_failures", 0, "NUMERIC")], []),
        ("agent_session", {"call.turns": 0}, [], [Score("call_turns", 0, "NUMERIC")]),
        ("agent_turn", {"turn.user_bot_latency_seconds": float("nan")}, [], []),
        ("llm_request", TURN, [], []),
    ],
)
def test_scores_that_a_span_tells(
    name: str, attributes: dict[str, Any], default: list[Score], more: list[Score]
) -> None:
    """By the table, and of what is unknown nothing."""
    span = livekit_span(name, attributes)
    assert scores_of(span) == default
    assert scores_of(span, "all") == [*default, *more]


def test_document_of_a_turn_and_of_a_call() -> None:
    """A turn's score is its observation's, a call's the trace's; both where and when it was."""
    resource = {"deployment.environment.name": "Staging EU"}
    [of_turn] = documents_of(livekit_span("agent_turn", TURN, resource=resource))
    assert of_turn == {
        "id": of_turn["id"],
        "traceId": b"t".hex() * 16,
        "observationId": b"s".hex() * 8,
        "environment": "staging-eu",
        "timestamp": "2026-11-18T11:06:42.000Z",
        "name": "turn_latency_seconds",
        "value": 0.75,
        "dataType": "NUMERIC",
    }
    labelled = scores_dialect(environment="Production")(livekit_span("agent_session", CALL))
    assert labelled is not None
    of_call = documents_of(labelled)[0]
    assert "observationId" not in of_call
    assert (of_call["traceId"], of_call["environment"]) == (b"t".hex() * 16, "production")


def test_ids_are_the_same_each_time_and_of_each_score_its_own() -> None:
    """A span that comes twice sets its scores again; no two scores share an id."""
    spans = [turn(1), turn(2), livekit_span("agent_session", CALL)]
    ids = [[d["id"] for span in spans for d in documents_of(span, chosen="all")] for _ in "12"]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(ids[0]) == 17


def test_what_was_heard_of_a_turn_is_a_score_of_its_observation() -> None:
    """Measured after the call or listened to, it is the same one; of others' spans it is none."""
    told = {"turn.heard_latency_seconds": 0.94, "turn.speech_tail_seconds": 0.11}
    heard = livekit_span("heard", told, span_id=b"heardspa")._replace(
        parent_span_id=b"s" * 8, scope_name="livekit-tracing.heard"
    )
    [listened] = documents_of(livekit_span("agent_turn", told))
    [measured] = documents_of(heard)
    assert (measured["name"], measured["value"]) == ("turn_heard_latency", 0.94)
    assert measured == listened
    dialect = scores_dialect()
    assert dialect(heard) is heard
    assert dialect(heard._replace(scope_name="somebody's")) is None
    assert LangfuseDialect()(heard) is None
    assert LangfuseDialect(detail="full")(heard) is not None


def test_verdict_by_the_judges_span_and_by_the_job_is_one_score() -> None:
    """An LLM's verdict comes both ways, and counts once."""
    judged = {"gen_ai.evaluation.name": "accuracy", "gen_ai.evaluation.score.label": "pass"}
    by_span = documents_of(livekit_span("judge_evaluation", judged, span_id=b"judgejud"))
    by_job = documents_of(livekit_span("job_entrypoint", TAGGED))
    assert by_span[0]["id"] == by_job[0]["id"]
