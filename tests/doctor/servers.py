"""Servers on loopback that play one fault each: Langfuse with its API, and bare sockets."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.fakes import Reply
from tests.langfuse_server import PUBLIC_KEY, SECRET_KEY, LangfuseServer, Refusal

HEALTH = "/api/public/health"
PROJECTS = "/api/public/projects"
OBSERVATIONS = "/api/public/v2/observations"
TRACE = "/api/public/traces/"

Storage = Literal["events", "tables", "both, one empty"]
"""Servers of version 4 keep one table of events; older ones keep traces and observations, and may
answer for the newer table that they do not fill."""


class ApiServer(LangfuseServer):
    """Langfuse with what the doctor asks of its API beside the spans that it takes."""

    def __init__(self, storage: Storage = "events", *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.version = "4.16.0"
        self.project: dict[str, Any] = {"id": "p1", "name": "Clinic", "metadata": {}}
        self.seconds_ahead = 0.0
        """How far its clock is before ours."""
        self.shows = True
        """Whether what it took can be read."""
        self.lets_delete = True
        self.deleted: list[str] = []
        self._storage = storage
        self._http = serve(self.reply, tls=tls, now=lambda: time.time() + self.seconds_ahead)
        self._scheme = "https" if tls else "http"

    def __exit__(self, *arguments: object) -> None:
        super().__exit__(*arguments)
        self._http.shutdown()
        self._http.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The variables that lead here."""
        keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY}
        return {**keys, "LANGFUSE_BASE_URL": self.url}

    def reply(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one request."""
        return self.receive(method, path, headers, body, self._answer_api)

    def _answer_api(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        parts = urlsplit(path)
        if method == "GET" and parts.path == HEALTH:
            return _json({"status": "OK", "version": self.version})
        if method not in ("GET", "DELETE"):
            return self._answer(method, path, headers, body)
        self._check_key(headers.get("authorization", ""))
        if parts.path == PROJECTS:
            return _json({"data": [self.project]})
        if parts.path == OBSERVATIONS and self._storage != "tables":
            [trace_id] = parse_qs(parts.query)["traceId"]
            found = self._observations(trace_id) if self._storage == "events" else []
            return _json({"data": found, "meta": {}})
        if parts.path.startswith(TRACE) and method == "DELETE" and self.lets_delete:
            self.deleted.append(parts.path.removeprefix(TRACE))
            return _json({"message": "Trace deleted successfully"})
        if parts.path.startswith(TRACE) and method == "GET" and self._storage != "events":
            trace_id = parts.path.removeprefix(TRACE)
            if self._observations(trace_id):
                return _json({"id": trace_id, "observations": self._observations(trace_id)})
        raise Refusal(404, "not found")

    def _observations(self, trace_id: str) -> list[dict[str, Any]]:
        shown = self.trace(bytes.fromhex(trace_id)) if self.shows else []
        time_of = "2026-11-29T00:00:00.000Z"
        return [
            {
                "id": span.span_id.hex(),
                "traceId": trace_id,
                "startTime": time_of,
                "endTime": time_of,
                "projectId": self.project["id"],
                "type": "SPAN",
                "parentObservationId": None,
                "isRootObservation": True,
                "name": span.name,
            }
            for span in shown
        ]


def _json(document: Any) -> Reply:
    return Reply(200, json.dumps(document).encode(), {"Content-Type": "application/json"})


Answer = Callable[[str, str, Mapping[str, str], bytes], Reply]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Answer
    now: Callable[[], float]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


def serve(
    answer: Answer,
    *,
    tls: ssl.SSLContext | None = None,
    now: Callable[[], float] = time.time,
) -> _Server:
    """A server whose clock is `now`, running."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.answer, server.now = answer, now
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        reply = self.server.answer(self.command, self.path, headers, body)
        self.send_response_only(reply.status)
        self.send_header("Date", formatdate(self.server.now(), usegmt=True))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_DELETE = do_CONNECT = _handle

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def listening(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that does with every connection what `talk` does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=_talk, args=(talk, server.accept()[0])).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def _talk(talk: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        talk(connection)


def says_nothing(connection: socket.socket) -> None:
    """Take the request, and wait until the client has enough."""
    while connection.recv(2**16):
        pass


def drips(connection: socket.socket) -> None:
    """Answer with a header that never ends, a byte now and then."""
    connection.recv(2**16)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Waits: ")
    while True:
        connection.sendall(b".")
        time.sleep(0.1)


def speaks_grpc(connection: socket.socket) -> None:
    """Say hello as HTTP/2 does, and hang up on what is none."""
    connection.sendall(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00")
    connection.recv(2**16)
    connection.sendall(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")


def hangs_up(connection: socket.socket) -> None:
    """Take the request, and leave."""
    connection.recv(2**16)


_CA = """
[ca]
default_ca = here
[here]
new_certs_dir = .
database = index.txt
serial = serial
default_md = sha256
policy = policy
x509_extensions = names
[policy]
commonName = supplied
[names]
subjectAltName = {names}
"""


def make_certificate(directory: Path, names: str = "IP:127.0.0.1", until: int = 2090) -> Path:
    """The certificate of a server that signs itself, with its key in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    directory.mkdir()
    (directory / "ca.cnf").write_text(_CA.format(names=names))
    (directory / "index.txt").touch()
    (directory / "serial").write_text("01\n")
    request = "req -newkey rsa:2048 -nodes -keyout key.pem -out req.pem -subj /CN=server"
    dates = f"-startdate 20200101000000Z -enddate {until}0101000000Z"
    sign = "ca -batch -selfsign -config ca.cnf -keyfile key.pem -in req.pem -out cert.pem -notext"
    for command in (request, f"{sign} {dates}"):
        subprocess.run([openssl, *command.split()], cwd=directory, check=True, capture_output=True)
    both = directory / "server.pem"
    both.write_text((directory / "key.pem").read_text() + (directory / "cert.pem").read_text())
    return both


def tls_of(certificate: Path) -> ssl.SSLContext:
    """A server's TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context
