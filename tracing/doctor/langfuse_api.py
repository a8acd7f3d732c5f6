"""Langfuse's own API client, on the very way that spans take: proxy, certificates, deadline.

Its package is imported here and only here: that takes a second and 50 MiB, starts no thread, and
is never in the drainer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, NamedTuple

import httpx
from langfuse.api import LangfuseAPI

from tracing.config.backends import Backend
from tracing.config.langfuse import Langfuse
from tracing.deliver.senders.http import Answer, HttpClient
from tracing.deliver.senders.sender import Unavailable
from tracing.doctor.reach import STEP_SECONDS
from tracing.safe_text import get_logger

logger = get_logger(__name__)

_ONCE: Any = {"max_retries": 0}
"""Options of every call: whoever looks wants to know at once."""
_NOT_PASSED_ON = ("host", "accept-encoding", "connection", "content-length")
_YOUNG = timedelta(minutes=10)
"""How far back a trace of just now is looked for."""


class Project(NamedTuple):
    """The project that a pair of keys opens."""

    id: str
    name: str


class Api:
    """Asks one server about one project; raises Unavailable where no whole answer comes."""

    def __init__(self, langfuse: Langfuse, backend: Backend) -> None:
        further = langfuse.headers if isinstance(langfuse.headers, Mapping) else {}
        keys = langfuse.public_key, langfuse.secret_key
        self._way = _Way(backend)
        self._http = httpx.Client(transport=self._way, headers=dict(further), auth=keys)
        self.base_url = langfuse.base_url
        self._client = LangfuseAPI(
            base_url=self.base_url, username=keys[0], password=keys[1], httpx_client=self._http
        )

    @property
    def latest(self) -> Answer:
        """The answer to the latest call."""
        return self._way.latest

    def version(self) -> str:
        """The server's, of one that is healthy; "" for what does not answer as Langfuse does."""
        health = self._document(lambda: self._client.health.health(request_options=_ONCE))
        return str(_member(health, "version") or "")

    def project(self) -> Project | None:
        """The project of the keys; None where they open none."""
        found = self._document(lambda: self._client.projects.get(request_options=_ONCE))
        for project in _member(found, "data") or ():
            return Project(str(_member(project, "id")), str(_member(project, "name")))
        return None

    def has_trace(self, trace_id: str) -> bool:
        """Whether a trace can be read, of the newer storage or the older one.

        A server may answer for the newer one that it does not fill; the client has no call for
        the older one any more.
        """
        since = datetime.now(timezone.utc) - _YOUNG
        found = self._document(
            lambda: self._client.observations.get_many(
                trace_id=trace_id, from_start_time=since, limit=1, request_options=_ONCE
            )
        )
        if _member(found, "data"):
            return True
        url = f"{self.base_url}/api/public/traces/{trace_id}"
        return bool(_member(self._document(lambda: self._http.get(url)), "id") == trace_id)

    def delete_trace(self, trace_id: str) -> bool:
        """Have a trace deleted, which takes the server its time; whether it will be."""
        call = partial(self._client.trace.delete, trace_id, request_options=_ONCE)
        return self._document(call) is not None

    def _document(self, call: Callable[[], Any]) -> Any:
        """What a call brought, as it came; None for a refusal, and for what is no JSON.

        The client's models demand what servers of other versions do not send.
        """
        try:
            call()
        except Unavailable:
            raise
        except Exception as error:
            logger.debug("Langfuse's client refuses an answer: %s", error)
        try:
            return json.loads(self.latest.body) if self.latest.status == httpx.codes.OK else None
        except ValueError:
            return None


def _member(document: Any, name: str) -> Any:
    return document.get(name) if isinstance(document, Mapping) else None


class _Way(httpx.BaseTransport):
    """How httpx reaches the server: as the sender of spans does."""

    def __init__(self, backend: Backend) -> None:
        self._client = HttpClient(backend, timeout_seconds=STEP_SECONDS)
        self.latest = Answer(0, {}, b"")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Ask once."""
        headers = {k: v for k, v in request.headers.items() if k not in _NOT_PASSED_ON}
        answer = self._client.request(request.method, str(request.url), request.read(), headers)
        self.latest = answer
        kind = {"content-type": answer.content_type}
        return httpx.Response(answer.status, headers=kind, content=answer.body)
