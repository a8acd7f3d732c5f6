"""An OTLP/HTTP backend on loopback that fails on demand and remembers what it stored."""

from __future__ import annotations

import contextlib
import gzip
import random
import select
import socket
import struct
import threading
import time
import zlib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status as ProtoStatus

from .replies import Reply, Script

PATHS = ("/v1/traces", "/api/public/otel/v1/traces")
CONTENT_TYPE = "application/x-protobuf"
TEXT_ATTRIBUTE, CRC_ATTRIBUTE = "test.text", "test.crc"


class RefusedError(Exception):
    """The request is one that a real endpoint would refuse, whatever the script says."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass
class Stored:
    """One span as the backend holds it; a later version replaces an earlier one."""

    span: ProtoSpan
    first_seen: float
    """`time.time()` of the first arrival."""
    count: int = 0
    """How many requests carried it."""

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes as plain values."""
        return {item.key: _plain(item.value) for item in self.span.attributes}

    @property
    def is_error(self) -> bool:
        """Whether its status is ERROR, as that of a span which the drainer has closed."""
        return int(self.span.status.code) == ProtoStatus.STATUS_CODE_ERROR

    @property
    def is_intact(self) -> bool:
        """Whether the text is the one that its producer wrote."""
        attributes = self.attributes
        if CRC_ATTRIBUTE not in attributes:
            return True
        return zlib.crc32(str(attributes[TEXT_ATTRIBUTE]).encode()) == attributes[CRC_ATTRIBUTE]


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


@dataclass
class Receiver:
    """A backend: `with Receiver(Script(...)) as receiver`, then look at `spans_by_id`."""

    script: Script = field(default_factory=Script)
    authorization: str | None = None
    """The only accepted Authorization header; None accepts any."""
    spans_by_id: dict[bytes, Stored] = field(default_factory=dict)
    requests: list[tuple[float, int, int]] = field(default_factory=list)
    """(seconds since the epoch, status told, bytes on the wire) of each request."""
    refusals: list[str] = field(default_factory=list)
    """Why requests were refused beyond the script: each one is a client's bug."""

    def __post_init__(self) -> None:
        self.port = _free_port()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._connections: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._accept, daemon=True, name="receiver")

    @property
    def base_url(self) -> str:
        """Where Langfuse's SDK is pointed at."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Receiver:
        if not self.script.refuses():
            self._listener = _listen(self.port)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        self._thread.join(timeout=5)
        self._drop_connections()

    def store(self, spans: list[ProtoSpan]) -> None:
        """Keep the spans, by id."""
        now = time.time()
        with self._lock:
            for span in spans:
                stored = self.spans_by_id.setdefault(bytes(span.span_id), Stored(span, now))
                stored.span = span
                stored.count += 1

    def forget(self, connection: socket.socket) -> None:
        """A connection has ended."""
        self._connections.discard(connection)

    def wait(self, seconds: float) -> None:
        """Be silent, as a hung server is, but not longer than the test."""
        self._closing.wait(seconds)

    def _accept(self) -> None:
        while not self._closing.is_set():
            if self.script.refuses():
                self._stop_listening()
                self._closing.wait(0.02)
                continue
            self._listener = self._listener or _listen(self.port)
            if select.select([self._listener], [], [], 0.02)[0]:
                self._serve(self._listener.accept()[0])
        self._stop_listening()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self._drop_connections()

    def _serve(self, connection: socket.socket) -> None:
        self._connections.add(connection)
        threading.Thread(target=_handle, args=(connection, self), daemon=True).start()

    def _drop_connections(self) -> None:
        for connection in list(self._connections):
            reset(connection)


def _free_port() -> int:
    """A port outside the ephemeral range, so that nobody takes it while we are down."""
    for _ in range(200):
        port = random.randint(20_000, 31_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port between 20000 and 31000")


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def reset(connection: socket.socket) -> None:
    """End the connection with a RST, as a crashed or overloaded server does."""
    with contextlib.suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        connection.close()


def _handle(connection: socket.socket, receiver: Receiver) -> None:
    with contextlib.suppress(OSError, ValueError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _Handler(connection, ("127.0.0.1", 0), receiver)  # type: ignore[arg-type]
    receiver.forget(connection)
    with contextlib.suppress(OSError):
        connection.close()


class _Handler(BaseHTTPRequestHandler):
    """One connection; the replies come from the receiver's script."""

    protocol_version = "HTTP/1.1"
    server: Receiver  # type: ignore[assignment]

    def do_GET(self) -> None:
        """The page that a redirect leads to, and anything else that is only looked at."""
        self._answer(200, {"Content-Type": "text/html"}, b"<html>please log in</html>")

    def do_POST(self) -> None:
        """Take a batch, or do whatever the script says instead."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path not in PATHS:
            self.rfile.read(length)
            self._answer(200 if self.path == "/login" else 404, {}, b"")
            return
        reply = self.server.script.next_reply()
        if reply.cut == "mid_request":
            self.rfile.read(length // 2)
            self._note(0, length)
            self._abort()
            return
        body = self.rfile.read(length)
        if len(body) != length:
            self._abort()
            return
        self._reply(reply, body)

    def _reply(self, reply: Reply, body: bytes) -> None:
        try:
            self._check_authorization()
            if reply.limit_bytes and len(body) > reply.limit_bytes:
                self._note(413, len(body))
                self._answer(413, {}, b"request body is larger than 1000000 bytes")
                return
            spans = decode(self.headers.get("Content-Type"), self._encoding(), body)
        except RefusedError as error:
            if error.status != 401:
                self.server.refusals.append(str(error))
            self._note(error.status, len(body))
            self._answer(error.status, {}, str(error).encode())
            return
        if reply.store:
            self.server.store(spans[min(reply.reject_spans, len(spans)) :])
        self._note(reply.status, len(body))
        self._finish(reply, len(spans))

    def _finish(self, reply: Reply, spans: int) -> None:
        self.server.wait(reply.delay_seconds)
        if reply.cut == "before_response":
            self._abort()
            return
        headers, body = dict(reply.headers), _response_body(reply, spans)
        if reply.status == 200:
            headers.setdefault("Content-Type", CONTENT_TYPE)
        if reply.cut == "drip":
            self._answer_without_end(b"\n", pause_seconds=2)
            return
        if reply.cut == "drip_status":
            self._send_without_end(b"H", pause_seconds=2)
            return
        if reply.cut == "flood":
            self._answer_without_end(b"\n" * 2**20, pause_seconds=0.05)
            return
        if reply.cut == "mid_response":
            self._answer(reply.status, headers, body + b"\n" * 100, send_bytes=len(body))
            self._abort()
            return
        self._answer(reply.status, headers, body)

    def _answer_without_end(self, piece: bytes, pause_seconds: float) -> None:
        """An answer that never stands still for long and never comes to its end."""
        self.send_response(200)
        self.send_header("Content-Length", str(2**33))
        self.end_headers()
        self._send_without_end(piece, pause_seconds)

    def _send_without_end(self, piece: bytes, pause_seconds: float) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            self.wfile.write(piece)
            self.server.wait(pause_seconds)
        self._abort()

    def _check_authorization(self) -> None:
        wanted = self.server.authorization
        if wanted is not None and self.headers.get("Authorization") != wanted:
            raise RefusedError(401, "unknown key: check LANGFUSE_PUBLIC_KEY")

    def _encoding(self) -> str:
        return str(self.headers.get("Content-Encoding") or "identity")

    def _answer(
        self, status: int, headers: dict[str, str], body: bytes, send_bytes: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if send_bytes is None else body[:send_bytes])
        self.wfile.flush()

    def _note(self, status: int, size: int) -> None:
        self.server.requests.append((time.time(), status, size))

    def _abort(self) -> None:
        self.close_connection = True
        reset(self.connection)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the table says it."""


def _response_body(reply: Reply, spans: int) -> bytes:
    if reply.reject_spans:
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = min(reply.reject_spans, spans)
        response.partial_success.error_message = (reply.body or b"").decode()
        return bytes(response.SerializeToString())
    return b"" if reply.body is None else reply.body


def decode(content_type: str | None, encoding: str, body: bytes) -> list[ProtoSpan]:
    """The spans of a request, or the refusal that a real endpoint would give."""
    if content_type != CONTENT_TYPE:
        raise RefusedError(415, f"content type {content_type!r}")
    if encoding not in ("gzip", "identity"):
        raise RefusedError(415, f"content encoding {encoding!r}")
    try:
        raw = gzip.decompress(body) if encoding == "gzip" else body
        request = ExportTraceServiceRequest.FromString(raw)
    except (DecodeError, OSError, EOFError, zlib.error) as error:
        raise RefusedError(400, f"undecodable body: {error}") from error
    scopes = (scope for group in request.resource_spans for scope in group.scope_spans)
    spans = [span for scope in scopes for span in scope.spans]
    for span in spans:
        _check(span)
    return spans


def _check(span: ProtoSpan) -> None:
    if len(span.trace_id) != 16 or len(span.span_id) != 8:
        raise RefusedError(400, "ids must have 16 and 8 bytes")
    if len(span.parent_span_id) not in (0, 8):
        raise RefusedError(400, "a parent id must have 8 bytes")
    if not any(span.trace_id) or not any(span.span_id):
        raise RefusedError(400, "ids must not be zero")
    if not span.name:
        raise RefusedError(400, "a span needs a name")
    if not (span.start_time_unix_nano and span.end_time_unix_nano):
        raise RefusedError(400, f"{span.name}: a span needs a start and an end")
