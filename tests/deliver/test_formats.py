"""After an upgrade: what the last version left is delivered, what a newer one left is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.fakes import RecordingServer, draining, otlp_backend, until
from tests.spool.test_formats import WRITTEN
from tracing.deliver.drainer import Drainer
from tracing.deliver.flush import flush_spool
from tracing.deliver.inspection import unreadable
from tracing.deliver.status import take_notices
from tracing.doctor.spool import look_at_spools
from tracing.spool.losses import count_losses
from tracing.spool.records import header_frame
from tracing.spool.segments import segment_paths


def test_spans_of_the_last_version_are_delivered(spool: Path) -> None:
    """Its ended spans as they are, and what it left open as errors; none is damaged."""
    shutil.copy(WRITTEN / "2.seg", spool / "1700000000000.41-aaaaaa.000001.seg")
    with RecordingServer() as server:
        Drainer(spool, [otlp_backend(server.url)]).run()
        assert server.accepted_names() == ["agent_turn", "span 1", "span 2"]
    assert (segment_paths(spool), count_losses(spool)) == ([], {})


def test_segment_of_a_newer_version_is_left_alone_and_said_once(spool: Path) -> None:
    """Never acknowledged, never deleted, never called damaged; the rest is delivered."""
    newer = spool / "1700000000000.42-aaaaaa.000001.seg"
    newer.write_bytes(header_frame({"version": 99}) + b"what only version 99 can read")
    shutil.copy(WRITTEN / "3.seg", spool / "1700000000001.41-aaaaaa.000001.seg")
    with RecordingServer() as server, draining(spool, otlp_backend(server.url)):
        until(lambda: segment_paths(spool) == [newer])
        until(lambda: len(server.accepted) == 3)
        notices = until(lambda: take_notices(spool))
        assert flush_spool(spool, 30.0) is False
    assert [text for _, text in notices + take_notices(spool)] == [unreadable(spool, 1)]
    assert count_losses(spool) == {}
    assert newer.read_bytes().endswith(b"what only version 99 can read")
    [said] = [c for c in look_at_spools(spool.parents[1]) if c.name.endswith("format")]
    assert (said.state, said.line) == ("mend", f"{said.name}: {unreadable(spool, 1)}")
