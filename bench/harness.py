"""What the benchmarks share: contenders in processes of their own, taken in turn, medians.

The machine may be busy with something else: judge by the ratios of one run, not by absolutes.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.contenders import SET_UP_BY_NAME, Installed, Target
from tests.faults.processes import ROOT, drainers, environment, kill_others

Numbers = dict[str, float]
CHILD_SECONDS = 300


@dataclass(frozen=True)
class Sink:
    """The backend of a measurement, in a process of its own."""

    port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def stats(self) -> dict[str, float]:
        """What came since the last time."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=60) as response:
            return dict(json.load(response))


@contextmanager
def sink(kind: str = "ok") -> Iterator[Sink]:
    """A backend that is `ok`, `hang`s, or is `down`."""
    if kind == "down":
        yield Sink(1)
        return
    command = [sys.executable, "-m", "bench.sink", *(["--hang"] if kind == "hang" else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert process.stdout is not None
    try:
        yield Sink(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def measure(module: str, contender: str, backend: str = "ok", **options: Any) -> Numbers:
    """Run `measure_here` of the module in a fresh process with its own spool and backend."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, sink(backend) as receiver:
        spool = Path(name) / "spool"
        job = {"contender": contender, "url": receiver.url, "spool": str(spool), **options}
        command = [sys.executable, "-c", _CHILD, f"bench.{module}", json.dumps(job)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                cwd=ROOT,
                env=environment(spool),
                text=True,
                timeout=CHILD_SECONDS,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(f"{module} with {contender} failed:\n{done.stderr[-3000:]}")
            return dict(json.loads(done.stdout.splitlines()[-1]))
        finally:
            kill_others(spool)


_CHILD = """
import importlib, json, os, sys
module = importlib.import_module(sys.argv[1])
print(json.dumps(module.measure_here(**json.loads(sys.argv[2]))), flush=True)
os._exit(0)
"""


def rounds(
    cells: Sequence[Any], run: Callable[[Any], Numbers], count: int
) -> dict[Any, list[Numbers]]:
    """Every cell `count` times, taken in turn, so that a busy minute hits all alike."""
    found: dict[Any, list[Numbers]] = {cell: [] for cell in cells}
    for number in range(count):
        for cell in cells:
            print(f"  round {number + 1} of {count}: {cell}", file=sys.stderr, flush=True)
            found[cell].append(_attempt(run, cell))
    return found


def _attempt(run: Callable[[Any], Numbers], cell: Any) -> Numbers:
    """What the cell measures; nothing where it fails, which is said and leaves the rest to run."""
    try:
        return run(cell)
    except Exception as error:
        print(f"  {cell} failed: {error}", file=sys.stderr, flush=True)
        return {}


def is_complete(found: Mapping[Any, Sequence[Numbers]]) -> bool:
    """Whether no contender failed in any round."""
    return all(numbers for taken in found.values() for numbers in taken)


def median(found: Sequence[Numbers], name: str) -> float:
    """The median of one number over the rounds; NaN where one of them is without it."""
    values = [numbers.get(name, math.nan) for numbers in found]
    if not values or any(map(math.isnan, values)):
        return math.nan
    return statistics.median(values)


def install(contender: str, url: str) -> Installed:
    """The contender's set-up, sending to the sink; `docs-gzip` is the snippet with compression."""
    if contender == "sdk":
        return _install_sdk()
    if contender == "docs-gzip":
        os.environ["OTEL_EXPORTER_OTLP_COMPRESSION"] = "gzip"
        contender = "docs"
    return SET_UP_BY_NAME[contender](Target(url))


def _install_sdk() -> Installed:
    """The SDK with LiveKit's own filter and nothing that exports: what all others stand on."""
    from livekit.agents.telemetry import set_tracer_provider
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider()
    set_tracer_provider(provider)
    return Installed(provider, lambda: True)


def bare_tracer() -> Any:
    """A tracer of LiveKit's kind with the bare SDK behind it, beside the one that is set up."""
    from livekit.agents.telemetry import tracer

    as_it_was = tracer._tracer_provider
    bare: Any = type(tracer)("livekit-agents")
    bare.set_provider(_install_sdk().provider)
    tracer.set_provider(as_it_was)
    return bare


class ProcessorTime:
    """What this process, all threads, and the drainers of its spool have used since then."""

    def __init__(self, spool: str) -> None:
        self._spool = spool
        self._drainers_before = _drainers_cpu_seconds(spool)
        self._own_before = time.process_time()

    def own(self) -> float:
        """Seconds of this process."""
        return time.process_time() - self._own_before

    def drainers(self) -> float:
        """Seconds of the drainers."""
        return _drainers_cpu_seconds(self._spool) - self._drainers_before

    @contextmanager
    def apart(self) -> Iterator[None]:
        """A block whose work in this thread is the measurement's own, and not counted."""
        began = time.thread_time()
        yield
        self._own_before += time.thread_time() - began


def _drainers_cpu_seconds(spool: str) -> float:
    pids = [pid for pid in drainers(Path(spool)) if pid != os.getpid()]
    return sum(map(_cpu_seconds_of, pids))


def _cpu_seconds_of(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def memory_mib(pid: int | None = None) -> float:
    """Private and shared memory of a process that is resident now."""
    status = Path(f"/proc/{pid or os.getpid()}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def stop_drainers(spool: str) -> None:
    """Ask the drainers of a spool to end."""
    for pid in drainers(Path(spool)):
        with suppress(OSError):
            os.kill(pid, signal.SIGTERM)


def wait_until(condition: Callable[[], bool], seconds: float, pause_seconds: float = 0.01) -> bool:
    """Whether the condition has come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_seconds)
    return True


@dataclass(frozen=True)
class Line:
    """One line of a table: labels, numbers, and the target for ours in words."""

    labels: tuple[str, ...]
    numbers: tuple[float, ...]
    target: str = ""
    met: bool | None = None


def judged(line: Line) -> Line:
    """The line; one with a target that lacks a number does not meet it, and says so."""
    if line.met is None or not any(map(math.isnan, line.numbers)):
        return line
    return dataclasses.replace(line, target=f"{line.target} (not measured)", met=False)


def show(title: str, columns: Sequence[str], lines: Sequence[Line], digits: int = 1) -> bool:
    """Print the table; whether every target in it is met."""
    lines = [judged(line) for line in lines]
    has_targets = any(line.target for line in lines)
    view = Table(title=title)
    labels = len(lines[0].labels)
    for number, column in enumerate((*columns, "target") if has_targets else columns):
        view.add_column(column, justify="left" if number < labels else "right")
    for line in lines:
        style = {None: "", True: "green", False: "red"}[line.met]
        cells = [_cell(number, digits) for number in line.numbers]
        view.add_row(*line.labels, *cells, *([line.target] * has_targets), style=style)
    Console(width=None if sys.stdout.isatty() else 120).print(view)
    return all(line.met is not False for line in lines)


def _cell(number: float, digits: int) -> str:
    return "-" if math.isnan(number) else f"{number:,.{digits}f}"


def as_json(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The lines as data."""
    return [dataclasses.asdict(line) for line in lines]
