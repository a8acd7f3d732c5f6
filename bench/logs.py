"""What a log line costs the thread that logs it, over logging itself: ours beside OpenTelemetry's.

Each batch is logged twice, milliseconds apart in one process: with the contender's handler on the
root logger, and without it. What counts is the median of the differences. `file` is Python's own
handler that formats a line and writes it into a file; a `write(2)` of a line's bytes alone is said,
too, because no handler that lets a line survive its process costs less.
"""

from __future__ import annotations

import logging
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from tracing.limits import LOG_LINES_PER_SECOND

from .harness import Numbers, install, is_complete, measure, median, rounds
from .ratio import OURS, Goal, compare, show_ratios

CONTENDERS = ("file", "opentelemetry", OURS)
BATCHES = 40
KINDS = ("plain", "exception")
GOALS = {
    "plain": Goal("no more than OpenTelemetry's", 1.0),
    "exception": Goal("at most a quarter more", 0.8),  # secrets are struck out of its traceback
}
LINE_BYTES = 200
"""What a plain line takes in a segment, about."""


logger = logging.getLogger("my.app")


def measure_here(contender: str, url: str, spool: str) -> Numbers:
    """Median microseconds of a line over logging itself, for each kind."""
    from livekit.agents.telemetry import tracer

    install("sdk" if contender != OURS else OURS, url)
    logging.root.addHandler(logging.NullHandler())
    handler = None if contender == OURS else _handler(contender, url, spool)
    times: dict[str, list[float]] = {}
    for _ in range(BATCHES):
        times.setdefault("write", []).append(writes(Path(f"{spool}.written")))
        for kind in KINDS:
            with tracer.start_as_current_span("agent_session"):  # a call has so many lines a second
                handler = handler or logging.root.handlers[-1]
                logging.root.removeHandler(handler)
                below = batch(kind)
                logging.root.addHandler(handler)
                took = batch(kind)
                logging.root.removeHandler(handler)
            times.setdefault(kind, []).append(took - below)
            times.setdefault(f"{kind} logging", []).append(below)
            time.sleep(0.03)
    return {kind: statistics.median(found) for kind, found in times.items()}


def _handler(contender: str, url: str, spool: str) -> logging.Handler:
    if contender == "file":
        Path(spool).mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = logging.FileHandler(Path(spool) / "app.log")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        return handler
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider()
    exporter = OTLPLogExporter(endpoint=f"{url}/v1/logs")
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    return LoggingHandler(logger_provider=provider)


def batch(kind: str, count: int = LOG_LINES_PER_SECOND) -> float:
    """Microseconds per line of this thread's own processor time."""
    error: Any = None
    if kind == "exception":
        try:
            raise ValueError("no table for two")
        except ValueError as raised:
            error = raised
    began = time.thread_time()
    for number in range(count):
        logger.warning(
            "no answer from %s, attempt %d", "the booking service", number, exc_info=error
        )
    return (time.thread_time() - began) / count * 1e6


def writes(path: Path, count: int = LOG_LINES_PER_SECOND) -> float:
    """The same for as many bytes as a line has, appended to a file and nothing else."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    began = time.thread_time()
    for _ in range(count):
        os.write(fd, bytes(LINE_BYTES))
    took = time.thread_time() - began
    os.close(fd)
    return took / count * 1e6


def main(repeat: int = 5) -> bool:
    """Print the comparison; whether ours costs about what OpenTelemetry's own handler does."""
    found = rounds(CONTENDERS, lambda name: measure("logs", name), repeat)
    lines = []
    for kind in KINDS:
        values = {name: median(found[name], kind) for name in CONTENDERS if name != "file"}
        lines.append(compare(kind, values, GOALS[kind]))
        itself = median([one for taken in found.values() for one in taken], f"{kind} logging")
        in_file = median(found["file"], kind)
        print(f"{kind}: logging itself {itself:.1f} us, into a file {in_file:.1f} us more")
    alone = median([one for taken in found.values() for one in taken], "write")
    print(f"one write of {LINE_BYTES} bytes {alone:.1f} us")
    title = "A log line over logging itself, microseconds"
    return show_ratios(title, CONTENDERS[1:2], lines) and is_complete(found)


if __name__ == "__main__":
    sys.exit(not main())
