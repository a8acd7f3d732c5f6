"""What set-up costs over livekit-agents itself, in time, memory, threads and sockets."""

from __future__ import annotations

import gc
import sys
import threading
import time
from pathlib import Path

from tests.faults.processes import drainers

from .call import Call, record_turn
from .harness import (
    Line,
    Numbers,
    install,
    is_complete,
    measure,
    median,
    memory_mib,
    rounds,
    show,
    wait_until,
)

CONTENDERS = ("docs", "langfuse", "ours")
SET_UPS = 50
TARGET_MS, TARGET_MIB, TARGET_DRAINER_MIB = 50.0, 5.0, 40.0


def measure_here(contender: str, url: str, spool: str) -> Numbers:
    """Milliseconds and MiB of the first set-up, then threads and sockets of fifty."""
    import livekit.agents
    import livekit.agents.telemetry  # noqa: F401

    gc.collect()
    memory, threads, sockets = memory_mib(), threading.active_count(), _sockets()
    began = time.perf_counter()
    installed = install(contender, url)
    took = (time.perf_counter() - began) * 1000
    found = {"set_up_ms": took, "set_up_mib": memory_mib() - memory}
    for _ in range(SET_UPS - 1):
        installed = install(contender, url)
        _one_call(1)
        if contender != "ours":
            installed.flush()
    found["threads"] = threading.active_count() - threads
    found["sockets"] = _sockets() - sockets
    if contender == "ours":
        _one_call(100)
        if wait_until(lambda: bool(drainers(Path(spool))), 10):
            time.sleep(3)
            found["drainer_mib"] = max(map(memory_mib, drainers(Path(spool))))
    return found


def _one_call(turns: int) -> None:
    from livekit.agents.telemetry import tracer

    with tracer.start_as_current_span("agent_session") as session:
        for turn in Call().turns(turns):
            record_turn(tracer, turn, session)


def _sockets() -> int:
    found = 0
    for path in Path("/proc/self/fd").iterdir():
        try:
            found += path.readlink().name.startswith("socket:")
        except OSError:
            continue
    return found


def main(repeat: int = 5) -> bool:
    """Print the table; whether ours meets its targets."""
    found = rounds(CONTENDERS, lambda name: measure("set_up", name), repeat)
    keys = ("set_up_ms", "set_up_mib", "drainer_mib", "threads", "sockets")
    lines = []
    for name in CONTENDERS:
        numbers = tuple(median(found[name], key) for key in keys)
        milliseconds, mib, drainer, threads, sockets = numbers
        met = milliseconds <= TARGET_MS and mib <= TARGET_MIB and drainer <= TARGET_DRAINER_MIB
        met = met and threads <= 1 and sockets <= 1
        is_ours = name == "ours"
        target = "50, 5, 40, 1, 1" if is_ours else ""
        lines.append(Line((name,), numbers, target, met if is_ours else None))
    columns = ("contender", "ms", "MiB", "drainer MiB", "threads of 50", "sockets of 50")
    return show("Set-up over livekit-agents", columns, lines) and is_complete(found)


if __name__ == "__main__":
    sys.exit(not main())
