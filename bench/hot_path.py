"""What a span costs the thread that makes it, over LiveKit's own tracer.

Each batch is run twice, milliseconds apart in one process: with the contender, and with the SDK
behind LiveKit's own filter and nothing else. What counts is the median of the differences, so
that a machine that is slower for a while is so for both.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from .call import Call
from .harness import Line, Numbers, install, measure, median, rounds, show

CONTENDERS = ("docs", "langfuse", "ours")
SPANS = 200
"""Few enough that most batches meet no other thread and no other process."""
BATCHES = 40
KINDS = ("small", "llm", "turn")
TARGETS = {"small": 10.0, "llm": 20.0}
SDK_THERE = {"small": 29.2, "llm": 30.8}
"""What the SDK itself takes on the machine of the targets: tells what they would be on this one."""

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

    as_it_was = tracer._tracer_provider
    bare: Any = type(tracer)("livekit-agents")
    bare.set_provider(install("sdk", url).provider)
    tracer.set_provider(as_it_was)
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
                below = _batch(bare, name, attributes)
                took = _batch(tracer, name, attributes)
                times.setdefault(f"{kind} sdk", []).append(below)
                times.setdefault(kind, []).append(took - below)
                time.sleep(0.03)
    return {kind: statistics.median(found) for kind, found in times.items()}


def _batch(tracer: Any, name: str, attributes: dict[str, Any]) -> float:
    """Microseconds per span of this thread's own processor time: what others do is not in it."""
    began = time.thread_time()
    for _ in range(SPANS):
        tracer.start_span(name, attributes=attributes).end()
    return (time.thread_time() - began) / SPANS * 1e6


def main(repeat: int = 5) -> bool:
    """Print the table; whether ours meets its target."""
    found = rounds(CONTENDERS, lambda name: measure("hot_path", name), repeat)
    every = [numbers for rounds_of in found.values() for numbers in rounds_of]
    sdk = {kind: median(every, f"{kind} sdk") for kind in KINDS}
    here = {kind: most * sdk[kind] / SDK_THERE[kind] for kind, most in TARGETS.items()}
    lines = [Line(("sdk",), tuple(sdk.values()))]
    for name in CONTENDERS:
        over = {kind: median(found[name], kind) for kind in KINDS}
        met = all(over[kind] <= TARGETS[kind] for kind in TARGETS) if name == "ours" else None
        target = f"10 / 20 (here {here['small']:.1f} / {here['llm']:.1f})" if name == "ours" else ""
        lines.append(Line((f"{name}, over that",), tuple(over.values()), target, met))
    return show("Producing thread, microseconds per span", ("contender", *KINDS), lines)


if __name__ == "__main__":
    sys.exit(not main())
