"""The table of calls: constant in what a new trace costs, bounded, and shared by threads."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.capture.pipeline import Pipeline
from tests.fakes import make_span
from tracing.account.call import Call
from tracing.capture.calls import Calls
from tracing.spool.records import END


class Table:
    """A small table, and what it has forgotten though it was open."""

    def __init__(self, *held: int) -> None:
        self.forgotten = 0
        self.calls = Calls(Call, forgot=self.forgot, held=lambda: held, most=8, most_open=32)

    def forgot(self) -> None:
        self.forgotten += 1

    def begin(self, trace_id: int) -> Call:
        """A call with an open span."""
        call = self.calls.of(trace_id)
        call.started(make_span(trace_id, end_time_unix_nano=0))
        return call

    def end(self, trace_id: int) -> None:
        """Its span ends."""
        self.calls.of(trace_id).ended(make_span(trace_id))


def test_a_trace_has_one_call() -> None:
    """Asked for again it is the same, and it is not made by a look."""
    calls = Table().calls
    assert calls.get(1) is None
    assert calls.of(1) is calls.of(1) is calls.get(1)
    assert len(calls) == 1


def test_calls_that_are_over_make_room_for_others() -> None:
    """The table does not grow by what has ended."""
    table = Table()
    for trace_id in range(1000):
        table.begin(trace_id)
        table.end(trace_id)
    assert (len(table.calls), table.forgotten) == (8, 0)


def test_open_and_held_calls_are_kept_whatever_comes() -> None:
    """An old call that goes on is still known among many that came and went."""
    table = Table(2)
    one, two = table.begin(1), table.begin(2)
    table.end(2)
    for trace_id in range(10, 1000):
        table.begin(trace_id)
        table.end(trace_id)
    assert (table.calls.get(1), table.calls.get(2), table.forgotten) == (one, two, 0)
    assert len(table.calls) <= 16


def test_calls_that_never_end_are_bounded_and_said() -> None:
    """The oldest is given up, and each one is told of; once they end the table is small again."""
    table = Table()
    for trace_id in range(100):
        table.begin(trace_id)
    assert (len(table.calls), table.forgotten) == (32, 68)
    for trace_id in filter(table.calls.get, range(100)):
        table.end(trace_id)
    for trace_id in range(1000, 1100):
        table.begin(trace_id)
        table.end(trace_id)
    assert (len(table.calls), table.forgotten) == (8, 68)


def test_new_trace_costs_the_same_among_thousands_of_open_ones(pipeline: Pipeline) -> None:
    """Requests that are open at once, as in a server that shares the provider."""
    tracer = pipeline.provider.get_tracer("an application")
    held, took = [], []
    for _ in range(4000):
        began = time.thread_time()
        held.append(tracer.start_span("GET /"))
        took.append(time.thread_time() - began)
    early, late = sorted(took[:200])[100], sorted(took[-200:])[100]
    assert late < early * 3
    assert dict(pipeline.ledger.counts) == {}


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_that_begin_and_end_calls_lose_nothing(pipeline: Pipeline) -> None:
    """Several jobs in one process: no stamp is lost, no error of ours, no loss that was none."""

    def work() -> None:
        for number in range(600):
            with pipeline.tracer.start_as_current_span("agent_session") as span:
                span.set_attribute("lk.job_id", f"AJ_{number}")
                with pipeline.tracer.start_as_current_span("llm_node"):
                    pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        pipeline.processor.record_open_spans()
        list(pipeline.processor.open_frames())
    assert dict(pipeline.ledger.counts) == {}
    ended = [name for kind, name in pipeline.written() if kind == END]
    assert ended.count("agent_session") == ended.count("llm_node") == 8 * 600
