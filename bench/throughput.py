"""What a span costs from `start_span` to the backend: processor time over the bare SDK, and speed.

The processor time runs from the first span until everything has been flushed and has arrived, so
that an exporting thread's work counts: of the agent's own process with all its threads, and of
all processes, a drainer too. `sdk` is the bare SDK behind LiveKit's own filter, which sends
nothing and stands below all others; its time is subtracted from theirs. All that are compared
compress with gzip, which the docs' snippet does if `OTEL_EXPORTER_OTLP_COMPRESSION` says so;
`docs` is the snippet as it stands, which sends 3.6 times the bytes, and is told, not judged by.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.faults.contenders import is_ours
from tests.faults.processes import drainers

from .call import Call, SpanText, record_turn
from .harness import (
    Line,
    Numbers,
    ProcessorTime,
    Sink,
    install,
    is_complete,
    measure,
    median,
    rounds,
    show,
    wait_until,
)
from .ratio import Goal, compare, show_ratios

CONTENDERS = ("sdk", "docs", "docs-gzip", "langfuse", "ours")
COMPARED = ("docs-gzip", "langfuse", "ours")
CALLS = 30
QUEUE_SPANS = 1_500
"""After so many spans today's queues are flushed, because they drop beyond 2,048."""

KEYS = ("own_us", "all_us", "spans_per_second", "produced_per_second")
COSTS = {
    "own_us": ("agent's own process, us per span over the SDK", Goal("at most a seventh", 7)),
    "all_us": ("all processes, us per span over the SDK", Goal("at most half", 2)),
}
SPEED = Goal("at least 2.3 times", 2.3, is_cost=False)


def measure_here(contender: str, url: str, spool: str) -> Numbers:
    """Microseconds of processor time per span, and spans per second end to end."""
    turns = list(Call().turns())
    installed = install(contender, url)
    backend = Sink(int(url.rpartition(":")[2]))
    has_queue = contender != "sdk" and not is_ours(contender)
    used, began = ProcessorTime(spool), time.time()
    made = _produce(turns, installed.flush if has_queue else None)
    found = {"produced_per_second": made / (time.time() - began)}
    if contender != "sdk":
        installed.flush()
        with used.apart():
            last_at = _last_arrival(backend, made)
        found["spans_per_second"] = made / (last_at - began)
    return {**found, **_per_span(used, made, has_drainer=is_ours(contender), spool=spool)}


def _produce(turns: Sequence[list[SpanText]], flush: Callable[[], object] | None) -> int:
    """Record the calls, emptying a queue before it drops; how many spans there were."""
    from livekit.agents.telemetry import tracer

    made = since_flush = 0
    for _ in range(CALLS):
        with tracer.start_as_current_span("agent_session") as session:
            for turn in turns:
                count = record_turn(tracer, turn, session)
                made, since_flush = made + count, since_flush + count
                if flush and since_flush >= QUEUE_SPANS:
                    flush()
                    since_flush = 0
        made += 1
    return made


def _last_arrival(backend: Sink, made: int) -> float:
    """When the backend had all spans."""
    stored = _Stored(backend)
    if not wait_until(lambda: stored.spans() >= made, 120, pause_seconds=0.25):
        raise RuntimeError(f"only {stored.count} of {made} spans arrived")
    return stored.last_at


def _per_span(used: ProcessorTime, made: int, *, has_drainer: bool, spool: str) -> Numbers:
    """Microseconds of the own process and of all; a drainer that is gone took its number along."""
    own, others = used.own(), used.drainers()
    if has_drainer and not drainers(Path(spool)):
        raise RuntimeError("no drainer is left to tell its processor time")
    return {"own_us": own / made * 1e6, "all_us": (own + others) / made * 1e6}


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
    """Print what was measured and the ratios; whether ours meets them all."""
    found = rounds(CONTENDERS, lambda name: measure("throughput", name), repeat)
    lines = [Line((name,), tuple(median(found[name], key) for key in KEYS)) for name in CONTENDERS]
    columns = ("contender", "own us", "all us", "spans/s end to end", "spans/s while producing")
    show("100-turn calls end to end, the SDK's own time included (no verdict)", columns, lines)
    ratios = _ratios(found)
    met = show_ratios("100-turn calls end to end, all with gzip", COMPARED[:-1], ratios)
    return met and is_complete(found)


def _ratios(found: Mapping[str, Sequence[Numbers]]) -> list[Line]:
    lines = []
    for key, (label, goal) in COSTS.items():
        bare = median(found["sdk"], key)
        over = {name: median(found[name], key) - bare for name in COMPARED}
        lines.append(compare(label, over, goal))
    speeds = {name: median(found[name], "spans_per_second") for name in COMPARED}
    return [*lines, compare("spans/s end to end", speeds, SPEED)]


if __name__ == "__main__":
    sys.exit(not main())
