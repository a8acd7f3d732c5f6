"""Scores to Langfuse, one request each, from the drain: durable like the spans they are read off.

One score per request is what every version of Langfuse takes (version 5 of its own client sends
lists, which servers up to 4.16 reject).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracing.config.backends import Backend
from tracing.deliver.senders.langfuse_api import LangfuseApi, Rejected
from tracing.deliver.senders.sender import Unavailable
from tracing.deliver.tally import Tally
from tracing.dialects.scores import documents_of
from tracing.span import Span


class ScoreSender:
    """Posts the scores of spans; what was posted of a batch is not posted again."""

    def __init__(self, backend: Backend, tally: Tally) -> None:
        self._url = backend.url
        self._options = backend.sender_options
        self._tally = tally
        self._api = LangfuseApi(backend)
        self._accounted: set[str] = set()

    def deliver(self, spans: Sequence[Span]) -> None:
        """Post every score, or raise Unavailable; one that is rejected is counted."""
        for span in spans:
            for document in self._documents(span):
                self._post(document)
        self._accounted.clear()

    def _documents(self, span: Span) -> list[dict[str, Any]]:
        try:
            return documents_of(span, **self._options)
        except Exception as error:
            if span.span_id.hex() not in self._accounted:
                self._accounted.add(span.span_id.hex())
                self._tally.unsendable(span, error)
            return []

    def _post(self, document: dict[str, Any]) -> None:
        if document["id"] in self._accounted:
            return
        try:
            answered = self._api.ask("POST", self._url, document)
            if "id" not in answered:
                words = f"POST {self._url} was answered by something else: no score's id"
                raise Unavailable(words, refused=True)
        except Rejected as error:
            self._tally.score_rejected(f"{document['name']}: {error}")
        self._accounted.add(document["id"])
