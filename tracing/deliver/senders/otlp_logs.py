"""Log lines to an OTLP/HTTP backend's `/v1/logs`, by the answers and the splits of spans."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from tracing.deliver.senders.http import Answer, refusal
from tracing.deliver.senders.otlp_http import OtlpSender
from tracing.deliver.senders.otlp_protobuf import encode_logs
from tracing.log_line import LogLine
from tracing.spool.truncate import MARK

_NO_PLACE = frozenset({404, 405, 501})
"""The answers of a server that takes traces alone, such as Jaeger."""
_TEXTS = ("message", "exception_message", "exception_stacktrace")
_SMALLEST = 256


class OtlpLogSender(OtlpSender[LogLine]):
    """Posts log lines; those that the backend has no place for are counted, and it is said once."""

    def encode(self, carried: Sequence[LogLine]) -> bytes:
        """An `ExportLogsServiceRequest`."""
        return encode_logs(carried)

    def key(self, one: LogLine) -> Hashable:
        """Where and when it was logged: what may be cut is no part of it."""
        return *one[:3], one.logger, one.code_file, one.code_line

    def smaller(self, one: LogLine) -> tuple[LogLine, str] | None:
        """It with its longest text cut to a quarter."""
        name = max(_TEXTS, key=lambda name: len(getattr(one, name)))
        text = getattr(one, name)
        if len(text) <= _SMALLEST:
            return None
        return one._replace(**{name: text[: len(text) // 4] + MARK}), name

    def give_up(self, one: LogLine, answer: Answer) -> None:
        """Counted with the server's words."""
        self.tally.line_rejected(one, f"{answer.status}: {answer.words}")

    def reject_in_part(self, number: int, words: str) -> None:
        """As log lines."""
        self.tally.lines_rejected(number, words)

    def has_no_place(self, carried: Sequence[LogLine], answer: Answer) -> bool:
        """Whether it takes traces alone: then its log lines wait for nothing."""
        if answer.status not in _NO_PLACE:
            return False
        told = refusal("POST", self.backend.url, answer)
        self.tally.lines_not_taken(len(carried), f"{told}. {self.backend.mend}")
        return True
