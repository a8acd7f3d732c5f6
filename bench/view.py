"""The viewer: a list of many calls and a page of 200 turns, how long they take and how large."""

from __future__ import annotations

import gzip
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tracing.span import Span
from tracing.store.store import Store
from tracing.view.call_page import Choice
from tracing.view.calls_page import Filters, calls_page
from tracing.view.library import Library
from tracing.view.one_call import page_of
from tracing.view.render import render

from .turns import call_of

CALLS = 10_000
TURNS = 200
LIST_SECONDS = 0.15
PAGE_SECONDS = 0.15
PAGE_BYTES = 1_000_000
PAGE_GZIPPED_BYTES = 110_000


def main(rounds: int = 5) -> bool:
    """Whether the targets were met."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "calls.db"
        seconds, spans = _fill(path, CALLS if rounds > 1 else 200)
        size = path.stat().st_size
        print(f"stored {spans:,} spans in {seconds:.1f} s: {spans / seconds:,.0f} a second")
        library = Library(Store(path, read_only=True), str(path))
        long_call = next(row for row in library.rows() if row["turns"] >= TURNS - 2)["trace_id"]
        print(f"{size / spans:,.0f} bytes a span on disk")
        met = [
            _judge("list of all calls", lambda: _list(library), LIST_SECONDS, rounds),
            _judge("page of 200 turns", lambda: _page(library, long_call), PAGE_SECONDS, rounds),
        ]
        page = _page(library, long_call)
        packed = len(gzip.compress(page.encode()))
        print(f"page of 200 turns: {len(page):,} bytes, {packed:,} gzipped")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory {peak:,.0f} MiB")
    return all(met) and len(page) <= PAGE_BYTES and packed <= PAGE_GZIPPED_BYTES


def _fill(path: Path, calls: int) -> tuple[float, int]:
    """Store short calls and a long one, as a drainer does: batch by batch."""
    count = 0
    with Store(path, max_bytes=2**40) as store:
        began = time.perf_counter()
        for batch in _batches(calls):
            store.add(batch)
            count += len(batch)
        return time.perf_counter() - began, count


def _batches(calls: int) -> Iterator[list[Span]]:
    for number in range(calls):
        yield call_of(3, number)
    yield call_of(TURNS, calls)


def _list(library: Library) -> str:
    rows = library.rows()
    context = calls_page(rows, Filters(), {})
    return render("calls.html", base="", page="calls", store="", **context)


def _page(library: Library, trace_id: str) -> str:
    call = library.call(trace_id)
    assert call is not None
    return render("call.html", base="", page="call", store="", **page_of(call, Choice()))


def _judge(what: str, work: Callable[[], str], within: float, rounds: int) -> bool:
    """The best of some rounds: another program on the machine only makes it longer."""
    work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    print(f"{what}: {min(times) * 1000:,.0f} ms (target {within * 1000:,.0f})")
    return min(times) <= within
