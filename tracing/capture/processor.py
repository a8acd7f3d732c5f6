"""The span processor: redact, stamp what the call knows, append one record. Nothing else.

Runs on the voice loop, so everything here is microseconds: no lock, no thread, no socket.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace import Span as SdkSpan

from tracing import names, stamps
from tracing.account.call import Call
from tracing.account.rewrites import INPUT_SPANS, RecordedInputs, with_status
from tracing.capture.calls import Calls
from tracing.capture.convert import SpanConverter
from tracing.capture.redaction import Redaction
from tracing.capture.roots import Roots, is_outermost
from tracing.capture.withholding import Withholding
from tracing.harmless.filter import without_known_content
from tracing.limits import OncePerMinute
from tracing.safe_text import get_logger
from tracing.span import Attributes, Span, as_number
from tracing.spool import losses
from tracing.spool.losses import Ledger
from tracing.spool.records import end_frame, not_open_frame, packed, start_frame

logger = get_logger(__name__)

_MAX_OPEN_SPANS = 20_000
_MAX_RECORD_BYTES = 2**20

_LIVES_LONG = frozenset(
    {names.JOB_ENTRYPOINT, names.AGENT_SESSION, names.USER_TURN, names.AGENT_TURN}
)
"""These get a start record at once; others when a child of theirs ends, or after a while."""
_LIVES_LONG_NANOS = 200_000_000

_REWRITTEN = INPUT_SPANS | {names.FUNCTION_TOOL}


class TracingProcessor(SpanProcessor):
    """Writes each span of LiveKit's, and of whoever shares the provider, to the spool.

    A span that lives long leaves a start record, so that it survives its process; the record
    of its end carries everything. `append` writes a frame and `close` ends that; `flush` is what
    `force_flush` asks, because nothing is kept in memory here; `call_begins` hears of each call.
    `withholding` says whose content is withheld, which `redaction` then does. `make_call` takes
    what the processor gives each of its calls: `open_span`, `pack` and `mask`, see `Call`.
    """

    def __init__(
        self,
        redaction: Redaction,
        ledger: Ledger,
        *,
        resource: Resource | None = None,
        make_call: Callable[..., Call] = Call,
        withholding: Withholding | None = None,
        current_job: Callable[[], str | None] = lambda: None,
        job_attributes: Callable[[], Attributes] = dict,
        at_job_end: Callable[[], Attributes] = dict,
        input_deltas: bool = False,
    ) -> None:
        self.converter = SpanConverter(resource)
        self.append: Callable[[bytes], None] = lambda frame: None
        self.close: Callable[[], None] = lambda: None
        self.flush: Callable[[float], bool] = lambda timeout_seconds: True
        self.call_begins: Callable[[], None] = lambda: None
        self.redaction = redaction
        self._harmless = redaction.harmless.attributes
        self.ledger = ledger
        self._make_call = make_call
        self.withholding = withholding or Withholding()
        self._current_job = current_job
        self._job_attributes = job_attributes
        self._at_job_end = at_job_end
        self._input_deltas = input_deltas
        self._complaint = OncePerMinute()
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the spans of the process that this one was forked from: they end there."""
        # By ids as OpenTelemetry's API has them, so that nothing is converted to look one up.
        self._calls = Calls(
            self._new_call,
            forgot=self._forgot_open_call,
            held=lambda: {as_number(root.trace_id) for root in self.roots.moved.copy().values()},
        )
        self._inputs = RecordedInputs(deltas=self._input_deltas)
        self._open: dict[int, SdkSpan] = {}
        self._start_frames: dict[int, bytes] = {}
        """The start records of those open spans that have one."""
        self.roots = Roots(self._current_job, self._continue_elsewhere)

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        """Note that the span is open; write its start record where it lives long."""
        try:
            trace_id, span_id, _, flags, _, _ = span._context  # type: ignore[misc]
            if not flags & 1:  # not sampled
                return
            if len(self._open) < _MAX_OPEN_SPANS:
                self._open[span_id] = span
            call, parent, name = self._calls.get(trace_id), span._parent, span._name
            begins = parent is None or parent[2]  # below nothing, or below what is remote
            if call is None or begins or self.roots.moved or name in _LIVES_LONG:
                self._start(span)
            else:
                call.opened(span_id, parent[1], name, span._attributes)  # type: ignore[index, arg-type]
        except Exception as error:
            self._internal_error(error)

    def on_end(self, span: ReadableSpan) -> None:
        """Write the span, with what its call knows stamped on it."""
        try:
            context = span._context
            if context is not None and context[3] & 1:  # sampled
                self._end(span)
        except Exception as error:
            self._internal_error(error)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until the backends have what is on disk; never needed for safety."""
        return self.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Go on: whoever shares the provider may shut it down, and calls end with their jobs.

        What ends is on disk already; `close` is for the end of the pipeline itself.
        """

    def withhold_content(self) -> None:
        """Write no content from now on, whatever set-up said."""
        self.withholding.always = True
        for call in self._calls.known():
            self.withhold(call)

    def call(self, trace_id: int) -> Call | None:
        """What is known of the call whose spans carry this trace id."""
        return self._calls.get(as_number(self.roots.recorded_trace_id(trace_id)))

    def open_span(self, span_id: int) -> SdkSpan | None:
        """The open span with this id, so that events can write onto it."""
        return self._open.get(span_id)

    def redacted_open_span(self, span_id: bytes) -> Span | None:
        """An open span as far as it has come, redacted as it will be on disk."""
        found = self._open.get(as_number(span_id))
        if found is None:
            return None
        span = self.converter.convert(found)
        call = self.call(found.context.trace_id)
        withhold = call is None or call.is_withheld or names.demands_redaction(span.attributes)
        return self.redaction.apply(span, withhold=withhold)

    def open_frames(self) -> Iterable[bytes]:
        """The start records of the spans that are open now."""
        return list(self._start_frames.copy().values())

    def record_open_spans(self) -> None:
        """Write the start records of the spans that turn out to live long; not on the loop."""
        began_before = time.time_ns() - _LIVES_LONG_NANOS
        for span_id, span in self._open.copy().items():
            if span_id not in self._start_frames and (span.start_time or 0) < began_before:
                self.append(self._start_record(span))
                self._take_back_if_ended(span)

    def withhold(self, call: Call) -> None:
        """Withhold a call's content from now on; what is open of it begins again without."""
        call.is_withheld = True
        for span_id in list(self._start_frames):
            span = self._open.get(span_id)
            if span is not None and self.call(span.context.trace_id) is call:
                self.append(self._start_record(span))

    def open_spans(self) -> list[SdkSpan]:
        """The spans that are open now, in the order in which they began."""
        return list(self._open.copy().values())

    def has_start(self, span: SdkSpan) -> bool:
        """Whether an open span has a start record."""
        return span.context.span_id in self._start_frames

    def in_place(self, span: SdkSpan) -> Span:
        """An open span in its call's trace, as far as it has come; nothing of it is redacted."""
        return self.roots.in_place(self.converter.convert(span), span)

    def said_of(self, call: Call) -> Attributes:
        """What the application says of a call, as it may be written now."""
        said = call.words.until_end
        return self._harmless(said) if said and call.is_withheld else said

    def begin_again(self, span: SdkSpan, record: Span, told: Attributes, once: Attributes) -> None:
        """Write a start record that tells more, of which `once` in no further segment."""
        self._start_frames[span.context.span_id] = frame = self._start_frame(record, told)
        self.append(self._start_frame(record, {**told, **once}) if once else frame)
        self._take_back_if_ended(span)

    def begin_root(self, job_id: str, root: Any) -> None:
        """Make `root` the root of a job whose own was not recorded; it ends with the job."""
        self.roots.substitute(job_id, self.converter.convert(root), root)

    def _start(self, span: SdkSpan) -> None:
        """Tell the call of a span that may be its first, may be moved, or has a start record."""
        if span.name in _LIVES_LONG:
            self.append(self._start_record(span, is_new=True))
            return
        record = self.converter.convert(span)
        record = record._replace(attributes=_flags(record.attributes), events=(), links=())
        if self.roots.moved or is_outermost(span):
            record = self.roots.in_place(record, span)
        call = self._call_of(record)
        self._ask(call, span.attributes or {})
        self._tell_start(call, self.roots.for_call(record, span))

    def _ask(self, call: Call, attributes: Mapping[str, Any]) -> None:
        """Withhold a call's content if somebody demands it by now."""
        if call.is_withheld:
            return
        if names.demands_redaction(attributes) or self.withholding.is_demanded_here():
            self.withhold(call)

    def _tell_start(self, call: Call, record: Span) -> None:
        try:
            call.started(record)
        except Exception as error:
            self._internal_error(error, losses.UNSTAMPED)

    def _start_record(self, span: SdkSpan, *, is_new: bool = False) -> bytes:
        """The frame of a span's start, from now on in every segment until the span ends.

        Its call hears of it first where it is new.
        """
        record = self.roots.in_place(self.converter.convert(span), span)
        if record.name == names.JOB_ENTRYPOINT and names.JOB_ID not in record.attributes:
            # Before 1.8 LiveKit stamps the job only after the span has started.
            record = record._replace(attributes={**self._job_attributes(), **record.attributes})
        call = self._call_of(record)
        self._ask(call, record.attributes)
        # Content may be said to be withheld later on, so what is known to be content waits for
        # the span's end; none at all goes to the call or to disk where it is withheld now.
        record = self.redaction.apply(record, withhold=call.is_withheld)
        if is_new:
            self._tell_start(call, self.roots.for_call(record, span))
        span_id = span.context.span_id
        certain = call.identity_in(call.scope(span_id)).certain
        bare = without_known_content(record.attributes)
        said = {} if self.roots.for_call(record, span).parent_span_id else self.said_of(call)
        frame = self._start_frame(record, {**certain, **bare, **call.place(span_id), **said})
        if span_id in self._open:
            self._start_frames[span_id] = frame
        return frame

    def _start_frame(self, record: Span, known: Attributes) -> bytes:
        frame = start_frame(record, known)
        if len(frame) <= _MAX_RECORD_BYTES:
            return frame
        return start_frame(self._shortened(record._replace(attributes=known, events=(), links=())))

    def begin_above(self, span_id: int) -> None:
        """Write the start records that an open span and those above it do not have yet."""
        for span, frame in self._start_records_above(span_id):
            self.append(frame)
            self._take_back_if_ended(span)

    def _start_records_above(self, span_id: int) -> list[tuple[SdkSpan, bytes]]:
        """The start records that an open span and those above it have to have by now.

        What ends is on disk, so its open parents have to be: no span without its parent.
        """
        found: list[tuple[SdkSpan, bytes]] = []
        while (span := self._open.get(span_id)) and span_id not in self._start_frames:
            found.append((span, self._start_record(span)))
            span_id = span._parent.span_id if span._parent is not None else 0
        return found

    def _take_back_if_ended(self, span: SdkSpan) -> None:
        """Where another thread ended a span before its start was written, say that it is over."""
        context = span.context
        if context.span_id not in self._open:
            self._start_frames.pop(context.span_id, None)
            trace_id, span_id = self.roots.recorded_trace_id(context.trace_id), context.span_id
            self.append(not_open_frame(trace_id, span_id.to_bytes(8, "big")))

    def _end(self, span: ReadableSpan) -> None:
        record, context, parent = self.converter.convert(span), span._context, span._parent
        trace_id, span_id = context[0], context[1]  # type: ignore[index]
        parent_id = parent[1] if parent is not None else 0
        if self.roots.moved:
            record = self.roots.in_place(record, span)
            trace_id, parent_id = as_number(record.trace_id), as_number(record.parent_span_id)
        name, call = record.name, self._calls.of(trace_id)
        if name == names.JOB_ENTRYPOINT:
            tagged = call.words.beside(self._at_job_end())
            record = record._replace(attributes={**record.attributes, **tagged})
        scope = call.scope(span_id)
        withhold = call.is_withheld
        if not withhold and (name in _LIVES_LONG or names.REDACTION_ENABLED in record.attributes):
            self._ask(call, record.attributes)
            withhold = call.is_withheld
        if withhold or self.redaction.masks:
            record = self.redaction.apply(record, withhold=withhold)
        stamped: Attributes = {}
        try:
            told = self.roots.for_call(record, span) if parent is None or parent[2] else record
            stamped = call.ended(told, span_id)
        except Exception as error:  # costs the stamps, not the span
            self._internal_error(error, losses.UNSTAMPED)
        if name in _REWRITTEN:
            record = with_status(self._inputs.once(record))
        if name == names.JOB_ENTRYPOINT:
            stamped = {**stamped, **self.roots.take_stamps(record.span_id)}
        if withhold and stamped:  # the call may know what was said before this was demanded
            stamped = self._harmless(stamped)
        attributes = {**record.attributes, **stamped} if stamped else record.attributes
        self._open.pop(span_id, None)
        self._start_frames.pop(span_id, None)
        identity = call.identity_in(scope)
        frame = end_frame(record, attributes, identity.bare_packed if withhold else identity.packed)
        if len(frame) > _MAX_RECORD_BYTES:
            known = identity.bare if withhold else identity.attributes
            record = self._shortened(record._replace(attributes={**known, **attributes}))
            frame = end_frame(record, record.attributes)
        if parent_id in self._open and parent_id not in self._start_frames:
            above = self._start_records_above(parent_id)
            self.append(b"".join((*(begun for _, begun in above), frame)))
            for opened, _ in above:
                self._take_back_if_ended(opened)
        else:
            self.append(frame)
        if name == names.JOB_SHUTDOWN:
            self.roots.end_substitute(record.trace_id)

    def _continue_elsewhere(self, root: Span, moved: Span) -> None:
        """A job's root goes into a trace from outside, and what is open in its own with it.

        What has ended there stays below a root that says where the call goes on.
        """
        old, new = as_number(root.trace_id), as_number(moved.trace_id)
        self._calls.move(old, new)
        stub = root._replace(
            end_time_unix_nano=time.time_ns(),
            attributes={stamps.CALL_CONTINUED_IN: moved.trace_id.hex()},
        )
        stub = self.redaction.apply(stub, withhold=True)
        call = self._call_of(moved)
        identity = call.identity.own
        shared = identity.bare_packed if call.is_withheld else identity.packed
        frames = [end_frame(stub, stub.attributes, shared)]
        for span_id, span in self._open.copy().items():
            if span.context.trace_id == old and span_id in self._start_frames:
                frames.append(not_open_frame(root.trace_id, span_id.to_bytes(8, "big")))
                frames.append(self._start_record(span))
        self.append(b"".join(frames))

    def _call_of(self, record: Span) -> Call:
        return self._calls.of(as_number(record.trace_id))

    def _new_call(self) -> Call:
        call = self._make_call(
            open_span=self.redacted_open_span, pack=packed, mask=self.redaction.document
        )
        call.is_withheld = self.withholding.is_demanded_here()
        self.call_begins()
        return call

    def _forgot_open_call(self) -> None:
        self.ledger.count(losses.UNSTAMPED, detail="too many traces were open at once")

    def _shortened(self, record: Span) -> Span:
        """The span with its longest values shortened to what a record may hold; counted."""
        from tracing.spool.truncate import shorten

        shorter, attributes = shorten(record, _MAX_RECORD_BYTES)
        dropped = _dropped(shorter) - _dropped(record)
        detail = f"{', '.join(attributes)[:200]} of {shorter.name}"
        self.ledger.count(losses.TRUNCATED, len(attributes) + dropped, detail=detail)
        return shorter

    def _internal_error(self, error: Exception, loss: str = losses.INTERNAL_ERROR) -> None:
        """An error of ours costs a span at the most, never the call."""
        told = self.redaction.told(error, withhold=self.withholding.is_demanded_here())
        self.ledger.count(loss, detail=repr(told)[:200])
        if self._complaint.is_due():
            logger.error("a span could not be recorded as it should", exc_info=told)


def _dropped(span: Span) -> int:
    return span.dropped_attributes_count + span.dropped_events_count + span.dropped_links_count


def _flags(attributes: Attributes) -> Attributes:
    """What a call may read of a span that no redaction has seen yet."""
    kept = (names.FALLBACK_RECOVERY, names.AGENT_LABEL)
    return {key: attributes[key] for key in kept if key in attributes}
