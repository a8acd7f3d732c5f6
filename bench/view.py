"""The store and its viewer: how fast many calls come in, and how fast they are read again."""

from __future__ import annotations

import gzip
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tracing.config.backends import STORE_NAME
from tracing.store.store import Store
from tracing.view.library import Library
from tracing.view.pages.call_page import Choice
from tracing.view.pages.calls_page import calls_page
from tracing.view.pages.filters import Filters
from tracing.view.pages.one_call import page_of
from tracing.view.render import render

from .copies import multiply
from .turns import call_of

CALLS = 10_000
STORED = 500
"""So many of them come in as a drainer stores them; the others are copied, which is faster."""
TURNS = 200
LIST_SECONDS = 0.15
PAGE_SECONDS = 0.15
PAGE_BYTES = 1_000_000
PAGE_GZIPPED_BYTES = 110_000
REPORT_SECONDS = 0.5
ALL_AS_JSON_SECONDS = 7.5
_SPANS_OF_A_TURN = 10


def main(rounds: int = 5) -> bool:
    """Whether the targets were met."""
    calls = CALLS if rounds > 1 else 200
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / STORE_NAME
        _fill(path, min(calls, STORED))
        multiply(path, calls)
        _grow(Path(directory) / "growing.db")
        store = Store(path, read_only=True)
        library = Library(store, str(path))
        began = time.process_time()
        rows = library.rows()
        _say("rows of all calls, the first time", time.process_time() - began)
        turns = sum(row["turns"] for row in rows)
        print(f"{len(rows):,} calls; {path.stat().st_size / turns:,.0f} bytes a turn on disk")
        long_call = next(row for row in rows if row["turns"] >= TURNS - 2)["trace_id"]
        report = partial(_report, directory)
        met = [
            _judge("list of all calls", lambda: _list(library), LIST_SECONDS, rounds),
            _judge("search in all calls", lambda: library.search("table"), LIST_SECONDS, rounds),
            _judge("page of 200 turns", lambda: _page(store, long_call), PAGE_SECONDS, rounds),
            _judge("report --last 20", lambda: report("--last", "20"), REPORT_SECONDS, rounds),
            _judge("report --json", lambda: report("--json"), ALL_AS_JSON_SECONDS, 1),
        ]
        page = _page(store, long_call)
        packed = len(gzip.compress(page.encode()))
        print(f"page of 200 turns: {len(page):,} bytes, {packed:,} gzipped")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory of the viewer: {peak:,.0f} MiB")
        store.close()
    return all(met) and len(page) <= PAGE_BYTES and packed <= PAGE_GZIPPED_BYTES


def _say(what: str, processor: float) -> None:
    print(f"{what}: {processor * 1000:,.0f} ms of a processor", flush=True)


def _fill(path: Path, calls: int) -> None:
    """Store short calls and a long one, as a drainer does: batch by batch."""
    count = 0
    with Store(path, max_bytes=2**40) as store:
        batches = [*(call_of(3, number) for number in range(calls - 1)), call_of(TURNS, calls - 1)]
        began, used = time.perf_counter(), time.process_time()
        for batch in batches:
            store.add(batch)
            count += len(batch)
        seconds, processor = time.perf_counter() - began, time.process_time() - used
    rates = f"{count / seconds:,.0f} a second, {count / processor:,.0f} a second of a processor"
    print(f"stored {count:,} spans: {rates}", flush=True)


def _grow(path: Path) -> None:
    """Store a long call as it grows, turn by turn."""
    root, *others = call_of(TURNS, 0)
    batches = [others[at : at + _SPANS_OF_A_TURN] for at in range(0, len(others), _SPANS_OF_A_TURN)]
    times = []
    with Store(path) as store:
        for batch in ([root._replace(end_time_unix_nano=0)], *batches, [root]):
            began = time.process_time()
            store.add(batch)
            times.append(time.process_time() - began)
    of_one = f"{sum(times) * 1000 / TURNS:.1f} ms a turn, {times[-1] * 1000:,.0f} ms at its end"
    print(f"a call that grows to {TURNS} turns, in {len(times)} batches: {of_one}", flush=True)


def _list(library: Library) -> str:
    rows = library.rows()
    context = calls_page(rows, Filters(), {})
    return render("calls.html", base="", page="calls", store="", **context)


def _page(store: Store, trace_id: str) -> str:
    """By a library of its own, which has kept nothing."""
    call = Library(store, "").call(trace_id)
    assert call is not None
    return render("call.html", base="", page="call", store="", **page_of(call, Choice()))


def _report(directory: str, *options: str) -> None:
    command = [sys.executable, "-m", "tracing", "report", "--dir", directory, *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _judge(what: str, work: Callable[[], object], within: float, rounds: int) -> bool:
    """The best of some rounds: another program on the machine only makes it longer."""
    work()
    times, used = [], []
    for _ in range(rounds):
        began, before = time.perf_counter(), _processor_seconds()
        work()
        times.append(time.perf_counter() - began)
        used.append(_processor_seconds() - before)
    of_these = f"{min(used) * 1000:,.0f} of a processor; target {within * 1000:,.0f}"
    print(f"{what}: {min(times) * 1000:,.0f} ms ({of_these})", flush=True)
    return min(times) <= within


def _processor_seconds() -> float:
    """Of this process and of those that it has started."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime
