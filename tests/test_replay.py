"""Recorded calls through the live path."""

from __future__ import annotations

from pathlib import Path

from tests.fakes import ROOT, RecordingServer, Reply, make_span
from tracing import names, stamps
from tracing.config.load import load_settings
from tracing.otlp_json import dumps, read_spans
from tracing.replay import replay
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
        server.reply = Reply()
        done = replay([], settings)
        assert done.waiting_bytes == 0
        assert server.accepted_names() == ["span 1", "span 2"]
