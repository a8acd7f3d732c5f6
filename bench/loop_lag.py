"""How late the event loop is while it makes spans: what a caller would hear."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from .call import Call, SpanText, record_turn
from .harness import Line, Numbers, install, measure, median, rounds, show

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
P99_MS, MAX_MS = 1.0, 10.0
"""On a quiet machine; on a busy one, what the loop suffers without any exporter comes on top."""


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
    """Print the table; whether ours meets its target."""
    found = rounds(CELLS, lambda cell: measure("loop_lag", cell[0], cell[1]), repeat)
    floor = {key: median(found["sdk", "ok"], key) for key in ("p99", "max")}
    lines = []
    for name, backend in CELLS:
        one = found[name, backend]
        numbers = tuple(median(one, key) for key in ("p50", "p99", "p99.9", "max"))
        met = numbers[1] <= max(P99_MS, floor["p99"] + 0.5)
        met = met and numbers[3] <= max(MAX_MS, floor["max"] + MAX_MS / 2)
        is_ours = name == "ours"
        target = "p99 1, max 10" if is_ours else ""
        lines.append(Line((name, backend), numbers, target, met if is_ours else None))
    columns = ("contender", "backend", "p50", "p99", "p99.9", "max")
    return show("Event-loop lag at 200 spans/s, milliseconds", columns, lines, digits=2)


if __name__ == "__main__":
    sys.exit(not main())
