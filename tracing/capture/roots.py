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

    `current_job` gives the id of the job that is current; None outside of jobs. A parent that is
    remote is nobody's here: what is below it begins the call, or continues it in a trace from
    outside. `continued` hears of a root that goes there: as it was, and as it is from then on.
    """

    def __init__(
        self,
        current_job: Callable[[], str | None],
        continued: Callable[[Span, Span], None] = lambda root, moved: None,
    ) -> None:
        self._current_job = current_job
        self._continued = continued
        self.moved: dict[bytes, Span] = {}
        """By trace id: the root that the outermost spans of that trace are hung below."""
        self._with_session: dict[bytes, None] = {}
        """The traces in which a session has begun."""
        self._by_job: dict[str, Span] = {}
        self._substitutes: dict[bytes, SdkSpan] = {}
        self._stamps: dict[bytes, Attributes] = {}

    def of_job(self, job_id: str | None) -> Span | None:
        """A job's root span, as it is recorded; None where it is not known here."""
        return self._by_job.get(job_id) if job_id is not None else None

    def has(self, job_id: str) -> bool:
        """Whether this job's root span is known here."""
        return job_id in self._by_job

    def root(self, job_id: str | None) -> Span | None:
        """The root of a job as it is recorded; without an id that of the only job there was."""
        if job_id is not None:
            return self._by_job.get(job_id)
        known = list(self._by_job.values())
        return known[0] if len(known) == 1 else None

    def in_place(self, record: Span, span: ReadableSpan) -> Span:
        """The span in its call's trace, below its call's root."""
        outermost = is_outermost(span)
        if outermost:
            self._find(record, span)
        if record.name == names.AGENT_SESSION:
            self._with_session[record.trace_id] = None
            forget_oldest(self._with_session, _MAX_ROOTS)
        root = self.moved.get(record.trace_id)
        if root is None:
            return record
        parent = root.span_id if outermost else record.parent_span_id
        if record.span_id == root.span_id:
            parent = root.parent_span_id
        return record._replace(trace_id=root.trace_id, parent_span_id=parent)

    def for_call(self, record: Span, span: ReadableSpan) -> Span:
        """A span in its place as its call sees it: the call's root has no parent there."""
        if not record.parent_span_id or not is_outermost(span):
            return record
        root = self.moved.get(record.trace_id)
        if root is not None and root.span_id != record.span_id:
            return record
        return record._replace(parent_span_id=b"")

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
            if record.trace_id not in self.moved:
                self._by_job[job_id] = record
        elif root is not None and root.trace_id != record.trace_id and not span.end_time:
            begins = not root.parent_span_id and root.trace_id not in self._with_session
            if record.parent_span_id and begins:
                root = self._continue(job_id, root, record)
            self.moved[record.trace_id] = root
        forget_oldest(self._by_job, _MAX_ROOTS)
        forget_oldest(self.moved, _MAX_ROOTS)

    def _continue(self, job_id: str, root: Span, record: Span) -> Span:
        """Move a job's root into the trace that its entrypoint continues, below what is there."""
        moved = root._replace(trace_id=record.trace_id, parent_span_id=record.parent_span_id)
        below = [trace_id for trace_id, above in self.moved.items() if above is root]
        self.moved.update(dict.fromkeys((*below, root.trace_id, record.trace_id), moved))
        self._by_job[job_id] = moved
        if root.trace_id in self._substitutes:
            self._substitutes[moved.trace_id] = self._substitutes.pop(root.trace_id)
        self._continued(root, moved)
        return moved


def is_outermost(span: ReadableSpan) -> bool:
    """Whether no span of this process is above it."""
    return span._parent is None or span._parent.is_remote
