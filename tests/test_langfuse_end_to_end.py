"""Recorded calls through spool and drainer into Langfuse: spans, scores and the recording."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dialects import langfuse_rules as langfuse
from tests.dialects.recorded import LATEST, RECORDINGS, recorded, scenarios
from tests.fakes import Reply, run_python, running_drainer, until, write_segment
from tests.langfuse_server import INGESTION, MEDIA, TRACES, LangfuseServer
from tracing.account.restamp import restamp
from tracing.commands.redelivery import replay
from tracing.config.backends import labels_of
from tracing.config.load import load_settings
from tracing.config.settings import backends_of
from tracing.spool.losses import count_losses

FILES = [RECORDINGS / LATEST / f"{scenario}.json" for scenario in scenarios()]
AUDIO = b"OggS" + b"audio" * 10_000


@pytest.fixture
def server() -> Iterator[LangfuseServer]:
    """A Langfuse."""
    with LangfuseServer() as found:
        yield found


def test_every_recording_arrives_with_its_scores(tmp_path: Path, server: LangfuseServer) -> None:
    """Each call is one trace with one root; each turn that has a latency has it as a score."""
    settings = load_settings("langfuse", detail="full", directory=tmp_path, **server.settings)
    done = replay(FILES, settings)
    assert (done.waiting_bytes, done.lost) == (0, {})
    late = sum(span.name == "realtime_metrics" for name in scenarios() for span in recorded(name))
    assert len(server.spans) == done.spans - late  # which come as versions of their inference
    traces = {trace_id for trace_id, _ in server.spans}
    assert len(traces) == done.calls == len(FILES)
    for trace_id in traces:
        spans = server.trace(trace_id)
        (root,) = [span for span in spans if not span.parent_span_id]
        assert root.name == f"call {root.attributes['langfuse.trace.name']}"
        for shown in langfuse.show(spans).observations:
            latency = shown.metadata.get("user_bot_latency_seconds")
            told = server.scores_by_name(shown.id).get("turn_latency_seconds")
            assert (told is None) == (latency is None)
            assert latency is None or float(latency) == told
    assert {asked.status for asked in server.asked} == {200, 207}
    assert server.claimed == []


def test_voice_call_has_the_scores_of_its_session(tmp_path: Path, server: LangfuseServer) -> None:
    """The trace's scores are the session's numbers."""
    settings = load_settings("langfuse", directory=tmp_path, scores="all", **server.settings)
    path = RECORDINGS / LATEST / "tools.json"
    replay([path], settings)
    spans = restamp(recorded("tools"))
    [session] = [span for span in spans if span.name == "agent_session"]
    told = server.scores_by_name(session.trace_id.hex())
    assert told["call_tool_failures"] == session.attributes["call.tool_failures"] == 1
    assert told["call_turns"] == session.attributes["call.turns"] == 2


def test_replay_twice_leaves_every_score_once(tmp_path: Path, server: LangfuseServer) -> None:
    """Ids come from what is scored."""
    for spool in ("first", "second"):
        settings = load_settings("langfuse", directory=tmp_path / spool, **server.settings)
        replay(FILES[:5], settings)
    posted = [e["id"] for asked in server.of(INGESTION) for e in asked.document["batch"]]
    assert len(posted) == 2 * len(server.scores) > 0


def test_call_with_recording_through_a_drainers_process(
    tmp_path: Path, server: LangfuseServer
) -> None:
    """Spans, scores and audio, over a limit, an outage and a proxy, from a process of its own."""
    audio = tmp_path / "recordings" / "audio.ogg"
    audio.parent.mkdir()
    audio.write_bytes(AUDIO)
    spans = restamp(recorded("voice"))
    root = next(span for span in spans if not span.parent_span_id)
    attributes = {
        **root.attributes,
        "recording.path": str(audio),
        "recording.sha256": hashlib.sha256(AUDIO).hexdigest(),
        "recording.bytes": len(AUDIO),
        "recording.content_type": "audio/ogg",
    }
    spans[spans.index(root)] = root._replace(attributes=attributes)
    settings = load_settings("langfuse", recording=True, directory=tmp_path, **server.settings)
    server.replies = {
        TRACES: [Reply(503)],
        INGESTION: [Reply(500), Reply(429, b"{}", {"Retry-After": "0"})],
        MEDIA: [Reply(500)],
    }
    server.proxy_limit_bytes = 2_000
    spool = tmp_path / "spool" / "one"
    backends = backends_of(settings)
    path = write_segment(spool, *spans, labels=labels_of(backends))
    with running_drainer(spool, *backends) as drainer:
        until(lambda: not path.exists())
        drainer.wait(20)
    trace = server.trace(root.trace_id)
    seen = {langfuse.observation(span).level for span in trace}
    assert len(trace) < len(spans) / 3
    assert "DEBUG" not in seen
    [shown] = [span for span in trace if not span.parent_span_id]
    assert server.playable(shown) == AUDIO
    assert not audio.exists()
    latencies = {
        span.span_id.hex(): {
            "turn_latency_seconds": round(
                float(str(span.attributes["turn.user_bot_latency_seconds"])), 6
            )
        }
        for span in spans
        if "turn.user_bot_latency_seconds" in span.attributes
    }
    assert len(latencies) == 2
    assert {turn: server.scores_by_name(turn) for turn in latencies} == latencies
    assert {asked.status for asked in server.of(TRACES)} == {200, 413, 503}
    assert count_losses(spool) == {}


def test_prices_and_version_of_ones_own_reach_langfuse(
    tmp_path: Path, server: LangfuseServer
) -> None:
    """What the user says of cost is on what was used, and the version on every span."""
    settings = load_settings(
        "langfuse",
        directory=tmp_path,
        version="2.7",
        cost={"sonic-2": {"characters": 0.5}},
        **server.settings,
    )
    replay([RECORDINGS / LATEST / "voice.json"], settings)
    spans = [*server.spans.values()]
    assert {span.attributes["langfuse.version"] for span in spans} == {"2.7"}
    priced = [span for span in spans if "langfuse.observation.cost_details" in span.attributes]
    assert {span.name for span in priced} == {"speech"}


def test_batch_with_one_bad_id_is_refused_whole(server: LangfuseServer) -> None:
    """The stand-in is as strict as Langfuse: what we send has to be right."""
    import urllib3

    from tests.fakes import make_span
    from tracing.deliver.senders.otlp_protobuf import encode_request

    basic = urllib3.make_headers(basic_auth="pk-lf-test:sk-lf-test")
    protobuf = {**basic, "Content-Type": "application/x-protobuf"}
    good, bad = make_span(1), make_span(2, span_id=b"short")
    cases = [
        (encode_request([good, bad]), protobuf, 400),
        (encode_request([good]), {**protobuf, "x-langfuse-ingestion-version": "5"}, 400),
        (encode_request([good]), {**protobuf, "Content-Encoding": "deflate"}, 200),
        (b"\x00not gzip", {**protobuf, "Content-Encoding": "gzip"}, 400),
        (encode_request([good]), {**basic, "Content-Type": "text/plain"}, 400),
        (encode_request([good]), {"Content-Type": "application/x-protobuf"}, 401),
        (encode_request([good]), {**protobuf, "Authorization": "Bearer pk-lf-test"}, 403),
        (encode_request([good]), {**protobuf, "Authorization": "Basic cGs6c2s="}, 401),
        (json.dumps({"resourceSpans": []}), {**basic, "Content-Type": "application/json"}, 200),
    ]
    pool = urllib3.PoolManager()
    for body, headers, status in cases:
        answer = pool.request("POST", server.url + TRACES, body=body, headers=headers)
        assert answer.status == status, (headers, answer.data)
    assert pool.request("GET", server.url + TRACES, headers=basic).status == 405
    pool.clear()


def test_what_the_drainer_imports_for_langfuse_is_small() -> None:
    """Neither livekit, nor OpenTelemetry, nor Langfuse's package is worth its memory there."""
    told = run_python(
        "import sys, json\n"
        "import tracing.deliver.drainer, tracing.deliver.senders.langfuse_scores\n"
        "import tracing.deliver.senders.langfuse_media\n"
        "import tracing.dialects.langfuse, tracing.dialects.scores, tracing.dialects.media\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    assert not {"livekit", "opentelemetry", "langfuse", "pydantic", "httpx"} & {*json.loads(told)}


def test_labels_of_two_agents_in_one_directory_stay_theirs(
    tmp_path: Path, server: LangfuseServer
) -> None:
    """The second delivers what the first one left: traces and scores as each labelled them."""
    path = RECORDINGS / LATEST / "tools.json"
    labels = {"staging": {"tags": ["a"], "release": "1"}, "production": {"tags": ["b"]}}
    settings = [
        load_settings("langfuse", directory=tmp_path, environment=name, **server.settings, **more)
        for name, more in labels.items()
    ]
    server.replies = {TRACES: [Reply(503)] * 50, INGESTION: [Reply(503)] * 50}
    replay([path], settings[0], give_up_after_seconds=0.5)
    assert server.spans == {}
    server.replies = {}
    other = RECORDINGS / LATEST / "voice.json"
    replay([other], settings[1])
    found = {
        (span.attributes["langfuse.environment"], str(span.attributes["langfuse.trace.tags"]))
        for span in server.spans.values()
    }
    assert found == {("staging", "['a']"), ("production", "['b']")}
    by_trace = {trace.hex(): "" for trace, _ in server.spans}
    for span in server.spans.values():
        by_trace[span.trace_id.hex()] = str(span.attributes["langfuse.environment"])
    assert {score["environment"] for score in server.scores.values()} == {"staging", "production"}
    assert all(by_trace[s["traceId"]] == s["environment"] for s in server.scores.values())
