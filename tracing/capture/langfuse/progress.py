"""What is written of a call ahead of its end: the names that came late, and what was said so far.

A call that goes on is shown by the first version that says so, and by no other before its end;
of one whose process dies the latest is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from tracing import stamps
from tracing.account.call import Call
from tracing.capture.processor import TracingProcessor
from tracing.capture.told.beginnings import begin_again, open_calls
from tracing.limits import IN_PROGRESS_SECONDS, forget_oldest
from tracing.span import Attributes, Span

_MAX_CALLS = 4096
_BYTES_PER_SECOND = 16_384
"""What a conversation that is written again with all before it may take; a turn of a long call
takes seconds, and LiveKit's own span of it repeats as much."""


class _Told(NamedTuple):
    """What was written of a call."""

    names: Attributes = {}
    said: str = ""
    utterances: int = 0
    due: float = 0.0
    """When what is said next may be written; seconds of the clock."""
    lasts: bool = False
    """Whether it was said that the call goes on."""


_NOTHING = _Told()


class Progress:
    """Writes the start of each call again where there is news of it; asked at each checkpoint.

    `clock` gives seconds since the Unix epoch.
    """

    def __init__(self, processor: TracingProcessor, clock: Callable[[], float] = time.time) -> None:
        self._processor = processor
        self._clock = clock
        self._told: dict[bytes, _Told] = {}
        """By a call's outermost span."""

    def checkpoint(self) -> None:
        """Write what there is to write; not on the voice loop."""
        self._processor.record_open_spans()
        for open_span, record, call in open_calls(self._processor):
            before = self._told.get(record.span_id, _NOTHING)
            told = self._by_now(record, call, before)
            if told == before:
                continue
            once = {stamps.IN_PROGRESS: True} if told.lasts and not before.lasts else {}
            call.shown = told.said
            begin_again(self._processor, open_span, record, call, once)
            self._told[record.span_id] = told
            forget_oldest(self._told, _MAX_CALLS)

    def _by_now(self, record: Span, call: Call, before: _Told) -> _Told:
        own, now = call.identity.own, self._clock()
        is_old = now - record.start_time_unix_nano / 1e9 >= IN_PROGRESS_SECONDS
        if call.is_withheld:
            return _Told(own.bare, lasts=is_old or before.lasts)
        # One that shows nothing is no call in progress yet.
        lasts = before.lasts or (is_old and call.user_was_heard)
        told, utterances = before._replace(names=own.attributes, lasts=lasts), call.utterances
        is_due = now >= before.due or lasts != before.lasts
        if utterances == before.utterances or not is_due:
            return told
        said = call.conversation()
        due = now + max(1.0, len(said) / _BYTES_PER_SECOND)
        return told._replace(said=said, utterances=utterances, due=due)
