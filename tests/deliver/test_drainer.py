"""The drainer: one per spool, finishes what dead processes left, and goes when all is done."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.deliver.delivering import spans_of
from tests.fakes import (
    OK,
    RecordingServer,
    Reply,
    append,
    draining,
    make_span,
    open_segment,
    otlp_backend,
    run_python,
    running_drainer,
    running_python,
    until,
    write_segment,
)
from tracing.config.backends import OTLP_HTTP, SQLITE, Backend, digest, dump
from tracing.config.langfuse import DIALECT
from tracing.deliver.drainer import Drainer
from tracing.deliver.identity import Process
from tracing.deliver.lease import Holder, Lease, holder
from tracing.deliver.pace import Pace
from tracing.deliver.status import read_status, take_notices
from tracing.span import STATUS_ERROR
from tracing.spool.acks import Acks
from tracing.spool.losses import count_losses
from tracing.spool.records import read_records
from tracing.spool.segments import segment_paths


def test_spool_of_dead_processes_is_emptied_and_left(spool: Path) -> None:
    """Everything is delivered and deleted, and the drainer ends by itself."""
    write_segment(spool, *spans_of(3))
    write_segment(spool, make_span(4), number=2)
    with RecordingServer() as server:
        drainer = Drainer(spool, [otlp_backend(server.url)])
        assert drainer.run() is True
        assert sorted(server.accepted, key=lambda span: span.span_id) == spans_of(4)
        assert segment_paths(spool) == []
        assert holder(spool) is None
        status = read_status(spool)
        assert status["pid"] == os.getpid()
        [backend] = status["backends"]
        assert (backend["state"], backend["delivered_spans"]) == ("delivering", 4)


def test_empty_spool_is_left_at_once(spool: Path) -> None:
    """A drainer with nothing to do is not there."""
    assert Drainer(spool, [otlp_backend("http://127.0.0.1:1")]).run() is True


def test_second_drainer_leaves_the_spool_to_the_first(spool: Path) -> None:
    """One works, the other goes, without a request."""
    writer = open_segment(spool)
    with RecordingServer() as server, draining(spool, otlp_backend(server.url)):
        until(lambda: holder(spool))
        assert Drainer(spool, [otlp_backend("http://127.0.0.1:1")]).run() is False
        append(writer, make_span(1))
        until(lambda: server.accepted == [make_span(1)])
        writer.close()


def test_drainer_stays_as_long_as_a_producer_lives(spool: Path) -> None:
    """It ends soon after the last one has."""
    writer = open_segment(spool)
    append(writer, make_span(1))
    with RecordingServer() as server, draining(spool, otlp_backend(server.url)) as thread:
        until(lambda: server.accepted)
        time.sleep(0.3)
        assert thread.is_alive()
        writer.close()
        thread.join(10)
        assert not thread.is_alive()
    assert segment_paths(spool) == []


PRODUCE = """
import sys
from pathlib import Path
from tests.fakes import append, make_span, open_segment
from tracing.spool.records import start_frame

writer = open_segment(Path(sys.argv[1]))
root = make_span(1, "job_entrypoint", end_time_unix_nano=0)
writer.append(start_frame(root))
for number in range(2, 202):
    append(writer, make_span(number, parent_span_id=root.span_id))
print("ready", flush=True)
sys.stdin.read()
"""


def test_killed_producer_loses_no_ended_span_and_leaves_a_readable_root(spool: Path) -> None:
    """After a SIGKILL everything that ended arrives, and what was open as an error with a time."""
    with RecordingServer() as server:
        with running_python(PRODUCE, spool) as producer:
            assert producer.stdout is not None
            assert producer.stdout.readline() == "ready\n"
            producer.send_signal(signal.SIGKILL)
            producer.wait(10)
        Drainer(spool, [otlp_backend(server.url)]).run()
        [root, *children] = sorted(server.accepted, key=lambda span: span.span_id)
        expected = [make_span(n, parent_span_id=root.span_id) for n in range(2, 202)]
        assert children == expected
        assert (root.name, root.status_code, root.end_time_unix_nano) == (
            "job_entrypoint",
            STATUS_ERROR,
            expected[-1].end_time_unix_nano,
        )
        assert root.attributes["error.type"] == "process_died"


def test_killed_drainer_loses_nothing_and_repeats_little(spool: Path) -> None:
    """The next drainer goes on where the killed one had a yes."""
    write_segment(spool, *[make_span(n, attributes={"text": "x" * 5000}) for n in range(1000)])
    with RecordingServer(OK, OK, Reply(hang=True)) as server:
        with running_drainer(spool, otlp_backend(server.url, timeout_seconds=30.0)) as first:
            until(lambda: len(server.requests) == 3)
            first.send_signal(signal.SIGKILL)
            first.wait(10)
        taken = len(server.accepted)
        assert 0 < taken < 1000
        with running_drainer(spool, otlp_backend(server.url)) as second:
            assert second.wait(30) == 0
        names = [span.name for span in server.accepted]
        assert set(names) == {f"span {n}" for n in range(1000)}
        assert len(names) - 1000 <= len(server.requests[1].spans)


def test_drainer_in_a_process_empties_the_spool_and_ends(spool: Path) -> None:
    """As a keeper starts it: limits on the command line, backends on standard input."""
    write_segment(spool, *spans_of(3))
    with RecordingServer() as server, running_drainer(spool, otlp_backend(server.url)) as process:
        assert process.wait(20) == 0
        assert server.accepted == spans_of(3)


def test_drainer_stopped_in_good_order_lets_leave_what_can(spool: Path) -> None:
    """SIGTERM: what is on disk goes to the backend that takes it, then the process ends."""
    writer = open_segment(spool)
    with RecordingServer() as server, running_drainer(spool, otlp_backend(server.url)) as process:
        until(lambda: holder(spool))
        append(writer, *spans_of(3))
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert server.accepted == spans_of(3)
    writer.close()


def test_drainer_stopped_while_a_backend_hangs_ends_in_bounded_time(spool: Path) -> None:
    """A silent server holds nobody for longer than the bound."""
    writer = open_segment(spool)
    append(writer, *spans_of(3))
    with RecordingServer(Reply(hang=True)) as server:
        backend = otlp_backend(server.url, timeout_seconds=60.0)
        with running_drainer(spool, backend) as process:
            until(lambda: server.requests)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert time.monotonic() - began < 12
    assert len(segment_paths(spool)) == 1
    writer.close()


def test_drainer_gives_up_on_what_no_backend_takes_once_nobody_produces(spool: Path) -> None:
    """The spans wait on disk for the next start; no orphan waits with them."""
    write_segment(spool, *spans_of(3))
    backend = otlp_backend("http://127.0.0.1:1")
    assert Drainer(spool, [backend], give_up_after_seconds=0.3).run() is True
    assert len(segment_paths(spool)) == 1
    with RecordingServer() as server:
        Drainer(spool, [otlp_backend(server.url)]).run()
        assert server.accepted == spans_of(3)


def test_drainer_does_not_give_up_while_somebody_produces(spool: Path) -> None:
    """An agent that runs may see its backend come back."""
    writer = open_segment(spool)
    append(writer, make_span(1))
    backend = otlp_backend("http://127.0.0.1:1")
    with draining(spool, backend, give_up_after_seconds=0.1) as thread:
        time.sleep(0.5)
        assert thread.is_alive()
        writer.close()
        thread.join(10)
        assert not thread.is_alive()


def test_segment_is_deleted_when_every_backend_has_it(spool: Path) -> None:
    """One backend down keeps the segment, and delays nobody else."""
    write_segment(spool, *spans_of(3))
    with RecordingServer() as up, RecordingServer(listening=False) as down:
        slow = Backend("langfuse", OTLP_HTTP, f"{down.url}/v1/traces", timeout_seconds=1.0)
        with draining(spool, otlp_backend(up.url), slow) as thread:
            until(lambda: up.accepted == spans_of(3))
            until(lambda: len(read_status(spool).get("backends", [])) == 2)
            assert len(segment_paths(spool)) == 1
            down.listen()
            thread.join(20)
        assert (up.accepted, down.accepted) == (spans_of(3), spans_of(3))
    assert segment_paths(spool) == []


def test_spans_beyond_the_age_cap_are_dropped_and_counted(spool: Path) -> None:
    """What waited too long goes, but never from a process that lives."""
    old = write_segment(spool, *spans_of(3))
    os.utime(old, (time.time() - 100, time.time() - 100))
    writer = open_segment(spool)
    append(writer, make_span(9))
    living = writer.segment_path
    assert living is not None
    os.utime(living, (time.time() - 100, time.time() - 100))
    with draining(spool, otlp_backend("http://127.0.0.1:1"), max_age_seconds=50.0):
        until(lambda: not old.exists())
        until(lambda: count_losses(spool))
    assert segment_paths(spool) == [living]
    assert count_losses(spool) == {"the spans were too old": 3}
    writer.close()


def test_expired_spans_that_every_backend_has_are_not_counted(spool: Path) -> None:
    """Only what some backend still needed is lost with its segment."""
    old = write_segment(spool, *spans_of(3))
    last = [record.start_offset for record in read_records(old.read_bytes())][-1]
    Acks(spool, "otlp").acknowledge({old.name: last})
    os.utime(old, (time.time() - 100, time.time() - 100))
    Drainer(spool, [otlp_backend("http://127.0.0.1:1")], max_age_seconds=50.0).run()
    assert count_losses(spool) == {"the spans were too old": 1}


def test_spool_over_its_limit_loses_the_oldest_and_says_so(spool: Path) -> None:
    """Counted, in the spool's file and in a notice for the agent's log."""
    paths = [write_segment(spool, *spans_of(3), number=number) for number in (1, 2, 3)]
    limit = paths[2].stat().st_size
    with draining(spool, otlp_backend("http://127.0.0.1:1"), spool_bytes=limit):
        until(lambda: segment_paths(spool) == [paths[2]])
        until(lambda: count_losses(spool) == {"the spool was full": 6})
        [(level, text)] = until(lambda: take_notices(spool))
    assert level == logging.WARNING
    assert text == "dropped 6 spans: the spool was full (full at 0 MiB)"


def test_hurry_is_passed_on(spool: Path) -> None:
    """Who touches the file does not wait for a batch to grow."""
    writer = open_segment(spool)
    patient = Pace(linger_seconds=600.0)
    with RecordingServer() as server, draining(spool, otlp_backend(server.url), pace=patient):
        until(lambda: holder(spool))
        append(writer, make_span(1))
        (spool / "hurry").touch()
        until(lambda: server.accepted)
    writer.close()


@pytest.mark.parametrize("fresh", [False, True], ids=["deleted", "deleted and made again"])
def test_drainer_whose_spool_was_deleted_leaves(spool: Path, tmp_path: Path, fresh: bool) -> None:
    """Its lease went with the directory: a new one belongs to the next drainer."""
    writer = open_segment(spool)
    other = open_segment(tmp_path / "spool" / "fresh")
    with RecordingServer() as server, draining(spool, otlp_backend(server.url)) as thread:
        until(lambda: holder(spool))
        spool.rename(tmp_path / "gone")
        if fresh:
            (tmp_path / "spool" / "fresh").rename(spool)
        thread.join(5)
        assert not thread.is_alive()
    writer.close()
    other.close()


def test_lease_names_the_settings_and_holds_no_credentials(spool: Path) -> None:
    """A file tells apart the wrong key and the right one without holding either."""
    writer = open_segment(spool)
    backend = otlp_backend("http://127.0.0.1:1", headers={"Authorization": "Basic c2VjcmV0"})
    with draining(spool, backend):
        until(lambda: read_status(spool))
        assert holder(spool) == Holder(Process.current(), digest([backend]))
        content = b"".join(path.read_bytes() for path in spool.iterdir() if path.is_file())
        assert b"c2VjcmV0" not in content
    writer.close()


IMPORTS = """
import json, sys
from pathlib import Path
from tracing.config.backends import parse
from tracing.deliver.drainer import Drainer

Drainer(Path(sys.argv[1]), parse(sys.stdin.read())).run()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_drainer_imports_neither_livekit_nor_opentelemetry(spool: Path, tmp_path: Path) -> None:
    """It starts fast and stays small, whatever it delivers to."""
    write_segment(spool, make_span(1, "agent_session"))
    options = {"trace_name": None, "tags": [], "environment": None, "release": None}
    with RecordingServer() as server:
        langfuse = otlp_backend(server.url, dialect=DIALECT, dialect_options=options)
        local = Backend("local", SQLITE, str(tmp_path / "calls.db"))
        with running_python(IMPORTS, spool) as process:
            told, _ = process.communicate(dump([langfuse, local]), timeout=30)
        assert len(server.accepted) == 1
    assert not {"livekit", "opentelemetry", "langfuse", "google"} & set(json.loads(told))


def test_backend_that_cannot_be_made_does_not_stop_the_others(spool: Path) -> None:
    """Its dialect takes no such option: its spans wait, those of the others leave."""
    writer = open_segment(spool)
    append(writer, make_span(1))
    with RecordingServer() as server:
        broken = Backend("broken", OTLP_HTTP, dialect=DIALECT, dialect_options={"no such": 1})
        with draining(spool, broken, otlp_backend(server.url)):
            until(lambda: server.accepted == [make_span(1)])
            until(lambda: _state_of(spool, "broken") == "retrying")
        writer.close()


def _state_of(spool: Path, name: str) -> str:
    backends = read_status(spool).get("backends", [])
    return next((found["state"] for found in backends if found["name"] == name), "")


def test_threads_of_a_drainer_are_named(spool: Path) -> None:
    """Who looks at a process sees what each thread is for."""
    writer = open_segment(spool)
    with draining(spool, otlp_backend("http://127.0.0.1:1")):
        until(lambda: "tracing-otlp" in {thread.name for thread in threading.enumerate()})
    assert "tracing-otlp" not in {thread.name for thread in threading.enumerate()}
    writer.close()


def test_spool_that_is_not_there_cannot_be_drained(tmp_path: Path) -> None:
    """The keeper makes it first."""
    with pytest.raises(FileNotFoundError):
        Drainer(tmp_path / "gone", [otlp_backend("http://127.0.0.1:1")]).run()


def test_lease_is_free_after_the_drainer(spool: Path) -> None:
    """The next one can begin."""
    Drainer(spool, [otlp_backend("http://127.0.0.1:1")]).run()
    lease = Lease.take(spool, "next")
    assert lease is not None
    with lease:
        assert run_python("print('alive')") == "alive\n"
