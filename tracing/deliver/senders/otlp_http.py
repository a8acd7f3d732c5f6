"""One batch to one backend: ask, read the answer by its class, split, truncate, quarantine.

`deliver` returns once every span of the batch is accounted for, or raises `Unavailable` when
the batch must be tried again later; what was accepted by then is not sent again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

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
from tracing.deliver.tally import Tally
from tracing.span import Span
from tracing.spool.truncate import truncate_largest

_ASKED_WITHOUT_A_YES = 20
_GZIP = 31
"""zlib's window bits for 32 kB in gzip's own format."""


class OtlpHttpSender:
    """Posts spans to one OTLP/HTTP endpoint over one kept-alive connection."""

    def __init__(self, backend: Backend, tally: Tally) -> None:
        self._backend = backend
        self._tally = tally
        self._client = HttpClient(backend)
        self._accounted: set[tuple[bytes, bytes]] = set()
        self._cut: set[tuple[tuple[bytes, bytes], str]] = set()
        self._accepts = 0
        self._asked_in_vain = 0

    def deliver(self, spans: Sequence[Span]) -> None:
        """Send until every span is accepted, quarantined or counted; else raise Unavailable."""
        self._accepts = self._asked_in_vain = 0
        rejected = self._send_all([span for span in spans if _key(span) not in self._accounted])
        if rejected and not self._accepts:
            raise Unavailable(self._refusal(rejected[0][1]), refused=True)
        for span, _ in rejected:
            for _, answer in self._send_all([span]):  # asked twice: the first was no accident
                self._tally.quarantined(span, f"{answer.status}: {answer.words}")
        self._accounted.clear()
        self._cut.clear()

    def _send_all(self, spans: list[Span]) -> list[tuple[Span, Answer]]:
        """Send, split where the backend asks for it; returns the single spans it rejects."""
        rejected: list[tuple[Span, Answer]] = []
        parts = [spans] if spans else []
        while parts:
            parts += self._send_part(parts.pop(), rejected)
        return rejected

    def _send_part(self, part: list[Span], rejected: list[tuple[Span, Answer]]) -> list[list[Span]]:
        """Send one request; returns what is to be sent instead when it was not accepted."""
        try:
            body = encode_request(part)
        except Exception as error:
            return self._leave_out(part, error)
        answer = self._post(body)
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

    def _leave_out(self, part: list[Span], error: Exception) -> list[list[Span]]:
        """Find the span that cannot be encoded, count it, and send the others."""
        if len(part) > 1:
            return _halves(part)
        self._tally.unsendable(part[0], error)
        self._accounted.add(_key(part[0]))
        return []

    def _accept(self, part: list[Span], answer: Answer) -> None:
        try:
            partial = read_answer(answer)
        except NotOtlp as error:
            words = refusal("POST", self._backend.url, answer, str(error))
            raise Unavailable(words, refused=True) from error
        self._accepts += 1
        self._asked_in_vain = 0
        self._accounted.update(_key(span) for span in part)
        if partial is not None:
            self._tally.partially_rejected(partial.rejected_spans, partial.message)

    def _give_up_when_nothing_passes(self, answer: Answer) -> None:
        """A backend that rejects part after part rejects everything: that is no bad span."""
        self._asked_in_vain += 1
        if verdict_of(answer.status) is Verdict.BAD and self._asked_in_vain > _ASKED_WITHOUT_A_YES:
            raise Unavailable(self._refusal(answer), refused=True)

    def _truncate(self, span: Span, answer: Answer) -> list[list[Span]]:
        """The span with its largest attribute cut to a quarter; quarantined when none is left."""
        smaller = truncate_largest(span)
        if smaller is None:
            self._tally.quarantined(span, f"{answer.status}: {answer.words}")
            self._accounted.add(_key(span))
            return []
        shrunk, attribute = smaller
        if (_key(span), attribute) not in self._cut:
            self._cut.add((_key(span), attribute))
            self._tally.truncated(span, attribute)
        return [[shrunk]]

    def _post(self, body: bytes) -> Answer:
        backend = self._backend
        headers = {"Content-Type": "application/x-protobuf", **backend.headers}
        if backend.compression == "gzip":
            body = isal_zlib.compress(body, level=1, wbits=_GZIP)
            headers["Content-Encoding"] = "gzip"
        return self._client.request("POST", backend.url, body, headers)

    def _refusal(self, answer: Answer) -> str:
        return refusal("POST", self._backend.url, answer)


def _halves(part: list[Span]) -> list[list[Span]]:
    """Two halves, the first one last: parts are taken from the end."""
    middle = len(part) // 2
    return [part[middle:], part[:middle]]


def _key(span: Span) -> tuple[bytes, bytes]:
    return span.trace_id, span.span_id
