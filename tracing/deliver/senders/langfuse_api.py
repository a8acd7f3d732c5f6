"""Langfuse's JSON API, for what is no span; plain HTTP.

The `langfuse` package has a client for it. Importing that costs more memory than the drainer's
whole budget of 40 MiB, so the same requests are made here without it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from tracing.config.backends import Backend
from tracing.deliver.senders.http import (
    Answer,
    HttpClient,
    Verdict,
    refusal,
    retry_after_seconds,
    verdict_of,
)
from tracing.deliver.senders.sender import Unavailable


class Rejected(Exception):
    """Langfuse will never take this one document; its own words."""


class LangfuseApi:
    """Asks Langfuse, and tells what is wrong with one document from what is wrong with all."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._client = HttpClient(backend)

    def ask(self, method: str, url: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """What Langfuse answers; raises Rejected for this document, else Unavailable.

        A yes without a body is empty; one that is no JSON object is somebody else's, and none.
        """
        headers = {**self._backend.headers, "Content-Type": "application/json"}
        answer = self._client.request(method, url, json.dumps(document).encode(), headers)
        verdict = verdict_of(answer.status)
        found = _object(answer) if answer.body.strip() else {}
        if verdict is Verdict.ACCEPTED and found is not None:
            return found
        if verdict is Verdict.ACCEPTED:
            raise Unavailable(refusal(method, url, answer, "not in JSON"), refused=True)
        words = refusal(method, url, answer)
        if verdict is Verdict.RETRY:
            wait = retry_after_seconds(answer.headers, time.time())
            raise Unavailable(words, retry_after_seconds=wait)
        if _is_about_the_document(answer):
            raise Rejected(words)
        raise Unavailable(words, refused=True)


_ABOUT_THE_DOCUMENT = frozenset({400, 404, 405, 409, 413, 422})


def _is_about_the_document(answer: Answer) -> bool:
    """Whether Langfuse itself says so: a page in HTML is from another server, or a proxy."""
    return answer.status in _ABOUT_THE_DOCUMENT and _object(answer) is not None


def _object(answer: Answer) -> dict[str, Any] | None:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
