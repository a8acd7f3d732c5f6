"""Scores of turns and calls: what is sent, how often, and what no answer can do to the spans."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dialects.spans import livekit_span
from tests.fakes import FAST, Reply, draining, until, write_segment
from tests.langfuse_server import SCORES as SCORES_PATH
from tests.langfuse_server import LangfuseServer
from tracing import stamps
from tracing.capture.jobs import outcome_attributes
from tracing.config.backends import Backend, fingerprint
from tracing.config.load import load_settings
from tracing.config.settings import ConfigError, backends_of
from tracing.deliver.delivery import Delivery
from tracing.deliver.status import read_backends, take_notices
from tracing.dialects.scores import SCORES, Score, documents_of, scores_of
from tracing.span import Span
from tracing.spool.acks import Acks, acknowledged_offset, settle_acks
from tracing.spool.losses import Ledger, count_losses, read_losses
from tracing.spool.segments import segment_paths

TURN = {
    "turn.number": 1,
    "turn.user_bot_latency_seconds": 0.75,
    "turn.part_seconds.llm_first_token": 0.5,
    "turn.part_seconds.tts_first_byte": 0.25,
    "turn.over_budget": False,
    "turn.barged_in": True,
}
CALL = {
    "call.within_budget_share": 0.5,
    "call.barge_in_rate": 0.25,
    "call.tool_calls": 3,
    "call.tool_failures": 1,
    "call.latency_p50_seconds": 0.8,
    "call.latency_p95_seconds": 1.5,
    "call.turns": 4,
    "call.errors.llm": 2,
}
TAGGED = {
    "call.outcome": "fail",
    "call.outcome_reason": "hung up",
    "call.tags": ["lk.fail", "lk.judge.accuracy:pass", "language:es", "vip"],
    "call.evaluations": json.dumps(
        [{"name": "accuracy", "verdict": "pass", "reasoning": "all true"}]
    ),
}


@pytest.fixture
def server() -> Iterator[LangfuseServer]:
    """A Langfuse."""
    with LangfuseServer() as langfuse:
        yield langfuse


def turn(number: int = 1, **attributes: Any) -> Span:
    """A turn of the agent."""
    span_id = number.to_bytes(8, "big")
    return livekit_span("agent_turn", {**TURN, **attributes}, span_id=span_id)


def scores_backend(server: LangfuseServer, scores: Any = True) -> Backend:
    """Where scores are delivered to."""
    settings = load_settings("langfuse", scores=scores, **server.settings)
    return next(b for b in backends_of(settings) if b.carries == "scores")


@contextlib.contextmanager
def delivering(spool: Path, backend: Backend) -> Iterator[Delivery]:
    """A delivery that runs meanwhile; its losses are in the spool's file afterwards."""
    ledger = Ledger(spool, say=lambda text: None)
    delivery = Delivery(spool, backend, ledger, pace=FAST)
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.stopping.set()
        delivery.join(10)
        ledger.settle()
        assert not delivery.is_alive()


def test_table_names_every_score_once() -> None:
    """A judge's verdict alone has two sources, and few scores are on by default."""
    named = [row.score for row in SCORES]
    assert sorted(named) == sorted([*dict.fromkeys(named), "judge.*"])
    assert [row.score for row in SCORES if row.is_default] == [
        "turn_latency_seconds",
        "call_within_budget_share",
        "call_interruption_rate",
        "call_tool_failures",
        "judge.*",
        "judge.*",
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
    of_call = documents_of(livekit_span("agent_session", CALL), environment="production")[0]
    assert "observationId" not in of_call
    assert (of_call["traceId"], of_call["environment"]) == (b"t".hex() * 16, "production")


def test_ids_are_the_same_each_time_and_of_each_score_its_own() -> None:
    """A span that comes twice sets its scores again; no two scores share an id."""
    spans = [turn(1), turn(2), livekit_span("agent_session", CALL)]
    ids = [[d["id"] for span in spans for d in documents_of(span, chosen="all")] for _ in "12"]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(ids[0]) == 17


def test_verdict_by_the_judges_span_and_by_the_job_is_one_score() -> None:
    """An LLM's verdict comes both ways, and counts once."""
    judged = {"gen_ai.evaluation.name": "accuracy", "gen_ai.evaluation.score.label": "pass"}
    by_span = documents_of(livekit_span("judge_evaluation", judged, span_id=b"judgejud"))
    by_job = documents_of(livekit_span("job_entrypoint", TAGGED))
    assert by_span[0]["id"] == by_job[0]["id"]


def test_tagger_becomes_attributes_without_content_where_that_is_withheld() -> None:
    """What LiveKit's own Tagger holds, as `job_entrypoint` carries it."""
    from livekit.agents.evals import EvaluationResult, JudgmentResult
    from livekit.agents.observability import Tagger

    tagger = Tagger()
    assert outcome_attributes(tagger, withhold=False) == {}
    tagger.fail(reason="hung up")
    tagger.add("language:es")
    tagger.add("vip")
    judged = JudgmentResult(verdict="pass", reasoning="all true")
    tagger._evaluation(EvaluationResult(judgments={"accuracy": judged}))
    found = outcome_attributes(tagger, withhold=False)
    assert {**found, stamps.CALL_TAGS: sorted(found[stamps.CALL_TAGS])} == {  # type: ignore[type-var,arg-type]
        **TAGGED,
        "call.tags": sorted(TAGGED["call.tags"]),
    }
    assert outcome_attributes(tagger, withhold=True) == {
        "call.outcome": "fail",
        "call.tags": ["lk.fail", "lk.judge.accuracy:pass"],
        "call.evaluations": '[{"name": "accuracy", "verdict": "pass"}]',
    }


def test_scores_are_delivered_one_by_one(tmp_path: Path, server: LangfuseServer) -> None:
    """As one JSON object each, with the keys and nothing that only spans need."""
    path = write_segment(tmp_path, turn(), livekit_span("agent_session", CALL))
    with delivering(tmp_path, scores_backend(server)) as delivery:
        until(lambda: delivery.done == {path.name})
        assert delivery.status.delivered_spans == 2
    assert server.scores_by_name(turn().span_id.hex()) == {"turn_latency_seconds": 0.75}
    assert server.scores_by_name(turn().trace_id.hex()) == {
        "call_within_budget_share": 0.5,
        "call_interruption_rate": 0.25,
        "call_tool_failures": 1,
    }
    assert [(a.method, a.path, a.status) for a in server.asked] == [("POST", SCORES_PATH, 200)] * 4
    assert all("x-langfuse-ingestion-version" not in asked.headers for asked in server.asked)
    assert count_losses(tmp_path) == {}


def test_repeat_makes_no_second_score(tmp_path: Path, server: LangfuseServer) -> None:
    """A drainer that died before its note sends again, and Langfuse has each score once."""
    for spool in (tmp_path / "1", tmp_path / "2"):
        write_segment(spool, turn(1), turn(2))
        with delivering(spool, scores_backend(server, "all")) as delivery:
            until(lambda delivery=delivery: delivery.done)
    assert (len(server.asked), len(server.scores)) == (20, 10)


def test_rate_limit_is_waited_for_and_nothing_is_posted_twice(
    tmp_path: Path, server: LangfuseServer
) -> None:
    """`Retry-After` is obeyed; what was taken before it is not sent again."""
    write_segment(tmp_path, *(turn(number) for number in range(1, 6)))
    server.requests_left = 2
    began = time.monotonic()
    with delivering(tmp_path, scores_backend(server)) as delivery:
        until(lambda: delivery.done)
    assert [asked.status for asked in server.asked] == [200, 200, 429, 200, 200, 200]
    assert time.monotonic() - began >= 1.0
    assert len({asked.document["id"] for asked in server.asked if asked.status == 200}) == 5


@pytest.mark.parametrize("status", [400, 404, 422])
def test_rejected_score_is_counted_and_the_others_pass(
    tmp_path: Path, server: LangfuseServer, status: int
) -> None:
    """One bad score blocks neither scores nor the spool."""
    write_segment(tmp_path, turn(1), turn(2), turn(3))
    words = b'{"message": "no such config"}'
    server.replies[SCORES_PATH] = [Reply(), Reply(status, words)]
    with delivering(tmp_path, scores_backend(server)) as delivery:
        until(lambda: delivery.done)
    assert [asked.status for asked in server.asked] == [200, status, 200]
    [loss] = read_losses(tmp_path)
    assert (loss["reason"], loss["number"]) == ("Langfuse rejected the score", 1)
    assert loss["detail"] == (
        f"turn_latency_seconds: POST {server.url}{SCORES_PATH} answered {status}: "
        '{"message": "no such config"}'
    )


def test_not_found_page_of_another_server_is_no_rejection(
    tmp_path: Path, server: LangfuseServer
) -> None:
    """A wrong address answers 404 in HTML: the scores wait for the mend, as spans do."""
    write_segment(tmp_path, turn())
    server.replies[SCORES_PATH] = [Reply(404, b"<html>nothing here</html>")] * 2
    with delivering(tmp_path, scores_backend(server)) as delivery:
        until(lambda: delivery.done)
    assert [asked.status for asked in server.asked] == [404, 404, 200]
    assert count_losses(tmp_path) == {}


def test_wrong_key_pauses_and_says_so_once(tmp_path: Path, server: LangfuseServer) -> None:
    """Like spans: kept, said with the mend, delivered when it is mended."""
    write_segment(tmp_path, turn())
    server.secret_key = "another"
    with delivering(tmp_path, scores_backend(server)) as delivery:
        until(lambda: len(server.asked) > 3)
        assert delivery.status.state == "paused"
        [(_, said)] = take_notices(tmp_path)
        assert re.search(
            r"answered 401: .*correct host.* No score is lost: they wait on disk\. "
            r"Mend: check LANGFUSE_PUBLIC_KEY",
            said,
        )
        server.secret_key = "sk-lf-test"
        until(lambda: delivery.done)
    assert take_notices(tmp_path) == [(20, "langfuse-scores takes scores again")]
    assert len(server.scores) == 1


def test_unreadable_scores_cost_only_themselves(tmp_path: Path, server: LangfuseServer) -> None:
    """A span with broken JSON is counted; the others' scores arrive."""
    broken = livekit_span("job_entrypoint", {"call.evaluations": "["})
    write_segment(tmp_path, broken, turn())
    with delivering(tmp_path, scores_backend(server)) as delivery:
        until(lambda: delivery.done)
    assert len(server.scores) == 1
    assert count_losses(tmp_path) == {"the span could not be put into the backend's form": 1}


@pytest.mark.parametrize(
    ("environ", "arguments", "found"),
    [
        ({}, {}, "default"),
        ({"TRACING_SCORES": "all"}, {}, "all"),
        ({"TRACING_SCORES": "false"}, {}, None),
        ({"TRACING_SCORES": "false"}, {"scores": True}, "default"),
        ({"TRACING_SCORES": "all"}, {"scores": False}, None),
        ({}, {"scores": "all"}, "all"),
    ],
)
def test_which_scores_are_sent(
    environ: dict[str, str], arguments: dict[str, Any], found: str | None
) -> None:
    """An argument goes before the variable; off means no delivery at all."""
    keys = {"public_key": "pk-lf-a", "secret_key": "sk-lf-a"}
    settings = load_settings("langfuse", environ=environ, **keys, **arguments)
    chosen = [b.sender_options["chosen"] for b in backends_of(settings) if b.carries == "scores"]
    assert chosen == ([found] if found else [])


@pytest.mark.parametrize(
    ("environ", "arguments", "words"),
    [
        ({"TRACING_SCORES": "few"}, {}, "TRACING_SCORES is 'few': give true or false or all"),
        ({}, {"scores": "few"}, "scores is 'few': give True, False or 'all'"),
        ({"TRACING_RECORDING": "x"}, {}, "TRACING_RECORDING is 'x': give true or false"),
        ({}, {"cost": {"nova-3": 5}}, "cost is {'nova-3': 5}: give US dollars per unit"),
        ({}, {"cost": {"nova-3": {"seconds": -1}}}, "cost is {'nova-3': {'seconds': -1}}: give"),
    ],
)
def test_what_cannot_be_set_is_said(
    environ: dict[str, str], arguments: dict[str, Any], words: str
) -> None:
    """By its name, with what is accepted."""
    keys = {"public_key": "pk-lf-a", "secret_key": "sk-lf-a"}
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_settings("langfuse", environ=environ, **keys, **arguments)


def test_scores_share_the_spool_of_their_langfuse() -> None:
    """Switching them on or off orphans nothing that waits."""
    keys = {"public_key": "pk-lf-a", "secret_key": "sk-lf-a"}
    spools = {
        fingerprint(backends_of(load_settings("langfuse", environ={}, **keys, **more)))
        for more in ({}, {"scores": False}, {"scores": "all"}, {"recording": True})
    }
    assert len(spools) == 1


def test_acknowledgements_of_what_is_switched_off_hold_nothing_back(tmp_path: Path) -> None:
    """What is delivered to no more is not waited for, and what is new is."""
    Acks(tmp_path, "langfuse").acknowledge({"a.seg": 100})
    Acks(tmp_path, "langfuse-scores").acknowledge({"a.seg": 10})
    assert acknowledged_offset(tmp_path, "a.seg") == 10
    settle_acks(tmp_path, ["langfuse"])
    assert acknowledged_offset(tmp_path, "a.seg") == 100
    settle_acks(tmp_path, ["langfuse", "langfuse-media"])
    assert acknowledged_offset(tmp_path, "a.seg") == 0


@pytest.mark.parametrize("scores", [True, False])
def test_mended_keys_take_over_what_waits_whatever_goes_beside(
    tmp_path: Path, server: LangfuseServer, scores: bool
) -> None:
    """A spool that was refused is adopted, also by an agent that sends no scores, or new ones."""
    wrong, right = tmp_path / "spool" / "wrong", tmp_path / "spool" / "right"
    server.secret_key = "another"
    write_segment(wrong, turn())
    refused = load_settings("langfuse", **server.settings)
    with draining(wrong, *backends_of(refused)):
        until(lambda: "paused" in [b["state"] for b in read_backends(wrong)])
    server.secret_key = "sk-lf-test"
    mended = load_settings("langfuse", scores=scores, **server.settings)
    right.mkdir()
    with draining(right, *backends_of(mended)):
        until(lambda: len(server.spans) == 1 and len(server.scores) == scores)
        until(lambda: not segment_paths(right))
    assert segment_paths(wrong) == []
