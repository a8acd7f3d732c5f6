"""Spans to an OTLP/HTTP backend: ask, read the answer by its class, split, truncate, quarantine.

`deliver` returns once every span of the batch is accounted for, or raises `Unavailable` when
the batch must be tried again later; what was accepted by then is not sent again. Log lines go
the same way (`otlp_logs`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

from isal import isal_zlib

from tracing.config.backends import Backend
from tracing.deliver.senders.http import (
    Answer,
    HttpClient,
    Verdict,
    refusal,
    retry_after_seconds,
    verdict_of,
)
from tracing.deliver.senders.otlp_answer import NotOtlp, read_answer
from tracing.deliver.senders.otlp_protobuf import encode_request
from tracing.deliver.senders.sender import Unavailable
from tracing.deliver.senders.tally import Tally
from tracing.log_line import LogLine
from tracing.span import Span
from tracing.spool.truncate import truncate_largest

_ASKED_WITHOUT_A_YES = 20
_GZIP = 31
"""zlib's window bits for 32 kB in gzip's own format."""


_Carried = TypeVar("_Carried", Span, LogLine)


class OtlpSender(ABC, Generic[_Carried]):
    """Posts one signal to one OTLP/HTTP endpoint over one kept-alive connection."""

    def __init__(self, backend: Backend, tally: Tally) -> None:
        self.backend = backend
        self.tally = tally
        self._client = HttpClient(backend)
        self._accounted: set[Hashable] = set()
        self._cut: set[tuple[Hashable, str]] = set()
        self._accepts = 0
        self._asked_in_vain = 0

    def deliver(self, spans: Sequence[_Carried], /) -> None:
        """Send until every span is accepted, quarantined or counted; else raise Unavailable."""
        self._accepts = self._asked_in_vain = 0
        rejected = self._send_all([span for span in spans if self.key(span) not in self._accounted])
        if rejected and not self._accepts:
            raise Unavailable(self._refusal(rejected[0][1]), refused=True)
        for span, _ in rejected:
            for _, answer in self._send_all([span]):  # asked twice: the first was no accident
                self.give_up(span, answer)
        self._accounted.clear()
        self._cut.clear()

    @abstractmethod
    def encode(self, carried: Sequence[_Carried]) -> bytes:
        """The request that carries them."""

    @abstractmethod
    def key(self, one: _Carried) -> Hashable:
        """What tells one from another."""

    @abstractmethod
    def smaller(self, one: _Carried) -> tuple[_Carried, str] | None:
        """It with its largest value cut, and what that was; None where none is left to cut."""

    @abstractmethod
    def give_up(self, one: _Carried, answer: Answer) -> None:
        """Book one that the backend rejects for good."""

    @abstractmethod
    def reject_in_part(self, number: int, words: str) -> None:
        """Book what the backend says that it did not take of a request."""

    def has_no_place(self, carried: Sequence[_Carried], answer: Answer) -> bool:
        """Whether the backend takes nothing of this kind at all, and that is booked."""
        return False

    def _send_all(self, spans: list[_Carried]) -> list[tuple[_Carried, Answer]]:
        """Send, split where the backend asks for it; returns the single spans it rejects."""
        rejected: list[tuple[_Carried, Answer]] = []
        parts = [spans] if spans else []
        while parts:
            parts += self._send_part(parts.pop(), rejected)
        return rejected

    def _send_part(
        self, part: list[_Carried], rejected: list[tuple[_Carried, Answer]]
    ) -> list[list[_Carried]]:
        """Send one request; returns what is to be sent instead when it was not accepted."""
        try:
            body = self.encode(part)
        except Exception as error:
            return self._leave_out(part, error)
        answer = self._post(body)
        if self.has_no_place(part, answer):
            return []
        verdict = verdict_of(answer.status)
        if verdict is Verdict.ACCEPTED:
            self._accept(part, answer)
            return []
        if verdict is Verdict.RETRY:
            wait = retry_after_seconds(answer.headers, time.time())
            raise Unavailable(self._refusal(answer), retry_after_seconds=wait)
        if verdict is Verdict.REFUSED:
            raise Unavailable(self._refusal(answer), refused=True)
        if len(part) > 1:
            self._give_up_when_nothing_passes(answer)
            return _halves(part)
        if verdict is Verdict.TOO_LARGE:
            return self._truncate(part[0], answer)
        rejected.append((part[0], answer))
        return []

    def _leave_out(self, part: list[_Carried], error: Exception) -> list[list[_Carried]]:
        """Find the span that cannot be encoded, count it, and send the others."""
        if len(part) > 1:
            return _halves(part)
        self.tally.unsendable(part[0], error)
        self._accounted.add(self.key(part[0]))
        return []

    def _accept(self, part: list[_Carried], answer: Answer) -> None:
        try:
            partial = read_answer(answer)
        except NotOtlp as error:
            words = refusal("POST", self.backend.url, answer, str(error))
            raise Unavailable(words, refused=True) from error
        self._accepts += 1
        self._asked_in_vain = 0
        self._accounted.update(self.key(span) for span in part)
        if partial is not None:
            self.reject_in_part(partial.rejected, partial.message)

    def _give_up_when_nothing_passes(self, answer: Answer) -> None:
        """A backend that rejects part after part rejects everything: that is no bad span."""
        self._asked_in_vain += 1
        if verdict_of(answer.status) is Verdict.BAD and self._asked_in_vain > _ASKED_WITHOUT_A_YES:
            raise Unavailable(self._refusal(answer), refused=True)

    def _truncate(self, span: _Carried, answer: Answer) -> list[list[_Carried]]:
        """The span with its largest attribute cut to a quarter; quarantined when none is left."""
        smaller = self.smaller(span)
        if smaller is None:
            self.give_up(span, answer)
            self._accounted.add(self.key(span))
            return []
        shrunk, attribute = smaller
        if (self.key(span), attribute) not in self._cut:
            self._cut.add((self.key(span), attribute))
            self.tally.truncated(span, attribute)
        return [[shrunk]]

    def _post(self, body: bytes) -> Answer:
        backend = self.backend
        headers = {"Content-Type": "application/x-protobuf", **backend.headers}
        if backend.compression == "gzip":
            body = isal_zlib.compress(body, level=1, wbits=_GZIP)
            headers["Content-Encoding"] = "gzip"
        return self._client.request("POST", backend.url, body, headers)

    def _refusal(self, answer: Answer) -> str:
        return refusal("POST", self.backend.url, answer)


class OtlpHttpSender(OtlpSender[Span]):
    """Posts spans."""

    def encode(self, carried: Sequence[Span]) -> bytes:
        """An `ExportTraceServiceRequest`."""
        return encode_request(carried)

    def key(self, one: Span) -> Hashable:
        """Its ids."""
        return one.trace_id, one.span_id

    def smaller(self, one: Span) -> tuple[Span, str] | None:
        """It with its largest attribute cut to a quarter."""
        return truncate_largest(one)

    def give_up(self, one: Span, answer: Answer) -> None:
        """Into the quarantine."""
        self.tally.quarantined(one, f"{answer.status}: {answer.words}")

    def reject_in_part(self, number: int, words: str) -> None:
        """As spans."""
        self.tally.partially_rejected(number, words)


def _halves(part: list[_Carried]) -> list[list[_Carried]]:
    """Two halves, the first one last: parts are taken from the end."""
    middle = len(part) // 2
    return [part[middle:], part[:middle]]
