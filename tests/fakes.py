"""Small fakes named for what they do, and the helpers that tests wait and build spans with."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tracing.config.backends import OTLP_HTTP, Backend, dump
from tracing.deliver.drainer import Drainer
from tracing.deliver.pace import Pace
from tracing.log_line import LogLine
from tracing.span import Event, Link, Span
from tracing.spool.losses import Ledger
from tracing.spool.records import end_frame, header_frame, start_frame
from tracing.spool.segments import SegmentWriter

Found = TypeVar("Found")

ROOT = Path(__file__).resolve().parents[1]

START_NANOS = 1_700_000_000_000_000_000

FAST = Pace(linger_seconds=0.05, poll_seconds=0.01, shortest_pause_seconds=0.02)
"""Batches do not wait long to grow, and pauses are short."""


def until(look: Callable[[], Found], seconds: float = 20.0) -> Found:
    """What `look` returns once that is true; fails when it is not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        time.sleep(0.01)
    return found


def make_span(number: int = 1, name: str = "", **changes: Any) -> Span:
    """An ended span whose ids, name and times tell its number."""
    start = START_NANOS + number * 1_000_000_000
    span = Span(
        trace_id=(7).to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        parent_span_id=b"",
        name=name or f"span {number}",
        start_time_unix_nano=start,
        end_time_unix_nano=start + 500_000_000,
        attributes={"number": number},
        scope_name="livekit-agents",
        resource={"service.name": "test"},
    )
    return span._replace(**changes)


@dataclass(frozen=True)
class Reply:
    """How the server answers one request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_off: bool = False
    """Announce a longer body than is sent, and hang up."""
    hang: bool = False
    """Say nothing until the server is closed."""


OK = Reply()


def partial_success(rejected: int, message: str) -> Reply:
    """An accepted request of which some spans were not taken."""
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = message
    return Reply(body=response.SerializeToString())


@dataclass(frozen=True)
class Request:
    """One request as it came in; header names are lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    """Decompressed."""
    spans: tuple[Span, ...]
    reply: Reply

    @property
    def names(self) -> list[str]:
        """The names of its spans."""
        return [span.name for span in self.spans]


class RecordingServer:
    """A real OTLP/HTTP server on loopback: decodes and keeps what it gets, answers as told.

    `replies` are given to the next requests in turn; after them `reply` decides, which is a
    Reply or a function from the request's spans to one.
    """

    def __init__(
        self, *replies: Reply, listening: bool = True, tls: ssl.SSLContext | None = None
    ) -> None:
        self.requests: list[Request] = []
        self.replies = list(replies)
        self.reply: Reply | Callable[[tuple[Span, ...]], Reply] = OK
        self.logs: list[LogLine] = []
        """The log lines that came to /v1/logs, which no reply of those above is for."""
        self.logs_reply = OK
        """What every request with log lines gets."""
        self.log_requests = 0
        self.authorization: str | None = None
        """The only Authorization header that is accepted; None accepts any."""
        self.refusal = Reply(401, b"wrong key")
        """What any other Authorization gets."""
        self.connections = 0
        self._http = _HttpServer(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self._http.recorder = self
        self._http.server_bind()
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._thread: threading.Thread | None = None
        self.closing = threading.Event()
        if listening:
            self.listen()

    def __enter__(self) -> RecordingServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        if self._thread is not None:
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    @property
    def url(self) -> str:
        """The base URL, without a path."""
        return f"{self._scheme}://127.0.0.1:{self._http.server_address[1]}"

    def listen(self) -> None:
        """Take connections from now on; until then the port refuses them."""
        self._http.server_activate()
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def accepted(self) -> list[Span]:
        """The spans of every request that was answered with a complete 2xx, in order."""
        return [
            span
            for request in self.requests
            if request.reply.status < 300 and not (request.reply.cut_off or request.reply.hang)
            for span in request.spans
        ]

    def accepted_names(self) -> list[str]:
        """Their names, sorted."""
        return sorted(span.name for span in self.accepted)

    def choose(self, headers: Mapping[str, str], spans: tuple[Span, ...]) -> Reply:
        """The reply to the request that has just come."""
        if self.authorization not in (None, headers.get("authorization")):
            return self.refusal
        if self.replies:
            return self.replies.pop(0)
        return self.reply(spans) if callable(self.reply) else self.reply

    def take_logs(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """Keep the lines of a request, unless they are refused."""
        self.log_requests += 1
        is_wrong = self.authorization not in (None, headers.get("authorization"))
        reply = self.refusal if is_wrong else self.logs_reply
        if reply.status < 300:
            self.logs += decode_logs(body)
        return reply


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    recorder: RecordingServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HttpServer

    def setup(self) -> None:
        super().setup()
        self.server.recorder.connections += 1
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers["content-length"]))
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        recorder = self.server.recorder
        if self.path.endswith("/v1/logs"):
            self.answer(recorder.take_logs(headers, body))
            return
        is_otlp = headers.get("content-type") == "application/x-protobuf"
        spans = decode_request(body) if is_otlp else ()
        reply = recorder.choose(headers, spans)
        recorder.requests.append(Request(self.path, headers, body, spans, reply))
        self.answer(reply)

    def answer(self, reply: Reply) -> None:
        """Say it."""
        recorder = self.server.recorder
        if reply.hang:
            recorder.closing.wait()
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body) + 100 * reply.cut_off))
        self.end_headers()
        self.wfile.write(reply.body)
        self.close_connection = reply.cut_off

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def decode_request(body: bytes) -> tuple[Span, ...]:
    """The spans of an `ExportTraceServiceRequest`, by OpenTelemetry's own generated classes."""
    request = ExportTraceServiceRequest.FromString(body)
    return tuple(
        _span(span, scoped.scope, _attributes(group.resource.attributes))
        for group in request.resource_spans
        for scoped in group.scope_spans
        for span in scoped.spans
    )


def decode_logs(body: bytes) -> list[LogLine]:
    """The lines of an `ExportLogsServiceRequest`, by OpenTelemetry's own generated classes."""
    request = ExportLogsServiceRequest.FromString(body)
    return [
        _line(record, scoped.scope.name, _attributes(group.resource.attributes))
        for group in request.resource_logs
        for scoped in group.scope_logs
        for record in scoped.log_records
    ]


def _line(record: Any, logger: str, resource: dict[str, Any]) -> LogLine:
    found = _attributes(record.attributes)
    return LogLine(
        record.trace_id,
        record.span_id,
        record.time_unix_nano,
        record.severity_number,
        record.severity_text,
        logger,
        _value(record.body),
        *(found.get(f"exception.{key}", "") for key in ("type", "message", "stacktrace")),
        code_file=found.get("code.file.path", ""),
        code_line=found.get("code.line.number", 0),
        code_function=found.get("code.function.name", ""),
        resource=resource,
    )


def _span(span: Any, scope: Any, resource: dict[str, Any]) -> Span:
    return Span(
        span.trace_id,
        span.span_id,
        span.parent_span_id,
        span.name,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _attributes(span.attributes),
        tuple(Event(e.name, e.time_unix_nano, _attributes(e.attributes)) for e in span.events),
        tuple(Link(x.trace_id, x.span_id, _attributes(x.attributes)) for x in span.links),
        span.status.code,
        span.status.message,
        span.kind,
        span.trace_state,
        span.dropped_attributes_count,
        span.dropped_events_count,
        span.dropped_links_count,
        scope.name,
        scope.version,
        resource,
    )


def _attributes(items: Any) -> dict[str, Any]:
    return {item.key: _value(item.value) for item in items}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind) if kind else None


def otlp_backend(url: str, **changes: Any) -> Backend:
    """An OTLP backend at a RecordingServer, or anywhere."""
    options: dict[str, Any] = {"timeout_seconds": 10.0, "mend": "check THE SETTING", **changes}
    return Backend("otlp", OTLP_HTTP, url=f"{url}/v1/traces", **options)


class RecordingTally:
    """Keeps what a sender books about spans that were not taken as they were."""

    def __init__(self) -> None:
        self.booked: list[tuple[Any, ...]] = []

    def truncated(self, carried: Span | LogLine, attribute: str) -> None:
        told = carried.logger if isinstance(carried, LogLine) else carried.name
        self.booked.append(("truncated", told, attribute))

    def quarantined(self, span: Span, words: str) -> None:
        self.booked.append(("quarantined", span.name, words))

    def partially_rejected(self, number: int, words: str) -> None:
        self.booked.append(("partially rejected", number, words))

    def lines_rejected(self, number: int, words: str) -> None:
        self.booked.append(("partially rejected lines", number, words))

    def line_rejected(self, line: LogLine, words: str) -> None:
        self.booked.append(("rejected", line.message, words))

    def lines_not_taken(self, number: int, words: str) -> None:
        self.booked.append(("not taken", number, words))


def run_python(code: str, *arguments: object, cwd: Path | None = None, seconds: float = 60) -> str:
    """What a program of its own prints; fails with what it says when it ends badly."""
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=seconds,
    )
    assert result.returncode == 0, f"exit status {result.returncode}: {result.stderr}"
    return result.stdout


@contextlib.contextmanager
def running_python(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A program of its own, killed in the end; we talk with it by its standard streams."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def write_segment(
    directory: Path,
    *spans: Span,
    number: int = 1,
    tail: bytes = b"",
    labels: Mapping[str, Any] | None = None,
) -> Path:
    """A segment as a dead process left it: spans that ended, spans that did not, raw bytes.

    Without `labels` an older version's.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    resource = {"service.name": "test"}
    told = {} if labels is None else {"labels": dict(labels)}
    frames = [header_frame({"pid": 41, "host": "here", "resource": resource, **told})]
    for span in spans:
        ended = end_frame(span, span.attributes)
        frames.append(start_frame(span) if span.is_open else ended)
    path = directory / f"1700000000000.41-abcdef.{number:06d}.seg"
    path.write_bytes(b"".join(frames) + tail)
    return path


def open_segment(directory: Path, ledger: Ledger | None = None) -> SegmentWriter:
    """A segment that this process is writing."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    resource = {"service.name": "test"}
    writer = SegmentWriter(directory, resource=resource, ledger=ledger or Ledger(directory))
    writer.open()
    return writer


def append(writer: SegmentWriter, *spans: Span) -> None:
    """Write spans that ended."""
    for span in spans:
        writer.append(end_frame(span, span.attributes))


DRAIN = "from tracing.deliver.drainer import main; main()"


@contextlib.contextmanager
def running_drainer(directory: Path, *backends: Backend) -> Iterator[subprocess.Popen[str]]:
    """A drainer in a process of its own, as a keeper starts it."""
    with running_python(DRAIN, directory, 256 * 2**20, 7 * 86400.0) as process:
        assert process.stdin is not None
        process.stdin.write(dump([*backends]))
        process.stdin.close()
        yield process


@contextlib.contextmanager
def draining(spool: Path, *backends: Backend, **options: Any) -> Iterator[threading.Thread]:
    """A drainer that runs in a thread meanwhile."""
    drainer = Drainer(spool, [*backends], **options)
    thread = threading.Thread(target=drainer.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        drainer.stopping.set()
        thread.join(15)
        assert not thread.is_alive()


def call(spans: int = 3, **attributes: Any) -> None:
    """A call through LiveKit's own tracer."""
    from livekit.agents.telemetry import tracer as livekit_tracer

    with livekit_tracer.start_as_current_span("job_entrypoint", attributes=attributes):
        for number in range(spans):
            with livekit_tracer.start_as_current_span(f"step {number}"):
                pass
