"""Recorded calls through the live path."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import ROOT, RecordingServer, Reply, make_span, until
from tracing import names, stamps
from tracing.commands.redelivery import plan_replay, replay
from tracing.config.load import load_settings
from tracing.otlp_json import dumps, read_spans
from tracing.span import STATUS_ERROR

RECORDINGS = ROOT / "tests" / "recordings" / "1.8.9"


def test_every_recorded_span_is_delivered_once_and_stamped(tmp_path: Path) -> None:
    """A call recorded without us comes out with identity, turn numbers and its failed tool."""
    recording = RECORDINGS / "tools.json"
    recorded = list(read_spans(recording))
    with RecordingServer() as server:
        settings = load_settings("otlp", endpoint=server.url, directory=tmp_path / "d", environ={})
        done = replay([recording], settings)
        arrived = server.accepted
    assert (done.calls, done.spans, done.waiting_bytes, done.lost) == (1, len(recorded), 0, {})
    assert list(map(str, done.outcomes)) == [f"otlp: took {len(recorded)} spans"]
    assert done.is_complete
    assert sorted(span.span_id for span in arrived) == sorted(span.span_id for span in recorded)
    assert all(span.attributes["session.id"] for span in arrived)
    turns = [span for span in arrived if span.name == names.AGENT_TURN]
    numbers = sorted(int(str(span.attributes[stamps.TURN_NUMBER])) for span in turns)
    assert numbers == list(range(1, len(turns) + 1))
    failed = [s for s in arrived if s.attributes.get(names.TOOL_IS_ERROR)]
    assert [span.status_code for span in failed] == [STATUS_ERROR] * len(failed) != []


def test_what_no_backend_takes_waits(tmp_path: Path) -> None:
    """A refusing server costs nothing: the spans stay on disk, and the next replay sends them."""
    recording = tmp_path / "call.json"
    recording.write_text(dumps([make_span(1), make_span(2)]))
    with RecordingServer() as server:
        settings = load_settings("otlp", endpoint=server.url, directory=tmp_path / "d", environ={})
        server.reply = Reply(401, b"who are you?")
        left = replay([recording], settings, give_up_after_seconds=0.5)
        assert left.waiting_bytes > 0
        assert not left.is_complete
        [told] = map(str, left.outcomes)
        assert told.startswith("otlp: took 0 spans; 2 spans wait: ")
        assert "401: who are you?. Mend: " in told
        server.reply = Reply()
        done = replay([], settings)
        assert done.waiting_bytes == 0
        assert server.accepted_names() == ["span 1", "span 2"]


def calls_of(number: int, directory: Path) -> Path:
    """A file of so many calls of two spans."""
    spans = [
        make_span(2 * n + k)._replace(trace_id=bytes([n + 1] * 16))
        for n in range(number)
        for k in (1, 2)
    ]
    path = directory / "calls.jsonl"
    path.write_text(dumps(spans))
    return path


def test_sent_is_what_the_server_took(tmp_path: Path) -> None:
    """A span that it rejects is lost, in its own words, and the replay is not complete."""
    path = calls_of(2, tmp_path)
    with RecordingServer() as server:
        server.reply = lambda spans: (
            Reply(400, b"bad name") if any(s.name == "span 2" for s in spans) else Reply()
        )
        settings = load_settings("otlp", endpoint=server.url, directory=tmp_path / "d", environ={})
        done = replay([path], settings)
        assert server.accepted_names() == ["span 1", "span 3", "span 4"]
    assert list(map(str, done.outcomes)) == [
        "otlp: took 3 spans; 1 span lost: the backend rejected the span (400: bad name)"
    ]
    assert not done.is_complete


def test_a_replay_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """Calls that were written are not written again; a replay that is complete begins anew."""
    path = calls_of(6, tmp_path)
    with RecordingServer() as server:
        settings = load_settings("otlp", endpoint=server.url, directory=tmp_path / "d", environ={})
        server.reply = Reply(503, b"away")
        stopped = replay([path], settings, spans_per_second=4, give_up_after_seconds=0.5)
        assert (stopped.calls, stopped.not_begun, stopped.is_complete) == (2, 4, False)
        assert plan_replay([path], settings).begin == 2
        server.reply = Reply()
        done = replay([path], settings)
        assert (done.calls, done.plan.begin, done.is_complete) == (4, 2, True)
        assert server.accepted_names() == sorted(f"span {n}" for n in range(1, 13))
        again = replay([path], settings)
        assert (again.calls, again.plan.begin) == (6, 0)


def test_a_replay_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """What was written into the spool is delivered, and not written again."""
    path, directory = calls_of(6, tmp_path), tmp_path / "d"
    with RecordingServer() as server:
        command = [sys.executable, "-m", "tracing", "replay", str(path), "--backend", "otlp"]
        killed = subprocess.Popen(
            [*command, "--rate", "4", "--dir", str(directory)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OTEL_EXPORTER_OTLP_ENDPOINT": server.url},
        )
        settings = load_settings("otlp", endpoint=server.url, directory=directory, environ={})
        until(lambda: plan_replay([path], settings).begin >= 2)
        killed.kill()
        killed.wait()
        done = replay([path], settings)
        assert done.is_complete
        assert done.calls == 6 - done.plan.begin < 6
        assert set(server.accepted_names()) == {f"span {n}" for n in range(1, 13)}


def test_another_file_of_the_same_name_begins_anew(tmp_path: Path) -> None:
    """How far it came goes by what the file is; nothing is kept for standard input."""
    path = calls_of(6, tmp_path)
    with RecordingServer(listening=False) as server:
        settings = load_settings("otlp", endpoint=server.url, directory=tmp_path / "d", environ={})
        replay([path], settings, spans_per_second=4, give_up_after_seconds=0.3)
    assert plan_replay([path], settings).begin == 2
    path.write_text(path.read_text() + "\n")
    assert plan_replay([path], settings).begin == 0


def test_a_file_larger_than_the_spool_loses_nothing(tmp_path: Path) -> None:
    """The spool is filled by half, and emptied before it goes on."""
    spans = [
        make_span(n, attributes={"text": "x" * 9_000})._replace(trace_id=bytes([n] * 16))
        for n in range(1, 241)
    ]
    path = tmp_path / "large.jsonl"
    path.write_text("\n".join(dumps([span]) for span in spans))
    told: list[tuple[int, int]] = []
    with RecordingServer() as server:
        settings = load_settings("otlp", endpoint=server.url, directory=tmp_path / "d", environ={})
        settings = replace(settings, spool_bytes=2**20)
        done = replay([path], settings, progress=lambda *progress: told.append(progress))
        assert (done.is_complete, done.lost, len(server.accepted)) == (True, {}, 240)
    assert told == sorted(told)
    assert told[-1] == (240, 240)


def test_a_rate_is_kept(tmp_path: Path) -> None:
    """Not more than a second's spans at once, and the next ones when their time has come."""
    path = calls_of(6, tmp_path)
    with RecordingServer() as server:
        settings = load_settings("otlp", endpoint=server.url, directory=tmp_path / "d", environ={})
        began = time.monotonic()
        done = replay([path], settings, spans_per_second=4)
    assert time.monotonic() - began >= 2.0  # 12 spans: after 4, and after 8
    assert (done.spans, done.is_complete) == (12, True)


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    """What a dry run shows."""
    path = calls_of(3, tmp_path)
    settings = load_settings("local", directory=tmp_path / "d", environ={})
    plan = plan_replay([path], settings)
    assert (len(plan.calls), plan.begin, plan.spans) == (3, 0, 6)
    assert not (tmp_path / "d").exists()


def test_parents_in_a_chain_of_any_length_are_delivered(tmp_path: Path) -> None:
    """Without our stamps, where they cannot be had."""
    deep = [
        make_span(n)._replace(
            trace_id=b"d" * 16,
            span_id=n.to_bytes(8, "big"),
            parent_span_id=(n + 1).to_bytes(8, "big"),
        )
        for n in range(1, 3_000)
    ]
    path = tmp_path / "deep.json"
    path.write_text(dumps([*deep, make_span(1)]))
    with RecordingServer() as server:
        settings = load_settings("otlp", endpoint=server.url, directory=tmp_path / "d", environ={})
        done = replay([path], settings)
        assert len(server.accepted) == 3_000
    assert done.is_complete


SAID = "the secret text"
RECORDED = {
    names.AGENT_TURN: {
        **dict.fromkeys((stamps.TURN_USER_TEXT, stamps.TURN_AGENT_TEXT, stamps.TURN_ERROR), SAID),
        **dict.fromkeys((stamps.SESSION_ID, stamps.USER_ID, "note"), SAID),
    },
    names.JOB_ENTRYPOINT: {
        **dict.fromkeys((stamps.CONVERSATION, stamps.CALL_OUTCOME_REASON), SAID),
        stamps.CALL_TAGS: [SAID],
        **dict.fromkeys((stamps.CALL_METADATA + "plan", stamps.CALL_OUTCOME), SAID),
        stamps.CALL_SCORES: f'[{{"name": "a", "value": 1, "comment": "{SAID}", "time": 1.0}}]',
        stamps.CALL_EVALUATIONS: f'[{{"name": "a", "verdict": "fail", "reasoning": "{SAID}"}}]',
        names.JOB_ID: "AJ_1",
    },
}
"""What a recording of ours may hold, by span: not only LiveKit's own attributes."""


@pytest.mark.parametrize(
    ("environ", "stamp"),
    [
        ({"TRACING_CAPTURE_CONTENT": "0"}, {}),
        ({"LIVEKIT_TELEMETRY_ALLOW_PII": "0"}, {}),
        ({}, {names.REDACTION_ENABLED: True}),
    ],
    ids=["settings", "LiveKit's variable", "the project's stamp"],
)
def test_withheld_content_is_withheld_of_a_recording_too(
    tmp_path: Path, environ: dict[str, str], stamp: dict[str, bool]
) -> None:
    """By the same list, and by whoever demands it; the stamp of one span holds for its call."""
    recording = tmp_path / "call.json"
    turn, job = (make_span(n, name) for n, name in enumerate(RECORDED, 1))
    turn = turn._replace(attributes=RECORDED[turn.name])
    job = job._replace(attributes={**RECORDED[job.name], **stamp}, status_message=SAID)
    recording.write_text(dumps([turn._replace(parent_span_id=job.span_id), job]))
    with RecordingServer() as server:
        settings = load_settings(
            "otlp", endpoint=server.url, directory=tmp_path / "d", environ=environ
        )
        replay([recording], settings)
        arrived = {span.name: span.attributes for span in server.accepted}
    assert SAID not in repr(server.accepted)
    assert arrived[names.JOB_ENTRYPOINT][stamps.CALL_EVALUATIONS] == (
        '[{"name": "a", "verdict": "fail"}]'
    )
    assert {known[stamps.SESSION_ID] for known in arrived.values()} == {"AJ_1"}
