"""Where the spans of a job belong: below its root, also where set-up came too late for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace import Span as SdkSpan

from tracing import names
from tracing.limits import forget_oldest
from tracing.span import Attributes, Span

_MAX_ROOTS = 256


class Roots:
    """The roots of this process's jobs, and the traces that are hung below them.

    `current_job` gives the id of the job that is current; None outside of jobs.
    """

    def __init__(self, current_job: Callable[[], str | None]) -> None:
        self._current_job = current_job
        self.moved: dict[bytes, Span] = {}
        """By trace id: the root that the parentless spans of that trace are hung below."""
        self._by_job: dict[str, Span] = {}
        self._substitutes: dict[bytes, SdkSpan] = {}
        self._stamps: dict[bytes, Attributes] = {}

    def has(self, job_id: str) -> bool:
        """Whether this job's root span is known here."""
        return job_id in self._by_job

    def in_place(self, record: Span, span: ReadableSpan) -> Span:
        """The span in its call's trace, below its call's root."""
        if not record.parent_span_id:
            self._find(record, span)
        root = self.moved.get(record.trace_id)
        if root is None:
            return record
        parent = record.parent_span_id or root.span_id
        return record._replace(trace_id=root.trace_id, parent_span_id=parent)

    def recorded_trace_id(self, trace_id: int) -> bytes:
        """The id under which a trace is written: that of its job's root, where it was moved."""
        key = trace_id.to_bytes(16, "big")
        moved = self.moved.get(key)
        return moved.trace_id if moved else key

    def stamp(self, job_id: str, attributes: Attributes) -> None:
        """Give a job's root span, when it ends, attributes that no redaction applies to."""
        root = self._by_job.get(job_id)
        if root is not None and attributes:
            self._stamps[root.span_id] = attributes

    def take_stamps(self, span_id: bytes) -> Attributes:
        """What `stamp` gave the root with this id; once."""
        return self._stamps.pop(span_id, {})

    def substitute(self, job_id: str, record: Span, root: Any) -> None:
        """Make an open span the root of a job whose own was not recorded.

        The job's other parentless spans are hung below it.
        """
        self._by_job[job_id] = record
        self._substitutes[record.trace_id] = root

    def end_substitute(self, trace_id: bytes) -> None:
        """The job says that it is over: end the root that was begun for it, if one was."""
        root = self._substitutes.pop(trace_id, None)
        if root is not None:
            root.end()

    def end_substitutes(self) -> None:
        """At the process's end: end the roots whose jobs did not say that they ended."""
        for root in list(self._substitutes.values()):
            root.end()
        self._substitutes.clear()

    def _find(self, record: Span, span: ReadableSpan) -> None:
        """Note a job's root; note where another parentless span of that job belongs."""
        scope = span.instrumentation_scope
        if scope is None or scope.name != names.SCOPE:
            return
        job_id = self._current_job()
        if job_id is None:
            return
        root = self._by_job.get(job_id)
        if record.name == names.JOB_ENTRYPOINT:
            self._by_job[job_id] = record
        elif root is not None and root.trace_id != record.trace_id and not span.end_time:
            self.moved[record.trace_id] = root
        forget_oldest(self._by_job, _MAX_ROOTS)
        forget_oldest(self.moved, _MAX_ROOTS)
