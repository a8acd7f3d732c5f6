"""Spans per second from `start_span` to the backend, and the processor time that takes.

`sdk` is the bare SDK behind LiveKit's own filter, which sends nothing: what one thread can make
on this machine, and no exporter behind it can change that.
"""

from __future__ import annotations

import sys
import time

from .call import Call, record_turn
from .harness import (
    Line,
    Numbers,
    Sink,
    cpu_seconds,
    install,
    measure,
    median,
    rounds,
    show,
    wait_until,
)

CONTENDERS = ("sdk", "docs-gzip", "langfuse", "ours")
CALLS = 30
QUEUE_SPANS = 1_500
"""After so many spans today's queues are flushed, because they drop beyond 2,048."""
SPANS_PER_SECOND, CPU_SECONDS = 10_000, 15.0
DOCS_THERE = 2_300, 32.1
"""What the docs' snippet has on the machine of the targets: tells what they would be here."""


def measure_here(contender: str, url: str, spool: str) -> Numbers:
    """Spans per second end to end, and CPU seconds per 100,000 spans of all processes."""
    turns = list(Call().turns())
    installed = install(contender, url)
    from livekit.agents.telemetry import tracer

    backend = Sink(int(url.rpartition(":")[2]))
    cpu_before, began = cpu_seconds(spool), time.time()
    made = since_flush = 0
    for _ in range(CALLS):
        with tracer.start_as_current_span("agent_session") as session:
            for turn in turns:
                count = record_turn(tracer, turn, session)
                made, since_flush = made + count, since_flush + count
                if contender not in ("sdk", "ours") and since_flush >= QUEUE_SPANS:
                    installed.flush()
                    since_flush = 0
        made += 1
    produced_seconds = time.time() - began
    if contender == "sdk":
        used = cpu_seconds(spool) - cpu_before
        return {
            "cpu_seconds": used / made * 100_000,
            "produced_per_second": made / produced_seconds,
        }
    installed.flush()
    stored = _Stored(backend)
    if not wait_until(lambda: stored.spans() >= made, 120, pause_seconds=0.25):
        raise RuntimeError(f"only {stored.count} of {made} spans arrived")
    used = cpu_seconds(spool) - cpu_before
    return {
        "spans_per_second": made / (stored.last_at - began),
        "cpu_seconds": used / made * 100_000,
        "produced_per_second": made / produced_seconds,
    }


class _Stored:
    """What the backend has, added up over its answers."""

    def __init__(self, backend: Sink) -> None:
        self._backend = backend
        self.count = 0.0
        self.last_at = 0.0

    def spans(self) -> float:
        """How many it has now."""
        stats = self._backend.stats()
        self.count += stats["spans"]
        self.last_at = max(self.last_at, stats["last_at"])
        return self.count


def main(repeat: int = 3) -> bool:
    """Print the table; whether ours meets its targets."""
    found = rounds(CONTENDERS, lambda name: measure("throughput", name), repeat)
    keys = ("spans_per_second", "cpu_seconds", "produced_per_second")
    docs, lines = found["docs-gzip"], []
    fast_here = SPANS_PER_SECOND / DOCS_THERE[0] * median(docs, "spans_per_second")
    cheap_here = CPU_SECONDS / DOCS_THERE[1] * median(docs, "cpu_seconds")
    for name in CONTENDERS:
        numbers = tuple(median(found[name], key) for key in keys)
        met = numbers[0] >= SPANS_PER_SECOND and numbers[1] <= CPU_SECONDS
        is_ours = name == "ours"
        target = f"10,000, 15 (here {fast_here:,.0f}, {cheap_here:.1f})" if is_ours else ""
        lines.append(Line((name,), numbers, target, met if is_ours else None))
    columns = ("contender", "spans/s end to end", "CPU s per 100k", "spans/s while producing")
    return show("Throughput, 100-turn calls with gzip", columns, lines)


if __name__ == "__main__":
    sys.exit(not main())
