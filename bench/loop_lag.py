"""How late the event loop is while it makes spans: what a caller would hear."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from .call import Call, SpanText, record_turn
from .harness import Line, Numbers, install, is_complete, measure, median, rounds, show
from .ratio import Goal, compare, show_ratios

SECONDS = 8.0
SPANS_PER_SECOND = 200
TICK_SECONDS = 0.005
CELLS = (
    ("sdk", "ok"),
    ("docs", "ok"),
    ("langfuse", "ok"),
    ("ours", "ok"),
    ("docs", "down"),
    ("langfuse", "down"),
    ("ours", "down"),
    ("docs", "hang"),
    ("langfuse", "hang"),
    ("ours", "hang"),
)
COMPARED = ("docs", "langfuse", "ours")
STALLS = {"ok": "longest stall, backend healthy", "hang": "longest stall, backend hanging"}
GOAL = Goal("at most a third", 3)


def measure_here(contender: str, url: str, spool: str) -> Numbers:
    """Lateness of a 5 ms ticker in milliseconds, while turns 40 to 60 are recorded."""
    install(contender, url)
    turns = list(Call().turns(60))[40:]
    return asyncio.run(_measure(turns))


async def _measure(turns: list[list[SpanText]]) -> Numbers:
    late: list[float] = []
    producing = asyncio.create_task(_produce(turns))
    await asyncio.sleep(0.5)
    while not producing.done():
        wanted = time.perf_counter() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        late.append((time.perf_counter() - wanted) * 1000)
    late.sort()
    return {
        "p50": late[len(late) // 2],
        "p99": late[int(len(late) * 0.99)],
        "p99.9": late[int(len(late) * 0.999)],
        "max": late[-1],
    }


async def _produce(turns: list[list[SpanText]]) -> None:
    """One span at a time, evenly spread, as a running call makes them."""
    from livekit.agents.telemetry import tracer

    began, made = time.monotonic(), 0
    with tracer.start_as_current_span("agent_session") as session:
        while time.monotonic() - began < SECONDS:
            turn = turns[(made // 8) % len(turns)]
            made += await _produce_turn(tracer, turn, session, began, made)


async def _produce_turn(
    tracer: Any, turn: list[SpanText], session: Any, began: float, made: int
) -> int:
    for number, text in enumerate(turn):
        record_turn(tracer, [text._replace(parent=-1)], session)
        pause = began + (made + number + 1) / SPANS_PER_SECOND - time.monotonic()
        await asyncio.sleep(max(pause, 0))
    return len(turn)


def main(repeat: int = 3) -> bool:
    """Print what was measured and the ratios; whether ours meets them all."""
    found = rounds(CELLS, lambda cell: measure("loop_lag", cell[0], cell[1]), repeat)
    keys = ("p50", "p99", "p99.9", "max")
    lines = [Line(cell, tuple(median(found[cell], key) for key in keys)) for cell in CELLS]
    title = "Event-loop lag at 200 spans/s, ms (no verdict)"
    show(title, ("contender", "backend", *keys), lines, digits=2)
    ratios = []
    for backend, label in STALLS.items():
        stalls = {name: median(found[name, backend], "max") for name in COMPARED}
        ratios.append(compare(label, stalls, GOAL))
    met = show_ratios("Event-loop lag, milliseconds", COMPARED[:-1], ratios)
    return met and is_complete(found)


if __name__ == "__main__":
    sys.exit(not main())
