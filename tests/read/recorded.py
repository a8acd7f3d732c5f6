"""Files of calls, and a description that is written on their spans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tracing.otlp_json import dumps
from tracing.read.sources import RecordedFiles
from tracing.span import Span

START = 1_760_000_000_000_000_000


def span(number: int, name: str = "agent_session", **attributes: Any) -> Span:
    """A span of call `number`, which starts that many hours after the first."""
    start = START + number * 3600 * 10**9
    trace_id = (0xAB00000000 + number).to_bytes(16, "little")
    return Span(trace_id, name[:8].encode().ljust(8), b"", name, start, start + 5, attributes)


class Described(RecordedFiles):
    """A source that knows its descriptions: a call's is written on its first span."""

    def describe(self, trace_id: str) -> dict[str, Any]:
        """What is written there."""
        written = self.spans(trace_id)[0].attributes.get("described", "{}")
        described: dict[str, Any] = json.loads(str(written))
        if described.get("broken"):
            raise ValueError("broken")
        return {"trace_id": trace_id, "turns": [], **described}


def recording(tmp_path: Path, *spans: Span) -> Described:
    """A file that holds these spans."""
    path = tmp_path / "calls.jsonl"
    path.write_text("\n".join(dumps([found]) for found in spans), encoding="utf-8")
    return Described([path])


def with_turns(**turn: Any) -> str:
    """What such a source finds: a call of one turn."""
    return json.dumps({"turns": [{"kind": "reply", **turn}]})
