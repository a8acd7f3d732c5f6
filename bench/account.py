"""What a call's state costs the voice loop: the stamps of a span, and the account of a turn."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from tracing.livekit.call import Call
from tracing.livekit.calls import moments_in_order
from tracing.otlp_json import read_spans

from .harness import Line, show

RECORDING = Path(__file__).parents[1] / "tests" / "recordings" / "1.8.9" / "voice.json"
ROUNDS = 50
SPAN_MICROSECONDS, TURN_MICROSECONDS = 15.0, 1_000.0


def main(repeat: int = 5) -> bool:
    """Print the table; whether both meet their targets."""
    spans = list(read_spans(RECORDING))
    spent: dict[str, list[float]] = {}
    for _ in range(ROUNDS * repeat):
        call = Call()
        took: dict[bytes, float] = {}
        for span, ends in moments_in_order(spans):
            began = time.perf_counter()
            (call.ended if ends else call.started)(span)
            took[span.span_id] = took.get(span.span_id, 0.0) + time.perf_counter() - began
        for span in spans:
            kind = "agent_turn" if span.name == "agent_turn" else "other span"
            spent.setdefault(kind, []).append(took[span.span_id] * 1e6)
    lines = []
    for kind, target in (("other span", SPAN_MICROSECONDS), ("agent_turn", TURN_MICROSECONDS)):
        found = statistics.median(spent[kind])
        lines.append(Line((kind,), (found,), f"at most {target:g}", found <= target))
    return show("A call's state, microseconds per span", ("span", "us"), lines)


if __name__ == "__main__":
    sys.exit(not main())
