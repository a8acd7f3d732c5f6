"""What counts as a yes to spans: OTLP's own answers as servers send them, and nothing else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tracing.deliver.senders.http import Answer
from tracing.deliver.senders.otlp_answer import NotOtlp, PartialSuccess, read_answer

PROTOBUF, JSON = "application/x-protobuf", "application/json"


def answer(body: bytes, content_type: str = "") -> Answer:
    """A 200 with this body; without a content type where none is given."""
    return Answer(200, {"Content-Type": content_type} if content_type else {}, body)


def response(rejected: int = 0, message: str = "") -> bytes:
    """A response with a partial success, as a server writes it."""
    proto = ExportTraceServiceResponse()
    proto.partial_success.rejected_spans = rejected
    proto.partial_success.error_message = message
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", PROTOBUF),  # the collector, Jaeger, Tempo, New Relic
        (b"", ""),
        (b"", "text/plain; charset=utf-8"),
        (b"", "text/html; charset=utf-8"),  # what Flask calls nothing
        (b"\n", JSON),
        (response(), PROTOBUF),
        (response(), "application/octet-stream"),
        (b"{}", JSON),
        (b"{}", "application/json; charset=utf-8"),
        (b"{}", PROTOBUF),  # the request's type given back
        (b"{}", "text/plain; charset=utf-8"),  # what Go calls unnamed JSON
        (b"{}", ""),
        (b'{"partialSuccess": {}}', JSON),
        (b'{"partialSuccess": null}', JSON),
        (b'{"id": "7", "name": "otel-ingestion-job", "data": {}}', JSON),  # Langfuse
        (b'{"status": "ok"}', "application/vnd.example+json"),
        (b'"OK"', JSON),
        (b"null", JSON),
    ],
)
def test_answers_of_servers_that_take_spans(body: bytes, content_type: str) -> None:
    """Protobuf or JSON, or nothing at all."""
    assert read_answer(answer(body, content_type)) is None


@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (b"<!doctype html><title>Sign in</title>", "text/html; charset=utf-8", "text/html"),
        (b"<html>", "", "what has no content type"),
        (b"<html>", PROTOBUF, PROTOBUF),
        (b"<html>", JSON, JSON),
        (b"{", JSON, JSON),
        (b"{ %{x} }", "text/plain", "text/plain"),
        (b"It works!", "text/plain", "text/plain"),
        (b"OK", "", "what has no content type"),
        (b"<?xml version='1.0'?><ok/>", "application/xml", "application/xml"),
        (b"\xff\x00<html>what?</html>\xff\xff", PROTOBUF, PROTOBUF),
        (b"\x0a\x05\x08", PROTOBUF, PROTOBUF),
        (b"\xff" * 20, PROTOBUF, PROTOBUF),
        (b"\x10\x01", "", "what has no content type"),
        (b"[" * 100_000, JSON, JSON),
    ],
)
def test_answers_of_others(body: bytes, content_type: str, kind: str) -> None:
    """A page, words, half of an answer: no yes, whatever it says that it is."""
    with pytest.raises(NotOtlp, match=f"^no OTLP answer but {kind}$"):
        read_answer(answer(body, content_type))


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (response(5, "quota"), PROTOBUF, PartialSuccess(5, "quota")),
        (response(1), "", PartialSuccess(1, "")),
        (response(0, "a warning"), PROTOBUF, PartialSuccess(0, "a warning")),
        (response(300, "Zürich " * 50), PROTOBUF, PartialSuccess(300, "Zürich " * 50)),
        (response(-1, "odd"), PROTOBUF, PartialSuccess(-1, "odd")),
        (
            b'{"partialSuccess": {"rejectedSpans": "5", "errorMessage": "quota"}}',
            JSON,
            PartialSuccess(5, "quota"),
        ),
        (b'{"partial_success": {"rejected_spans": 1}}', JSON, PartialSuccess(1, "")),
        (b'{"partialSuccess": {"errorMessage": "soon"}}', "", PartialSuccess(0, "soon")),
    ],
)
def test_partial_success_is_read(body: bytes, content_type: str, expected: PartialSuccess) -> None:
    """What a server rejects is understood, in protobuf and in JSON."""
    assert read_answer(answer(body, content_type)) == expected


@given(st.binary(max_size=200), st.sampled_from([PROTOBUF, JSON, "text/html", ""]))
@settings(max_examples=200, deadline=None)
def test_any_body_is_a_yes_or_none(body: bytes, content_type: str) -> None:
    """A server's body, whatever it is, fails in one way only."""
    with contextlib.suppress(NotOtlp):
        read_answer(answer(body, content_type))
