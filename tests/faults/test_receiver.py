"""The measuring instrument itself: what it stores, refuses, breaks and remembers."""

from __future__ import annotations

import gzip
import http.client
import socket
import time
from collections.abc import Callable

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from . import replies
from .receiver import CONTENT_TYPE, Receiver
from .replies import Phase, Reply, Script


def body_of(*span_ids: bytes, name: str = "llm_request") -> bytes:
    """A request with one span for each id."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for span_id in span_ids:
        scope.spans.add(
            trace_id=b"t" * 16,
            span_id=span_id,
            name=name,
            start_time_unix_nano=1,
            end_time_unix_nano=2,
        )
    return bytes(request.SerializeToString())


def post(receiver: Receiver, body: bytes, path: str = "/v1/traces", **headers: str) -> int:
    """One request on a connection of its own; the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=5)
    try:
        sent = {"Content-Type": CONTENT_TYPE}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", path, body, sent)
        return connection.getresponse().status
    finally:
        connection.close()


def always(reply: Reply) -> Script:
    """A script of one reply."""
    return Script(Phase(60, (reply,)))


def test_stores_spans_and_counts_repeats() -> None:
    """Each id is there once, with how often it came, zipped or not."""
    with Receiver() as receiver:
        assert post(receiver, body_of(b"a" * 8, b"b" * 8)) == 200
        zipped = gzip.compress(body_of(b"b" * 8))
        assert post(receiver, zipped, Content_Encoding="gzip") == 200
    counts = {span_id: stored.count for span_id, stored in receiver.spans_by_id.items()}
    assert counts == {b"a" * 8: 1, b"b" * 8: 2}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (body_of(b"short"), {}, 400),
        (body_of(bytes(8)), {}, 400),
        (body_of(b"a" * 8, name=""), {}, 400),
        (b"not protobuf", {}, 400),
        (body_of(b"a" * 8), {"Content_Encoding": "gzip"}, 400),
        (body_of(b"a" * 8), {"Content_Encoding": "br"}, 415),
        (body_of(b"a" * 8), {"Content_Type": "text/plain"}, 415),
        (body_of(b"a" * 8), {"path": "/elsewhere"}, 404),
    ],
)
def test_refuses_what_a_real_endpoint_refuses(
    body: bytes, headers: dict[str, str], status: int
) -> None:
    """A contender cannot pass by sending what only this receiver would take."""
    with Receiver() as receiver:
        assert post(receiver, body, **headers) == status
    assert receiver.spans_by_id == {}


def test_wants_the_right_key() -> None:
    """With a key set, any other is a 401 and stores nothing."""
    with Receiver(authorization="Basic right") as receiver:
        assert post(receiver, body_of(b"a" * 8), Authorization="Basic wrong") == 401
        assert receiver.spans_by_id == {}
        assert post(receiver, body_of(b"a" * 8), Authorization="Basic right") == 200


@pytest.mark.parametrize(
    ("reply", "stored"),
    [
        (replies.RESET_IN_BODY, 0),
        (replies.STORED_THEN_RESET, 1),
        (replies.STORED_THEN_CUT_OFF, 1),
        (replies.CUT_OFF, 0),
    ],
)
def test_breaks_the_connection_where_the_script_says(reply: Reply, stored: int) -> None:
    """The client sees an error; whether the span is kept is up to the script."""
    with Receiver(always(reply)) as receiver:
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=5)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            _exchange(connection, body_of(b"a" * 8) * 1_000)
        connection.close()
    assert len(receiver.spans_by_id) == stored


def _exchange(connection: http.client.HTTPConnection, body: bytes) -> bytes:
    connection.request("POST", "/v1/traces", body, {"Content-Type": CONTENT_TYPE})
    return connection.getresponse().read()


def test_partial_success_says_how_many_and_why() -> None:
    """Five spans are refused, the others kept, and the response is OTLP."""
    ids = [bytes([number]) * 8 for number in range(1, 9)]
    with Receiver(always(replies.PARTIAL_SUCCESS)) as receiver:
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=5)
        response = ExportTraceServiceResponse.FromString(_exchange(connection, body_of(*ids)))
        connection.close()
    refused = response.partial_success
    assert (refused.rejected_spans, refused.error_message) == (
        5,
        "quota of this project is used up",
    )
    assert list(receiver.spans_by_id) == ids[5:]


def test_is_gone_while_down_and_back_at_the_same_port() -> None:
    """Connections are refused, not left hanging, until the cause is taken away."""
    script = always(replies.DOWN)
    with Receiver(script) as receiver:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", receiver.port), timeout=5)
        script.heal()
        _until(lambda: _accepts(receiver.port))
        assert post(receiver, body_of(b"a" * 8)) == 200


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if condition():
            return
    raise AssertionError("never came true")


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.05).close()
    except OSError:
        return False
    return True


def test_limits_the_size_of_a_request() -> None:
    """A body above the limit is a 413 and stores nothing."""
    with Receiver(always(replies.LIMIT_1_MB)) as receiver:
        assert post(receiver, body_of(b"a" * 8, name="x" * 1_100_000)) == 413
        assert post(receiver, body_of(b"a" * 8)) == 200
    assert list(receiver.spans_by_id) == [b"a" * 8]


def test_script_takes_replies_in_turn_and_heals_for_good() -> None:
    """Requests alternate; after `heal()` every one is fine."""
    script = Script(Phase(60, (replies.UNAVAILABLE, replies.OK)))
    script.start()
    first = [script.next_reply().status for _ in range(4)]
    script.heal()
    assert (first, script.next_reply()) == ([503, 200, 503, 200], replies.OK)
