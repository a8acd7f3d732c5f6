"""What a span costs the thread that makes it, over LiveKit's own tracer."""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from .call import Call
from .harness import Line, Numbers, install, measure, median, rounds, show

CONTENDERS = ("sdk", "docs", "langfuse", "ours")
SPANS = 200
"""Few enough that most batches meet no other thread and no other process."""
BATCHES = 40
TARGETS = {"small": 10.0, "llm": 20.0}

SMALL = {
    "lk.speech_id": "speech_0123456789ab",
    "lk.generation_id": "speech_0123456789ab_1",
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "assistant",
    "lk.e2e_latency": 1.12,
    "lk.end_of_turn_delay": 0.55,
    "lk.interrupted": False,
    "lk.pii.user_input": "a table for two, please",
}


def measure_here(contender: str, url: str, spool: str) -> Numbers:
    """Median microseconds from `start_span` to the return of `end()`, for both kinds of span."""
    install(contender, url)
    from livekit.agents.telemetry import tracer

    tenth_turn = list(Call().turns(10))[-1]
    given = {"small": ("agent_turn", SMALL), "llm": _llm_request(tenth_turn)}
    found: Numbers = {}
    with tracer.start_as_current_span("agent_session"):
        for kind, (name, attributes) in given.items():
            _batch(tracer, name, attributes)
            times = []
            for _ in range(BATCHES):
                times.append(_batch(tracer, name, attributes))
                time.sleep(0.03)
            found[kind] = statistics.median(times)
    return found


def _llm_request(turn: list[Any]) -> tuple[str, dict[str, Any]]:
    return next((span.name, span.attributes) for span in turn if span.name == "llm_request")


def _batch(tracer: Any, name: str, attributes: dict[str, Any]) -> float:
    """Microseconds per span of this thread's own processor time: what others do is not in it."""
    began = time.thread_time()
    for _ in range(SPANS):
        tracer.start_span(name, attributes=attributes).end()
    return (time.thread_time() - began) / SPANS * 1e6


def main(repeat: int = 5) -> bool:
    """Print the table; whether ours meets its target."""
    found = rounds(CONTENDERS, lambda name: measure("hot_path", name), repeat)
    base = {kind: median(found["sdk"], kind) for kind in TARGETS}
    lines = []
    for name in CONTENDERS:
        total = {kind: median(found[name], kind) for kind in TARGETS}
        over = {kind: total[kind] - base[kind] for kind in TARGETS}
        met = all(over[kind] <= TARGETS[kind] for kind in TARGETS) if name == "ours" else None
        target = "at most 10 / 20 over" if name == "ours" else ""
        numbers = (total["small"], total["llm"], over["small"], over["llm"])
        lines.append(Line((name,), numbers, target, met))
    columns = ("contender", "small us", "LLM us", "small over SDK", "LLM over SDK")
    return show("Producing thread, microseconds per span", columns, lines)


if __name__ == "__main__":
    sys.exit(not main())
