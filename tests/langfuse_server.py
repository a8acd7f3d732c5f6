"""A stand-in for Langfuse on loopback: takes what version 4.16 takes, refuses what it refuses.

Traces as OTLP, scores as events or one by one, media in three steps; the object store that media
goes to is a server of its own, as in every installation. What it keeps is what a person could
look at.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from google.protobuf.message import DecodeError

from tests.dialects.langfuse_fields import claimed_of
from tests.fakes import Reply, decode_request
from tracing.otlp_json import OtlpJsonError, decode
from tracing.span import Span

TRACES = "/api/public/otel/v1/traces"
SCORES = "/api/public/scores"
INGESTION = "/api/public/ingestion"
MEDIA = "/api/public/media"
PUBLIC_KEY, SECRET_KEY = "pk-lf-test", "sk-lf-test"
AUDIO_TYPES = {
    *("audio/mpeg", "audio/mp3", "audio/wav", "audio/ogg", "audio/oga", "audio/aac"),
    *("audio/mp4", "audio/flac", "audio/opus", "audio/webm"),
}
NOW = "now"
"""The time of a score that was posted by itself: `POST /api/public/scores` reads none."""
MAX_MEDIA_BYTES = 10**9
TOKEN = re.compile(r"@@@langfuseMedia:type=([^|]+)\|id=([^|]+)\|source=([^@]+)@@@")
_WRONG_KEYS = "Invalid credentials. Confirm that you've configured the correct host."


class Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        body = json.dumps({"message": message, "error": "InvalidRequestError"}).encode()
        self.reply = Reply(status, body, {"Content-Type": "application/json", **(headers or {})})


@dataclass
class Media:
    """One recording, by its id."""

    content_type: str
    length: int
    sha256: str
    links: list[tuple[str, str | None, str]]
    """Trace, observation if it is linked to one, field."""
    content: bytes | None = None
    upload_status: int | None = None


@dataclass(frozen=True)
class Asked:
    """One request as it came in; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class LangfuseServer:
    """Langfuse and its object store; `replies` by path come before what it would answer."""

    def __init__(self) -> None:
        self.secret_key = SECRET_KEY
        self.spans: dict[tuple[bytes, bytes], Span] = {}
        """By trace and span id; a later version replaces the row."""
        self.claimed: list[tuple[str, set[str]]] = []
        """The observations whose metadata had keys that it takes for its own, and which."""
        self.versions: list[Span] = []
        """Every version of every span: what was filed by its session once, stays there."""
        self.scores: dict[str, dict[str, Any]] = {}
        """By id; `timestamp` is the time that is shown: that of the request, or of the event."""
        self.event_replies: dict[str, tuple[int, str]] = {}
        """By an event's id: the status and the words that it gets once in place of its own."""
        self.media: dict[str, Media] = {}
        self.asked: list[Asked] = []
        self.replies: dict[str, list[Reply]] = {}
        self.requests_left: int | None = None
        """How many requests the rate limit still allows; None for no limit."""
        self.proxy_limit_bytes: int | None = None
        """The largest compressed body that a proxy in front lets through."""
        self._lock = threading.Lock()
        self._web = _serve(self, self._answer)
        self._store = _serve(self, self._store_answer)

    def __enter__(self) -> LangfuseServer:
        return self

    def __exit__(self, *_: object) -> None:
        for http in (self._web, self._store):
            http.shutdown()
            http.server_close()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._web.server_address[1]}"

    @property
    def settings(self) -> dict[str, str]:
        """The arguments of `setup_tracer` that lead here."""
        return {"public_key": PUBLIC_KEY, "secret_key": SECRET_KEY, "base_url": self.url}

    def of(self, path: str) -> list[Asked]:
        """The requests for a path, or below it."""
        return [asked for asked in self.asked if asked.path.startswith(path)]

    def trace(self, trace_id: bytes) -> list[Span]:
        """The rows of one trace."""
        return [span for (trace, _), span in self.spans.items() if trace == trace_id]

    def filed(self, attribute: str) -> set[Any]:
        """Under what calls are found by an attribute, such as their session's: all versions count.

        A span without a session is filed under what LiveKit calls the conversation.
        """
        found = [span.attributes for span in self.versions]
        if attribute == "langfuse.session.id":
            return {told.get(attribute) or told.get("gen_ai.conversation.id") for told in found}
        return {told.get(attribute) for told in found}

    def scores_by_name(self, subject: str) -> dict[str, Any]:
        """The values of the scores of an observation, or of a trace as a whole, by name."""
        return {
            score["name"]: score["value"]
            for score in self.scores.values()
            if (score.get("observationId") or score["traceId"]) == subject
        }

    def playable(self, span: Span) -> bytes | None:
        """The audio that a person can play on a span's page, if its metadata refers to some."""
        text = str(span.attributes.get("langfuse.observation.metadata.recording", ""))
        found = TOKEN.fullmatch(text)
        media = self.media.get(found[2]) if found else None
        if found is None or media is None or media.upload_status != 200:
            return None
        return media.content if found[1] == media.content_type else None

    def receive(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, answer: _Answer
    ) -> Reply:
        """Answer one request, and note it."""
        with self._lock:
            planned = self.replies.get(urlsplit(path).path)
            try:
                reply = planned.pop(0) if planned else answer(method, path, headers, body)
            except Refusal as refusal:
                reply = refusal.reply
            self.asked.append(Asked(method, path, headers, body, reply.status))
            return reply

    def _answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if self.proxy_limit_bytes is not None and len(body) > self.proxy_limit_bytes:
            return Reply(413, b"<html><h1>413 Request Entity Too Large</h1></html>")
        route = "/".join(urlsplit(path).path.split("/")[:6])
        take = {
            ("POST", TRACES): self._take_spans,
            ("POST", SCORES): self._take_score,
            ("POST", INGESTION): self._take_events,
            ("POST", MEDIA): self._take_media,
        }.get((method, urlsplit(path).path))
        if method == "PATCH" and route.startswith(f"{MEDIA}/"):
            take = self._take_upload_status
        if take is None:
            known = (TRACES, SCORES, INGESTION, MEDIA)
            raise Refusal(405 if urlsplit(path).path in known else 404, "Method not allowed")
        self._check_key(headers.get("authorization", ""))
        self._check_rate()
        return take(path, headers, body)

    def _check_key(self, authorization: str) -> None:
        """The secret decides; a wrong public key is only a warning in the server's log."""
        kind, _, credentials = authorization.partition(" ")
        if kind == "Bearer":
            raise Refusal(403, "Access denied: this route needs a secret key")
        if kind != "Basic":
            raise Refusal(401, "No authorization header")
        secret = base64.b64decode(credentials).decode().partition(":")[2]
        if secret != self.secret_key:
            raise Refusal(401, _WRONG_KEYS)

    def _check_rate(self) -> None:
        if self.requests_left is None:
            return
        if not self.requests_left:
            self.requests_left = None  # the next minute
            headers = {"Retry-After": "1", "X-RateLimit-Remaining": "0"}
            raise Refusal(429, "Rate limit exceeded", headers)
        self.requests_left -= 1

    def _take_spans(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        kind = headers.get("content-type", "")
        if "application/x-protobuf" not in kind and "application/json" not in kind:
            raise Refusal(400, "Invalid content type")
        version = headers.get("x-langfuse-ingestion-version", "")
        if version and not (version.isdigit() and int(version) <= 4):
            raise Refusal(400, "Unsupported ingestion version")
        if headers.get("content-encoding") == "gzip":
            body = _unzipped(body)
        spans = _spans(kind, body)
        for span in spans:
            _check_ids(span)
        self.versions += spans
        self.claimed += [(span.name, found) for span in spans if (found := claimed_of(span))]
        for span in spans:
            self.spans[span.trace_id, span.span_id] = span
        return Reply(200, b"{}")

    def _take_score(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        score = _document(headers, body)
        _check_score(score)
        score_id = score.get("id") or f"made up {len(self.scores)}"
        self.scores[score_id] = {**score, "timestamp": NOW}
        return Reply(200, json.dumps({"id": score_id}).encode())

    def _take_events(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Take a batch of events, each with an answer of its own; an event's time is kept."""
        batch = _document(headers, body).get("batch")
        if not isinstance(batch, list):
            raise Refusal(400, "Invalid request data: batch")
        successes, errors = [], []
        for event in batch:
            try:
                if event["id"] in self.event_replies:
                    status, words = self.event_replies.pop(event["id"])
                    raise Refusal(status, words)
                _check_event(event)
                self.scores[event["body"]["id"]] = {
                    **event["body"],
                    "timestamp": event["timestamp"],
                }
                successes.append({"id": event["id"], "status": 201})
            except Refusal as refusal:
                answer = {"id": event["id"], "status": refusal.reply.status}
                errors.append({**answer, "message": str(refusal), "error": "InvalidRequestError"})
        return Reply(207, json.dumps({"successes": successes, "errors": errors}).encode())

    def _take_media(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        asked = _document(headers, body)
        _check_media(asked)
        media_id = asked["sha256Hash"].replace("+", "-").replace("/", "_")[:22]
        kept = self.media.get(media_id)
        if kept is None:
            kept = Media(asked["contentType"], asked["contentLength"], asked["sha256Hash"], [])
            self.media[media_id] = kept
        link = (asked["traceId"], asked.get("observationId"), asked["field"])
        if link not in kept.links:
            kept.links.append(link)
        url = None
        if kept.upload_status != 200:
            port = self._store.server_address[1]
            url = f"http://127.0.0.1:{port}/bucket/{media_id}?X-Amz-Signature=signed"
        return Reply(201, json.dumps({"mediaId": media_id, "uploadUrl": url}).encode())

    def _take_upload_status(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        media_id, said = path.rpartition("/")[2], _document(headers, body)
        if media_id not in self.media:
            raise Refusal(404, "Media asset not found")
        if not isinstance(said.get("uploadHttpStatus"), int) or "uploadedAt" not in said:
            raise Refusal(400, "Invalid request data")
        self.media[media_id].upload_status = said["uploadHttpStatus"]
        return Reply(200, b"{}")

    def _store_answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        """Take the bytes that were announced, and no others; S3 speaks XML."""
        media = self.media[urlsplit(path).path.rpartition("/")[2]]
        signed = parse_qs(urlsplit(path).query) == {"X-Amz-Signature": ["signed"]}
        if method != "PUT" or not signed or "authorization" in headers:
            return Reply(403, b"<Error><Code>AccessDenied</Code></Error>")
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        announced = (media.content_type, str(media.length), media.sha256)
        names = ("content-type", "content-length", "x-amz-checksum-sha256")
        if tuple(headers.get(name) for name in names) != announced or digest != media.sha256:
            return Reply(400, b"<Error><Code>BadDigest</Code></Error>")
        media.content = body
        return Reply(200)


def _unzipped(body: bytes) -> bytes:
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise Refusal(400, "Failed to decompress gzip content") from error


def _spans(kind: str, body: bytes) -> tuple[Span, ...]:
    try:
        if "json" in kind:
            return tuple(decode(json.loads(body)))
        return decode_request(body)
    except (DecodeError, OtlpJsonError, ValueError) as error:
        raise Refusal(400, "Failed to parse OTel Protobuf Trace") from error


def _check_ids(span: Span) -> None:
    lengths = (len(span.trace_id), len(span.span_id), len(span.parent_span_id))
    if lengths[:2] != (16, 8) or lengths[2] not in (0, 8):
        raise Refusal(400, "Invalid trace: one id of one span spoils the batch")


def _document(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    if "application/json" not in headers.get("content-type", ""):
        raise Refusal(400, "Invalid request data: expected object, received string")
    try:
        document = json.loads(body)
    except ValueError as error:
        raise Refusal(400, "Invalid JSON") from error
    if not isinstance(document, dict):
        raise Refusal(400, "Invalid request data: expected object, received array")
    return document


_VALUES: Mapping[str | None, Callable[[Any], bool]] = {
    "NUMERIC": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "BOOLEAN": lambda value: value in (0, 1) and not isinstance(value, bool),
    "CATEGORICAL": lambda value: isinstance(value, str),
    None: lambda value: isinstance(value, (int, float, str)) and not isinstance(value, bool),
}


def _check_score(score: Mapping[str, Any]) -> None:
    texts = ("id", "traceId", "sessionId", "observationId", "comment", "environment")
    if not all(isinstance(score.get(key), (str, type(None))) for key in texts):
        raise Refusal(400, "Invalid request data: expected string")
    if not isinstance(score.get("name"), str) or not score["name"]:
        raise Refusal(400, "Invalid request data: name")
    takes = _VALUES.get(score.get("dataType"))
    if takes is None or not takes(score.get("value")):
        raise Refusal(400, "Invalid request data: value")
    trace, session = score.get("traceId"), score.get("sessionId")
    if bool(trace) == bool(session) or (score.get("observationId") and not trace):
        raise Refusal(400, "Provide exactly one of traceId, sessionId")


def _check_event(event: Mapping[str, Any]) -> None:
    if event.get("type") != "score-create" or not isinstance(event.get("timestamp"), str):
        raise Refusal(400, "Invalid request data: type or timestamp")
    _check_score(event.get("body") or {})


def _check_media(asked: Mapping[str, Any]) -> None:
    length, digest = asked.get("contentLength"), asked.get("sha256Hash")
    if not isinstance(length, int) or not 0 < length <= MAX_MEDIA_BYTES:
        raise Refusal(400, f"File size must be less than {MAX_MEDIA_BYTES} bytes")
    if not isinstance(digest, str) or len(digest) != 44:
        raise Refusal(400, "Invalid request data: sha256Hash")
    if asked.get("contentType") not in AUDIO_TYPES or not asked.get("traceId"):
        raise Refusal(400, "Invalid request data: contentType or traceId")
    if asked.get("field") not in ("input", "output", "metadata"):
        raise Refusal(400, "Invalid request data: field")


_Answer = Callable[[str, str, Mapping[str, str], bytes], Reply]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    langfuse: LangfuseServer
    answer: _Answer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


def _serve(langfuse: LangfuseServer, answer: _Answer) -> _Server:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.langfuse, server.answer = langfuse, answer  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _handle(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        server = self.server
        reply = server.langfuse.receive(self.command, self.path, headers, body, server.answer)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PUT = do_PATCH = _handle

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
