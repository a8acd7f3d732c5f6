"""A backend that is away or refuses: waited for, said once, and nothing is lost."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.deliver.delivering import delivering, spans_of
from tests.fakes import FAST, OK, RecordingServer, Reply, until, write_segment
from tracing.config.backends import OTLP_HTTP, Backend
from tracing.deliver.status import take_notices
from tracing.spool.acks import DONE, Acks


def test_short_outage_is_waited_for_in_silence(spool: Path) -> None:
    """A few failures, then everything arrives; nobody's log is troubled."""
    write_segment(spool, *spans_of(3))
    with RecordingServer(Reply(503, b"try later"), Reply(500), Reply(408)) as server:
        with delivering(spool, server) as delivery:
            until(lambda: delivery.done)
        assert server.accepted == spans_of(3)
        assert len(server.requests) == 4
    assert take_notices(spool) == []


def test_long_outage_is_said_once_and_its_end_too(spool: Path) -> None:
    """A person reads what is wrong, that nothing is lost, and when it is over."""
    path = write_segment(spool, *spans_of(3))
    with RecordingServer() as server:
        server.reply = Reply(503, b"try later")
        with delivering(spool, server, pace=replace(FAST, say_after_seconds=0.1)) as delivery:
            until(lambda: len(server.requests) > 8)
            told = f"POST {server.url}/v1/traces answered 503: try later"
            assert (delivery.status.state, delivery.status.detail) == ("retrying", told)
            until(lambda: list((spool / "notices").glob("*.json")))
            said = take_notices(spool)
            requests = len(server.requests)
            until(lambda: len(server.requests) > requests + 3)
            assert take_notices(spool) == []
            server.reply = OK
            until(lambda: delivery.done == {path.name})
        assert said == [(logging.WARNING, f"{told}. No span is lost: they wait on disk.")]
        assert take_notices(spool) == [(logging.INFO, "otlp takes spans again")]
        assert (delivery.status.state, delivery.status.detail) == ("delivering", "")
        assert server.accepted == spans_of(3)


@pytest.mark.parametrize("status", [401, 403, 404, 307])
def test_refusal_pauses_says_what_to_mend_once_and_resumes(spool: Path, status: int) -> None:
    """URL, server's words and mend stand in one sentence; everything is kept and delivered."""
    path = write_segment(spool, *spans_of(3))
    with RecordingServer() as server:
        server.reply = Reply(
            status, b"unknown key", {"Location": "/login"} if status == 307 else {}
        )
        with delivering(spool, server) as delivery:
            until(lambda: len(server.requests) > 5)
            assert delivery.status.state == "paused"
            words = "redirected to /login" if status == 307 else "unknown key"
            told = f"POST {server.url}/v1/traces answered {status}: {words}"
            assert take_notices(spool) == [
                (
                    logging.WARNING,
                    f"{told}. No span is lost: they wait on disk. Mend: check THE SETTING.",
                )
            ]
            requests = len(server.requests)
            until(lambda: len(server.requests) > requests + 3)
            assert take_notices(spool) == []
            server.reply = OK
            until(lambda: delivery.done == {path.name})
        assert take_notices(spool) == [(logging.INFO, "otlp takes spans again")]
        assert server.accepted == spans_of(3)


def test_refusal_is_said_after_an_outage_was(spool: Path) -> None:
    """What a person has to mend is said even where the same backend was away before."""
    write_segment(spool, *spans_of(1))
    with RecordingServer() as server:
        server.reply = Reply(503)
        with delivering(spool, server, pace=replace(FAST, say_after_seconds=0.0)):
            until(lambda: len(server.requests) > 2)
            until(lambda: take_notices(spool))
            server.reply = Reply(401, b"no")
            [(level, text)] = until(lambda: take_notices(spool))
    assert level == logging.WARNING
    assert text.startswith(f"POST {server.url}/v1/traces answered 401: no. ")


def test_connection_refused_then_up(spool: Path) -> None:
    """A backend that starts after the agent gets everything."""
    write_segment(spool, *spans_of(3))
    with RecordingServer(listening=False) as server, delivering(spool, server) as delivery:
        until(lambda: delivery.status.state == "retrying")
        server.listen()
        until(lambda: delivery.done)
        assert server.accepted == spans_of(3)


def test_server_says_how_long_to_wait(spool: Path) -> None:
    """Retry-After is kept to, although the backoff is shorter."""
    write_segment(spool, *spans_of(3))
    with RecordingServer(Reply(429, b"slow down", {"Retry-After": "1"})) as server:
        with delivering(spool, server) as delivery:
            until(lambda: server.requests)
            began = time.monotonic()
            until(lambda: delivery.done)
            assert time.monotonic() - began > 0.9
        assert server.accepted == spans_of(3)


def test_pauses_grow_with_the_outage(spool: Path) -> None:
    """A backend that is away for long is asked ever more rarely, up to a bound."""
    write_segment(spool, *spans_of(1))
    with RecordingServer() as server:
        server.reply = Reply(503)
        with delivering(spool, server, pace=replace(FAST, shortest_pause_seconds=0.0)) as delivery:
            until(lambda: delivery.status.state == "retrying")
            delivery._down_since -= 10.0
            asked, began = len(server.requests), time.monotonic()
            until(lambda: len(server.requests) > asked + 1)  # one may be on its way
            assert time.monotonic() - began > 0.7  # a tenth of ten seconds, or a quarter less


def test_backend_that_is_down_does_not_delay_another(spool: Path) -> None:
    """Each goes its own pace, and acknowledges for itself."""
    path = write_segment(spool, *spans_of(3))
    with RecordingServer() as up, RecordingServer(listening=False) as down:
        away = Backend("langfuse", OTLP_HTTP, f"{down.url}/v1/traces", timeout_seconds=1.0)
        with delivering(spool, up) as first, delivering(spool, away) as second:
            until(lambda: first.done)
            until(lambda: second.status.state == "retrying")
            assert up.accepted == spans_of(3)
            assert second.done == frozenset()
            down.listen()
            until(lambda: second.done)
            assert (up.accepted, down.accepted) == (spans_of(3), spans_of(3))
    assert [Acks(spool, name).offset(path.name) for name in ("otlp", "langfuse")] == [DONE, DONE]


def test_what_was_taken_of_a_large_batch_is_not_sent_again(spool: Path) -> None:
    """A failure at the end of a batch repeats its end alone."""
    write_segment(spool, *spans_of(2000))
    with RecordingServer(OK, OK, OK, Reply(503)) as server:
        with delivering(spool, server) as delivery:
            until(lambda: delivery.done)
        assert len(server.accepted) == 2000
        assert {span.name for span in server.accepted} == {f"span {n}" for n in range(1, 2001)}
