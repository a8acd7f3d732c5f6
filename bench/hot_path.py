"""What a span costs the thread that makes it, over LiveKit's own tracer; told, not judged.

The thread alone flatters whoever exports from another thread of the same interpreter, so that no
verdict hangs on it: `throughput` counts all threads. Each batch is run twice, milliseconds apart
in one process: with the contender, and with the SDK behind LiveKit's own filter and nothing else.
What counts is the median of the differences, so that a machine that is slower for a while is so
for both.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from .call import Call
from .harness import (
    Line,
    Numbers,
    bare_tracer,
    install,
    is_complete,
    measure,
    median,
    rounds,
    show,
)

CONTENDERS = ("docs", "langfuse", "ours")
SPANS = 200
"""Few enough that most batches meet no other thread and no other process."""
BATCHES = 40
KINDS = ("small", "llm", "turn")

SMALL = {
    "lk.eou.source": "vad",
    "lk.eou.endpointing_delay": 0.5,
    "lk.eou.outcome": "committed",
    "lk.eou.wait_duration": 0.51,
    "lk.eou.rearm_count": 0,
    "lk.eou.not_committed_count": 0,
    "lk.participant_id": "PA_0123456789ab",
    "gen_ai.conversation.id": "RM_0123456789ab",
}


def measure_here(contender: str, url: str, spool: str) -> Numbers:
    """Median microseconds from `start_span` to the return of `end()`, for each kind of span."""
    from livekit.agents.telemetry import tracer

    bare = bare_tracer()
    install(contender, url)
    tenth_turn = {span.name: span for span in list(Call().turns(10))[-1]}
    given: dict[str, tuple[str, dict[str, Any]]] = {
        "small": ("eou_wait", SMALL),
        "llm": ("llm_request", tenth_turn["llm_request"].attributes),
        "turn": ("agent_turn", tenth_turn["agent_turn"].attributes),
    }
    times: dict[str, list[float]] = {}
    with tracer.start_as_current_span("agent_session"):
        for _ in range(BATCHES):
            for kind, (name, attributes) in given.items():
                below = batch(bare, name, attributes)
                took = batch(tracer, name, attributes)
                times.setdefault(f"{kind} sdk", []).append(below)
                times.setdefault(kind, []).append(took - below)
                time.sleep(0.03)
    return {kind: statistics.median(found) for kind, found in times.items()}


def batch(tracer: Any, name: str, attributes: dict[str, Any], count: int = SPANS) -> float:
    """Microseconds per span of this thread's own processor time: what others do is not in it."""
    began = time.thread_time()
    for _ in range(count):
        tracer.start_span(name, attributes=attributes).end()
    return (time.thread_time() - began) / count * 1e6


def main(repeat: int = 5) -> bool:
    """Print the table; whether there was something to print of every contender."""
    found = rounds(CONTENDERS, lambda name: measure("hot_path", name), repeat)
    every = [numbers for taken in found.values() for numbers in taken]
    lines = [Line(("sdk",), tuple(median(every, f"{kind} sdk") for kind in KINDS))]
    for name in CONTENDERS:
        over = tuple(median(found[name], kind) for kind in KINDS)
        lines.append(Line((f"{name}, over that",), over))
    title = "Producing thread alone, microseconds per span (no verdict)"
    return show(title, ("contender", *KINDS), lines) and is_complete(found)


if __name__ == "__main__":
    sys.exit(not main())
