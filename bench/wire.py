"""Bytes on the wire for one call of a hundred turns, a request or more per turn."""

from __future__ import annotations

import os
import sys
import time

from .call import TURNS, Call, record_turn
from .harness import (
    Line,
    Numbers,
    Sink,
    install,
    is_complete,
    measure,
    median,
    rounds,
    show,
    wait_until,
)

CONTENDERS = ("docs", "docs-gzip", "langfuse", "ours", "ours-langfuse", "ours-delta")
TURN_SECONDS = 0.25
FULL_MB, DELTA_MB = 0.65, 0.3


def measure_here(contender: str, url: str, spool: str) -> Numbers:
    """Megabytes sent for a call whose turns come one by one."""
    turns = list(Call().turns())
    if contender == "ours-delta":
        os.environ["TRACING_INPUT_DELTA"] = "true"
    installed = install("ours" if contender == "ours-delta" else contender, url)
    from livekit.agents.telemetry import tracer

    backend = Sink(int(url.rpartition(":")[2]))
    with tracer.start_as_current_span("agent_session") as session:
        for turn in turns:
            record_turn(tracer, turn, session)
            if contender.startswith("ours"):
                time.sleep(TURN_SECONDS)
            else:
                installed.flush()
    installed.flush()
    total = {"spans": 0.0, "wire_bytes": 0.0, "raw_bytes": 0.0, "requests": 0.0}

    def has_all() -> bool:
        stats = backend.stats()
        for key in total:
            total[key] += stats[key]
        return total["spans"] >= 8 * TURNS + 1

    if not wait_until(has_all, 30, pause_seconds=0.2):
        raise RuntimeError(f"only {total['spans']} spans arrived")
    return {
        "wire": total["wire_bytes"] / 1e6,
        "raw": total["raw_bytes"] / 1e6,
        "requests": total["requests"],
    }


def main(repeat: int = 1) -> bool:
    """Print the table; whether ours meets its targets."""
    found = rounds(CONTENDERS, lambda name: measure("wire", name), repeat)
    limits = {"ours": FULL_MB, "ours-langfuse": FULL_MB, "ours-delta": DELTA_MB}
    lines = []
    for name in CONTENDERS:
        numbers = tuple(median(found[name], key) for key in ("wire", "raw", "requests"))
        limit = limits.get(name)
        met = None if limit is None else numbers[0] <= limit
        lines.append(Line((name,), numbers, f"at most {limit}" if limit else "", met))
    columns = ("contender", "MB on the wire", "MB uncompressed", "requests")
    return show("A call of 100 turns on the wire", columns, lines, digits=2) and is_complete(found)


if __name__ == "__main__":
    sys.exit(not main())
