"""Scores to Langfuse from the drain, in batches of events: durable like the spans they tell of.

An event keeps the time of what it is about, which `POST /api/public/scores` drops. Where a
server refuses events, each score is a request of its own, which every version takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tracing.config.backends import Backend
from tracing.deliver.senders.http import Verdict, verdict_of
from tracing.deliver.senders.langfuse_api import LangfuseApi, Rejected
from tracing.deliver.senders.sender import Unavailable
from tracing.deliver.senders.tally import Tally
from tracing.dialects.scores import documents_of
from tracing.span import Span

_EVENTS_PER_REQUEST = 100
_OF_THE_KEYS = frozenset({401, 403})


class ScoreSender:
    """Posts the scores of spans; what was posted of a batch is not posted again."""

    def __init__(self, backend: Backend, tally: Tally) -> None:
        self._url = backend.url
        self._events_url = f"{backend.url.removesuffix('/scores')}/ingestion"
        self._options = backend.sender_options
        self._tally = tally
        self._api = LangfuseApi(backend)
        self._accounted: set[str] = set()
        self._takes_events = True

    def deliver(self, spans: Sequence[Span]) -> None:
        """Post every score, or raise Unavailable; one that is rejected is counted."""
        found = [document for span in spans for document in self._documents(span)]
        left = {d["id"]: d for d in found if d["id"] not in self._accounted}
        for batch in _batches(list(left.values())):
            self._post(batch)
        self._accounted.clear()

    def _documents(self, span: Span) -> list[dict[str, Any]]:
        try:
            return documents_of(span, **self._options)
        except Exception as error:
            if span.span_id.hex() not in self._accounted:
                self._accounted.add(span.span_id.hex())
                self._tally.unsendable(span, error)
            return []

    def _post(self, batch: list[dict[str, Any]]) -> None:
        """Post a batch as events; one by one where the server takes no events but takes those."""
        if self._takes_events:
            try:
                answered = self._ask_for_events(batch)
            except (Rejected, Unavailable) as error:
                if isinstance(error, Unavailable) and not error.refused:
                    raise
            else:
                self._settle(batch, answered)
                return
        for document in batch:
            self._post_one(document)
        self._takes_events = False

    def _ask_for_events(self, batch: list[dict[str, Any]]) -> dict[str, Any]:
        """What the server says of each event; raises what `ask` raises, for no such answer too."""
        answered = self._api.ask("POST", self._events_url, {"batch": list(map(_event, batch))})
        if not all(isinstance(answered.get(key), list) for key in ("successes", "errors")):
            words = f"POST {self._events_url} was answered by something else: no events' status"
            raise Unavailable(words, refused=True)
        return answered

    def _settle(self, batch: list[dict[str, Any]], answered: dict[str, Any]) -> None:
        """Account for what was taken or is rejected for good; raise Unavailable for the rest."""
        names = {document["id"]: document["name"] for document in batch}
        self._accounted.update(_ids(answered["successes"]))
        waits, refused = "said nothing of them", False
        for error in _objects(answered["errors"]):
            status, words = _status(error), _words(error)
            if verdict_of(status) is Verdict.RETRY or status in _OF_THE_KEYS:
                waits, refused = f"answered {status}: {words}", status in _OF_THE_KEYS
            elif error.get("id") in names:
                self._accounted.add(error["id"])
                told = f"{names[error['id']]}: POST {self._events_url} answered {status}: {words}"
                self._tally.score_rejected(told)
        left = names.keys() - self._accounted
        if left:
            words = f"POST {self._events_url}, for {len(left)} of {len(batch)} events, {waits}"
            raise Unavailable(words, refused=refused)

    def _post_one(self, document: dict[str, Any]) -> None:
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


def _batches(documents: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for first in range(0, len(documents), _EVENTS_PER_REQUEST):
        yield documents[first : first + _EVENTS_PER_REQUEST]


def _event(document: dict[str, Any]) -> dict[str, Any]:
    """A score as an event, whose own time is the score's."""
    body = {key: value for key, value in document.items() if key != "timestamp"}
    return {
        "id": document["id"],
        "type": "score-create",
        "timestamp": document["timestamp"],
        "body": body,
    }


def _objects(answers: Iterable[Any]) -> list[dict[str, Any]]:
    return [answer for answer in answers if isinstance(answer, dict)]


def _ids(answers: Iterable[Any]) -> set[str]:
    return {str(answer.get("id")) for answer in _objects(answers)}


def _status(answer: dict[str, Any]) -> int:
    """The event's own status; 500, which is asked again, where it has none."""
    status = answer.get("status")
    return status if isinstance(status, int) else 500


def _words(answer: dict[str, Any]) -> str:
    found = answer.get("message") or answer.get("error") or "(no words)"
    return " ".join(str(found).split())[:300]
