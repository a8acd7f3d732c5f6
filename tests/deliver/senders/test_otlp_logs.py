"""Log lines to an OTLP backend: every answer leads where it should, and nothing waits in vain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from tests.fakes import OK, RecordingServer, RecordingTally, Reply
from tests.fakes import decode_logs as decoded
from tracing.config.backends import LOG_LINES, OTLP_LOGS, Backend
from tracing.deliver.senders.otlp_logs import OtlpLogSender
from tracing.deliver.senders.otlp_protobuf import encode_logs, severity_number
from tracing.deliver.senders.sender import Unavailable
from tracing.log_line import LogLine
from tracing.spool.truncate import MARK

LINE = LogLine(
    trace_id=(7).to_bytes(16, "big"),
    span_id=(2).to_bytes(8, "big"),
    time_unix_nano=1_700_000_000_000_000_001,
    level=40,
    level_name="ERROR",
    logger="my.app",
    message="no table für zwei",
    exception_type="ValueError",
    exception_message="two",
    exception_stacktrace="Traceback: two",
    code_file="agent.py",
    code_line=12,
    code_function="book",
    resource={"service.name": "agent"},
)
PLAIN = LogLine(
    trace_id=LINE.trace_id,
    span_id=LINE.span_id,
    time_unix_nano=LINE.time_unix_nano + 1,
    level=30,
    level_name="WARNING",
    logger="other",
    message="",
    resource=LINE.resource,
)


def line(number: int, **changes: Any) -> LogLine:
    """A line that tells its number."""
    return PLAIN._replace(message=f"line {number}", **changes)


def deliver(server: RecordingServer, lines: Sequence[LogLine], *more: Sequence[LogLine]) -> Any:
    """What one sender books for batches, and what it raises for the last."""
    backend = Backend(
        "otlp-logs",
        OTLP_LOGS,
        url=f"{server.url}/v1/logs",
        headers={"X-Key": "abc"},
        carries=LOG_LINES,
        beside="otlp",
        mend="Set THE OTHER",
    )
    tally = RecordingTally()
    sender = OtlpLogSender(backend, tally)  # type: ignore[arg-type]
    error = None
    for batch in (lines, *more):
        try:
            error = sender.deliver(batch)
        except Unavailable as raised:
            error = raised
    return tally.booked, error


def test_request_is_what_opentelemetry_defines(server: RecordingServer) -> None:
    """Every field by the generated classes: a group for each logger, severity, ids, attributes."""
    request = ExportLogsServiceRequest.FromString(encode_logs([LINE, PLAIN]))
    assert request.SerializeToString() == _by_generated_classes().SerializeToString()
    assert deliver(server, [LINE, PLAIN]) == ([], None)
    severities = {"my.app": 17, "other": 13}
    assert server.logs == [one._replace(level=severities[one.logger]) for one in (LINE, PLAIN)]


def _by_generated_classes() -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    _put(group.resource.attributes, "service.name", "agent")
    for given in (LINE, PLAIN):
        scoped = group.scope_logs.add()
        scoped.scope.name = given.logger
        record = scoped.log_records.add(
            time_unix_nano=given.time_unix_nano,
            observed_time_unix_nano=given.time_unix_nano,
            severity_number=17 if given is LINE else 13,  # type: ignore[arg-type]
            severity_text=given.level_name,
            flags=1,
            trace_id=given.trace_id,
            span_id=given.span_id,
        )
        record.body.string_value = given.message
        if given is LINE:
            _put(record.attributes, "exception.type", given.exception_type)
            _put(record.attributes, "exception.message", given.exception_message)
            _put(record.attributes, "exception.stacktrace", given.exception_stacktrace)
            _put(record.attributes, "code.file.path", given.code_file)
            _put(record.attributes, "code.line.number", given.code_line)
            _put(record.attributes, "code.function.name", given.code_function)
    return request


def _put(attributes: Any, key: str, value: str | int) -> None:
    item = attributes.add(key=key)
    if isinstance(value, int):
        item.value.int_value = value
    else:
        item.value.string_value = value


@pytest.mark.parametrize(
    ("level", "severity"),
    [(0, 1), (10, 5), (15, 8), (20, 9), (21, 10), (30, 13), (40, 17), (50, 21), (99, 24), (-5, 1)],
)
def test_level_is_the_severity_that_opentelemetry_gives_it(level: int, severity: int) -> None:
    """Levels of one's own lie between the known ones."""
    assert severity_number(level) == severity


@pytest.mark.parametrize("half", ["\ud800", "a\udfff"])
def test_half_a_character_is_replaced(half: str) -> None:
    """A message that no protobuf can hold."""
    [found] = decoded(encode_logs([line(1)._replace(message=half)]))
    assert found.message == half.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("status", [404, 405, 501])
def test_backend_without_a_place_for_log_lines_is_no_nuisance(
    server: RecordingServer, status: int
) -> None:
    """They are booked with the mend and wait for nothing; it is asked again, for it may learn."""
    server.logs_reply = Reply(status, b"page not found")
    booked, error = deliver(server, [line(1), line(2)], [line(3)])
    words = f"POST {server.url}/v1/logs answered {status}: page not found. Set THE OTHER"
    assert (booked, error) == ([("not taken", 2, words), ("not taken", 1, words)], None)
    assert server.log_requests == 2


@pytest.mark.parametrize(
    ("status", "refused"), [(401, True), (403, True), (302, True), (503, False)]
)
def test_lines_wait_as_spans_do(server: RecordingServer, status: int, refused: bool) -> None:
    """For a key, and for a backend that is away; then each comes once."""
    server.logs_reply = Reply(status, b"no")
    booked, error = deliver(server, [line(1)])
    assert (booked, error.refused) == ([], refused)
    assert str(error) == f"POST {server.url}/v1/logs answered {status}: no"
    server.logs_reply = OK
    assert deliver(server, [line(1)]) == ([], None)
    assert [found.message for found in server.logs] == ["line 1"]


def test_line_that_is_rejected_costs_only_itself(server: RecordingServer) -> None:
    """The batch is halved until it stands alone, and it is asked twice."""

    class Choosy(RecordingServer):
        """Rejects one line."""

        def take_logs(self, headers: Any, body: bytes) -> Reply:
            """400 for a request that holds it."""
            if b"line 3" in body:
                return Reply(400, b"bad line")
            return super().take_logs(headers, body)

    with Choosy() as choosy:
        booked, error = deliver(choosy, [line(number) for number in range(1, 6)])
        assert sorted(found.message for found in choosy.logs) == [
            "line 1",
            "line 2",
            "line 4",
            "line 5",
        ]
    assert (booked, error) == ([("rejected", "line 3", "400: bad line")], None)


def test_line_that_is_too_large_is_cut(server: RecordingServer) -> None:
    """Its longest text to a quarter, as often as it takes; else it is booked."""

    class Small(RecordingServer):
        """Takes no request beyond so many bytes."""

        most = 1_000

        def take_logs(self, headers: Any, body: bytes) -> Reply:
            """413 for a larger one."""
            return (
                Reply(413, b"large") if len(body) > self.most else super().take_logs(headers, body)
            )

    long = LINE._replace(exception_stacktrace="x" * 10_000)
    with Small() as small:
        booked, error = deliver(small, [long])
        assert [found.exception_stacktrace for found in small.logs] == ["x" * 628 + MARK]
        name = "exception_stacktrace"
        assert (booked, error) == ([("truncated", "my.app", name)], None)
    with Small() as small:
        small.most = 10
        booked, error = deliver(small, [LINE])
        assert (booked, error) == ([("rejected", LINE.message, "413: large")], None)


@pytest.mark.parametrize("as_json", [False, True])
def test_what_a_backend_says_that_it_left_out_is_booked(
    server: RecordingServer, as_json: bool
) -> None:
    """`partial_success` of log lines, in protobuf or JSON."""
    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = 2
    response.partial_success.error_message = "too old"
    body, kind = response.SerializeToString(), "application/x-protobuf"
    if as_json:
        body = b'{"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": "too old"}}'
        kind = "application/json"
    server.logs_reply = Reply(200, body, {"Content-Type": kind})
    assert deliver(server, [line(1), line(2), line(3)]) == (
        [("partially rejected lines", 2, "too old")],
        None,
    )
