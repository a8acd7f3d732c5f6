"""Where calls come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.read.recorded import START, recording, span
from tracing.read.sources import load_calls


def test_files_hold_calls_in_any_order(tmp_path: Path) -> None:
    """Spans are sorted, versions of a span become one, and other code's traces are left out."""
    ended, other = span(2), span(2, "llm_request", v=1)
    found = recording(
        tmp_path,
        other._replace(start_time_unix_nano=START + 3 * 3600 * 10**9),
        ended,
        ended._replace(end_time_unix_nano=0),
        span(5, "GET /"),
        span(1),
    )
    assert [call.started_unix_nano for call in found.calls()] == [
        START + 2 * 3600 * 10**9,
        START + 1 * 3600 * 10**9,
    ]
    assert found.spans(ended.trace_id.hex()) == [
        ended,
        other._replace(start_time_unix_nano=START + 3 * 3600 * 10**9),
    ]
    assert found.spans("00") == []


def test_the_last_calls_in_the_order_of_their_starts(tmp_path: Path) -> None:
    """`last` counts after the other filters; the page reads from old to new."""
    found = recording(tmp_path, *(span(n, **{"lk.agent_name": "ab"[n % 2]}) for n in range(6)))
    ids = [call["trace_id"] for call in load_calls(found, last=2, agent="a")]
    assert ids == [span(2).trace_id.hex(), span(4).trace_id.hex()]


def test_a_call_that_cannot_be_described_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named with its error, and the others are shown."""
    found = recording(tmp_path, span(1, described='{"broken": true}'), span(2))
    assert list(load_calls(found)) == [{"trace_id": span(2).trace_id.hex(), "turns": []}]
    assert caplog.messages == [
        f"left out trace {span(1).trace_id.hex()}, cannot describe it: ValueError('broken')"
    ]
