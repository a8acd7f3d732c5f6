"""Scores on their way to Langfuse: how often, and what no answer can do to the spans."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.deliver.delivering import delivering
from tests.dialects.scored import CALL, turn
from tests.dialects.spans import livekit_span
from tests.fakes import Reply, draining, until, write_segment
from tests.langfuse_server import INGESTION, NOW, LangfuseServer
from tests.langfuse_server import SCORES as SCORES_PATH
from tracing.config.backends import Backend, fingerprint
from tracing.config.load import load_settings
from tracing.config.settings import ConfigError, backends_of
from tracing.deliver.status import read_backends, take_notices
from tracing.dialects.scores import documents_of
from tracing.spool.losses import count_losses, read_losses
from tracing.spool.segments import segment_paths


@pytest.fixture
def server() -> Iterator[LangfuseServer]:
    """A Langfuse."""
    with LangfuseServer() as langfuse:
        yield langfuse


def scores_backend(server: LangfuseServer, scores: Any = True) -> Backend:
    """Where scores are delivered to."""
    settings = load_settings("langfuse", scores=scores, **server.settings)
    return next(b for b in backends_of(settings) if b.carries == "scores")


@pytest.fixture
def old_server(server: LangfuseServer) -> LangfuseServer:
    """A Langfuse that takes no events."""
    server.replies[INGESTION] = [Reply(404, b'{"message": "no such route"}')] * 9
    return server


def test_scores_are_delivered_in_batches_and_keep_their_time(
    tmp_path: Path, server: LangfuseServer
) -> None:
    """As events of one request, with the keys and nothing that only spans need."""
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
    assert [(a.method, a.path, a.status) for a in server.asked] == [("POST", INGESTION, 207)]
    ends = {turn().end_time_unix_nano, livekit_span("agent_session", CALL).end_time_unix_nano}
    assert {_nanoseconds(score["timestamp"]) for score in server.scores.values()} == ends
    assert all("x-langfuse-ingestion-version" not in asked.headers for asked in server.asked)
    assert count_losses(tmp_path) == {}


def _nanoseconds(timestamp: str) -> int:
    seconds = datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()
    return round(seconds * 1000) * 1_000_000


def test_scores_go_one_by_one_where_events_are_refused(
    tmp_path: Path, old_server: LangfuseServer
) -> None:
    """The refusal is learnt once; what such a server takes has the time of its request."""
    write_segment(tmp_path, turn(1), turn(2))
    with delivering(tmp_path, scores_backend(old_server)) as delivery:
        until(lambda: delivery.done)
        write_segment(tmp_path, turn(3), number=2)
        until(lambda: len(old_server.scores) == 3)
    one = [(SCORES_PATH, 200)]
    assert [(a.path, a.status) for a in old_server.asked] == [(INGESTION, 404), *one * 3]
    assert {score["timestamp"] for score in old_server.scores.values()} == {NOW}
    assert count_losses(tmp_path) == {}


def test_each_event_has_an_answer_of_its_own(tmp_path: Path, server: LangfuseServer) -> None:
    """One is rejected and counted, one comes again, and those that were taken do not."""
    turns = [turn(1), turn(2), turn(3)]
    first, second, third = (documents_of(one)[0]["id"] for one in turns)
    server.event_replies = {second: (400, "no such config"), third: (500, "queue is full")}
    write_segment(tmp_path, *turns)
    with delivering(tmp_path, scores_backend(server)) as delivery:
        until(lambda: delivery.done)
    asked = [[event["id"] for event in one.document["batch"]] for one in server.of(INGESTION)]
    assert asked == [[first, second, third], [third]]
    assert set(server.scores) == {first, third}
    [loss] = read_losses(tmp_path)
    assert (loss["reason"], loss["number"]) == ("Langfuse rejected the score", 1)
    assert loss["detail"] == (
        f"turn_latency_seconds: POST {server.url}{INGESTION} answered 400: no such config"
    )


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"successes": [], "errors": []}, "retrying"),
        ({"successes": [], "errors": [{"status": 429}]}, "retrying"),
        ({"successes": [], "errors": [{"id": "?", "status": 403, "message": "no"}]}, "paused"),
    ],
)
def test_event_without_a_yes_waits(
    tmp_path: Path, server: LangfuseServer, answer: dict[str, Any], state: str
) -> None:
    """Nothing is taken for delivered of which the server did not say so."""
    write_segment(tmp_path, turn())
    server.replies[INGESTION] = [Reply(207, json.dumps(answer).encode())] * 500
    with delivering(tmp_path, scores_backend(server)) as delivery:
        until(lambda: delivery.status.state == state)
        assert server.scores == {}
        server.replies.clear()
        until(lambda: delivery.done)
    assert len(server.scores) == 1
    assert count_losses(tmp_path) == {}


def test_many_scores_are_a_few_requests(tmp_path: Path, server: LangfuseServer) -> None:
    """A batch holds a hundred."""
    write_segment(tmp_path, *(turn(number) for number in range(1, 251)))
    with delivering(tmp_path, scores_backend(server)) as delivery:
        until(lambda: delivery.done)
    assert len(server.scores) == 250
    assert max(len(asked.document["batch"]) for asked in server.asked) <= 100


def test_repeat_makes_no_second_score(tmp_path: Path, server: LangfuseServer) -> None:
    """A drainer that died before its note sends again, and Langfuse has each score once."""
    for spool in (tmp_path / "1", tmp_path / "2"):
        write_segment(spool, turn(1), turn(2))
        with delivering(spool, scores_backend(server, "all")) as delivery:
            until(lambda delivery=delivery: delivery.done)
    assert (len(server.asked), len(server.scores)) == (2, 10)


def test_rate_limit_is_waited_for_and_nothing_is_posted_twice(
    tmp_path: Path, old_server: LangfuseServer
) -> None:
    """`Retry-After` is obeyed; what was taken before it is not sent again."""
    write_segment(tmp_path, *(turn(number) for number in range(1, 6)))
    old_server.requests_left = 2
    began = time.monotonic()
    with delivering(tmp_path, scores_backend(old_server)) as delivery:
        until(lambda: delivery.done)
    assert [asked.status for asked in old_server.of(SCORES_PATH)] == [200, 200, 429, 200, 200, 200]
    assert time.monotonic() - began >= 1.0
    taken = [asked for asked in old_server.of(SCORES_PATH) if asked.status == 200]
    assert len({asked.document["id"] for asked in taken}) == 5


@pytest.mark.parametrize("status", [400, 404, 422])
def test_rejected_score_is_counted_and_the_others_pass(
    tmp_path: Path, old_server: LangfuseServer, status: int
) -> None:
    """One bad score blocks neither scores nor the spool."""
    write_segment(tmp_path, turn(1), turn(2), turn(3))
    words = b'{"message": "no such config"}'
    old_server.replies[SCORES_PATH] = [Reply(200, b'{"id": "1"}'), Reply(status, words)]
    with delivering(tmp_path, scores_backend(old_server)) as delivery:
        until(lambda: delivery.done)
    assert [asked.status for asked in old_server.of(SCORES_PATH)] == [200, status, 200]
    [loss] = read_losses(tmp_path)
    assert (loss["reason"], loss["number"]) == ("Langfuse rejected the score", 1)
    assert loss["detail"] == (
        f"turn_latency_seconds: POST {old_server.url}{SCORES_PATH} answered {status}: "
        '{"message": "no such config"}'
    )


@pytest.mark.parametrize("body", [b"<html>log in</html>", b'"OK"', b"{}", b""])
def test_yes_of_another_server_is_none(
    tmp_path: Path, old_server: LangfuseServer, body: bytes
) -> None:
    """A 200 without the score's id took nothing: the score waits for the mend."""
    write_segment(tmp_path, turn())
    old_server.replies[SCORES_PATH] = [Reply(200, body)]
    with delivering(tmp_path, scores_backend(old_server)) as delivery:
        until(lambda: delivery.done)
    assert [asked.status for asked in old_server.of(SCORES_PATH)] == [200, 200]
    assert len(old_server.scores) == 1
    assert count_losses(tmp_path) == {}


def test_not_found_page_of_another_server_is_no_rejection(
    tmp_path: Path, server: LangfuseServer
) -> None:
    """A wrong address answers 404 in HTML: the scores wait for the mend, as spans do."""
    write_segment(tmp_path, turn())
    page = Reply(404, b"<html>nothing here</html>")
    server.replies = {INGESTION: [page] * 2, SCORES_PATH: [page] * 2}
    with delivering(tmp_path, scores_backend(server)) as delivery:
        until(lambda: delivery.done)
    assert [asked.status for asked in server.asked] == [404, 404, 404, 404, 207]
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
    """What cannot be read is absent; the span's other scores, and the others', arrive."""
    broken = livekit_span("job_entrypoint", {"call.evaluations": "[", "call.outcome": "success"})
    write_segment(tmp_path, broken, turn())
    with delivering(tmp_path, scores_backend(server)) as delivery:
        until(lambda: delivery.done)
    assert len(server.scores) == 2
    assert count_losses(tmp_path) == {}


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
