"""Which call this code runs in, wherever it runs, and the writing down of what it says."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace

from tracing.account.call import Call
from tracing.account.told.prompts import Prompt
from tracing.account.told.words import MAX_NAME
from tracing.capture.jobs import current_job_id
from tracing.capture.processor import TracingProcessor
from tracing.capture.told.beginnings import begin_again, open_root
from tracing.span import AttributeValue, as_number
from tracing.spool import losses


class SpokenOf:
    """A call as the application speaks of it: what it says is on disk when it has said it.

    It may be kept, and used in any thread, until the call's root ends.
    """

    def __init__(self, processor: TracingProcessor, call: Call, trace_id: int) -> None:
        self._processor = processor
        self._call = call
        self._trace_id = trace_id

    @property
    def trace_id(self) -> str:
        """The id of its trace, 32 hex digits."""
        return self._processor.roots.recorded_trace_id(self._trace_id).hex()

    @property
    def is_over(self) -> bool:
        """Whether nothing can be said of it any more."""
        return self._call.words.is_over

    def is_new(self, problem: str) -> bool:
        """Whether a problem of what is said of this call was not complained of yet."""
        known = self._call.words.problems
        if problem in known or len(known) >= _MAX_PROBLEMS:
            return False
        known.add(problem)
        return True

    def set(
        self,
        user_id: str,
        tags: tuple[str, ...],
        metadata: Mapping[str, AttributeValue],
        outcome: str,
    ) -> int:
        """Take what is given; returns how much of it was left out or cut."""
        call, words, lost = self._call, self._call.words, 0
        if user_id:
            session = call.session(_id(trace.get_current_span()))
            call.set_identity(user_id=user_id, session=session)
        if tags:
            lost += words.tag(tags)
        if metadata:
            lost += words.describe(metadata)
        if outcome:
            lost += words.conclude(outcome)
        return self._written(lost)

    def score(self, name: str, value: float | str, comment: str) -> int:
        """Score the call, now; returns how much of it was left out or cut."""
        return self._written(self._call.words.score(name, value, comment, time.time_ns()))

    def event(self, name: str, attributes: Mapping[str, Any]) -> int:
        """Note on the current span of the call, else on its root, what happens now."""
        now, processor, span = time.time_ns(), self._processor, trace.get_current_span()
        call = processor.call(span.get_span_context().trace_id)
        if not span.is_recording() or call is not self._call:
            found = open_root(processor, self._call)
            span = found[0] if found is not None else trace.INVALID_SPAN
        kept = self._call.words.happened(name, attributes, now, _id(span).hex())
        if kept is None:
            return self._counted(1)
        span.add_event(name[:MAX_NAME], kept, now)
        processor.begin_above(span.get_span_context().span_id)
        return self._written(0)

    def use_prompt(self, prompt: Prompt) -> None:
        """Link the calls to a model that follow to a prompt."""
        masked = prompt._replace(name=self._processor.redaction.document(prompt.name))
        self._call.use_prompt(masked, _id(trace.get_current_span()))

    def _written(self, lost: int) -> int:
        found = open_root(self._processor, self._call)
        if found is not None:
            begin_again(self._processor, *found, self._call)
        return self._counted(lost)

    def _counted(self, lost: int) -> int:
        if lost:
            self._processor.ledger.count(losses.LEFT_OUT, lost)
        return lost


_MAX_PROBLEMS = 32


def find_call(processor: TracingProcessor) -> SpokenOf | None:
    """The call of the current span, else of the current job; None in none.

    A span of a trace of the application's own tells of no call, nor does one that is not sampled.
    """
    trace_id = trace.get_current_span().get_span_context().trace_id
    call = processor.call(trace_id)
    if call is None or not call.is_call:
        root = processor.roots.of_job(current_job_id())
        trace_id = as_number(root.trace_id) if root is not None else 0
        call = processor.call(trace_id)
    return SpokenOf(processor, call, trace_id) if call is not None and call.is_call else None


def _id(span: trace.Span) -> bytes:
    return span.get_span_context().span_id.to_bytes(8, "big")
