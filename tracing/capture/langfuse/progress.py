"""What is written of a call ahead of its end: the names that came late, and how far it is."""

from __future__ import annotations

import time

from tracing import stamps
from tracing.account.call import Call
from tracing.capture.processor import TracingProcessor
from tracing.harmless.filter import without_known_content
from tracing.limits import IN_PROGRESS_SECONDS, forget_oldest
from tracing.span import Attributes, Span

_MAX_CALLS = 4096


class Progress:
    """Writes the start of each call again where there is news of it; asked at each checkpoint."""

    def __init__(self, processor: TracingProcessor) -> None:
        self._processor = processor
        self._names: dict[bytes, Attributes] = {}
        """By a call's outermost span: the names that were written last."""
        self._said: dict[bytes, str] = {}
        """By the same, of those that last: what was said when that was written, once."""

    def checkpoint(self) -> None:
        """Write what there is to write; not on the voice loop."""
        self._processor.record_open_spans()
        for open_span, record, call in self._processor.open_calls():
            own, root = call.identity.own, record.span_id
            names = own.bare if call.is_withheld else own.attributes
            is_news = self._is_news(record, call)
            if is_news:
                self._said[root] = "" if call.is_withheld else call.conversation()
                forget_oldest(self._said, _MAX_CALLS)
            if is_news or names != self._names.get(root):
                told = {**names, **without_known_content(record.attributes)}
                if self._said.get(root) and not call.is_withheld:
                    told[stamps.CONVERSATION] = self._said[root]
                once = {stamps.IN_PROGRESS: True} if is_news else {}
                self._processor.begin_again(open_span, record, told, once)
            self._names[root] = names
            forget_oldest(self._names, _MAX_CALLS)

    def _is_news(self, record: Span, call: Call) -> bool:
        """Whether the call has become one that lasts; one that shows nothing is none yet."""
        age_nanos = time.time_ns() - record.start_time_unix_nano
        if record.span_id in self._said or age_nanos < IN_PROGRESS_SECONDS * 1e9:
            return False
        return call.is_withheld or bool(call.conversation())
