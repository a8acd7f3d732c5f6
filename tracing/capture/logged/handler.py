"""What is logged while a call runs, recorded with the span that was open: one write a line.

Runs wherever somebody logs, on the voice loop too: no lock, no thread, no socket. Python's own
`Handler` has a lock around `emit`; this one needs none, because a frame is one write.
"""

from __future__ import annotations

import logging
import multiprocessing
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from opentelemetry import trace

from tracing import names, stamps
from tracing.account.call import Call
from tracing.capture.processor import TracingProcessor
from tracing.limits import (
    LOG_BYTES_PER_CALL,
    LOG_LINES_PER_SECOND,
    LOG_TEXT_CHARACTERS,
    forget_oldest,
)
from tracing.log_line import LogLine
from tracing.safe_text import safe
from tracing.span import Attributes, as_number
from tracing.spool import losses
from tracing.spool.losses import Ledger
from tracing.spool.records import log_frame
from tracing.spool.truncate import MARK

_NEVER = frozenset({"tracing", "opentelemetry"})
"""Ours, and who exports spans: a line of theirs about a line would be another line."""
_TRANSPORT = frozenset({"urllib3", "requests"})
"""Recorded where a call's own code asks; not where nothing says whose request it is."""
_OUR_THREADS = "tracing-"
_MAX_CALLS = 256
_LINES = "\n\t"
_KEPT_END = {"exception_stacktrace": -1}
_JOB_PROCESS = "job_proc"
"""What LiveKit calls a process that runs one job."""


class _Place(NamedTuple):
    """Where a line belongs."""

    trace_id: bytes
    span_id: bytes
    call: Call | None
    span: Any
    """The span that is open, to which an event can be added."""


class _Kept:
    """What was logged in one call, and how much of it was recorded."""

    def __init__(self) -> None:
        self.warnings = self.errors = 0
        self.second = self.in_second = self.bytes = 0

    def logged(self, level: int) -> None:
        """Count a line, recorded or not."""
        self.errors += level >= logging.ERROR
        self.warnings += logging.WARNING <= level < logging.ERROR

    def is_too_fast(self, created: float) -> bool:
        """Whether this second has had its lines."""
        if int(created) != self.second:
            self.second, self.in_second = int(created), 0
        self.in_second += 1
        return self.in_second > LOG_LINES_PER_SECOND

    def has_room(self, size: int, level: int) -> bool:
        """Whether there is room for a line; half of it is for warnings and errors alone."""
        most = LOG_BYTES_PER_CALL if level >= logging.WARNING else LOG_BYTES_PER_CALL // 2
        if self.bytes + size > most:
            return False
        self.bytes += size
        return True


class LogLines(logging.Handler):
    """Records lines from `level` on, each in the call, and with the span, in which it was logged.

    Where a call withholds its content, only lines of loggers that are vouched for. With
    `as_events`, warnings and errors are events of their spans, too. What is over the bounds is
    counted. Nothing is ever raised, and no logger's level is changed.
    """

    def __init__(
        self,
        processor: TracingProcessor,
        ledger: Ledger,
        *,
        level: int,
        as_events: bool = False,
        current_job: Callable[[], str | None] = lambda: None,
    ) -> None:
        super().__init__(level)
        self._processor = processor
        self._ledger = ledger
        self._as_events = as_events
        self._current_job = current_job
        self.after_fork()

    def createLock(self) -> None:
        """There is none to take, and so none that a fork could leave taken."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """As Python's own, but for the lock, which from Python 3.13 on it takes unasked."""
        passed = self.filter(record)
        if passed:
            # From Python 3.12 on a filter may put another record in its place.
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def after_fork(self) -> None:
        """In a forked child: calls of its own."""
        self._calls: dict[bytes, _Kept] = {}
        self._here = threading.local()

    def install(self) -> None:
        """Hear what is logged from now on.

        Called where a call begins: by then logging is configured, which may take handlers away,
        and `basicConfig` does nothing where there is one already.
        """
        if self not in logging.root.handlers:
            logging.root.addHandler(self)

    def remove(self) -> None:
        """Hear nothing any more."""
        logging.root.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Record a line of a call; what is none is left alone."""
        if len(logging.root.handlers) == 1:
            self._stand_aside(record)
        if _is_ours(record) or getattr(self._here, "is_busy", False):
            return
        self._here.is_busy = True  # whatever a mask or an argument logs is no further line
        try:
            self._record(record)
        except Exception as error:
            self._ledger.count(losses.INTERNAL_ERROR, detail=f"a log line: {type(error).__name__}")
        finally:
            self._here.is_busy = False

    def counts(self) -> Attributes:
        """How many warnings and errors were logged in the call that is current here."""
        place = self._place_of_job()
        if place is None:
            return {}
        kept = self._calls.get(place.trace_id) or _Kept()
        return {stamps.CALL_LOG_WARNINGS: kept.warnings, stamps.CALL_LOG_ERRORS: kept.errors}

    def _stand_aside(self, record: logging.LogRecord) -> None:
        """Have Python print what it prints where nobody has configured logging."""
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and self._is_alone(record.name):
            last.handle(record)

    def _is_alone(self, name: str) -> bool:
        """Whether no other handler hears a logger."""
        logger: logging.Logger | None = logging.root.getChild(name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return False
            logger = logger.parent if logger.propagate else None
        return True

    def _record(self, record: logging.LogRecord) -> None:
        place = self._place() or self._place_without_context(record)
        if place is None:
            return
        kept = self._calls.get(place.trace_id) or self._begin(place.trace_id)
        kept.logged(record.levelno)
        withhold = self._is_withheld(place.call)
        if withhold and not self._processor.redaction.harmless.has_logger(record.name):
            return
        if kept.is_too_fast(record.created):
            self._ledger.count(losses.LINES_TOO_FAST, detail=record.name)
            return
        line = self._line(record, place, self._texts(record, withhold=withhold))
        frame = log_frame(line)
        if not kept.has_room(len(frame), record.levelno):
            self._ledger.count(losses.LINES_TOO_MANY, detail=record.name)
            return
        self._processor.append(frame)
        if self._as_events and record.levelno >= logging.WARNING:
            _add_event(place.span, line)

    def _begin(self, trace_id: bytes) -> _Kept:
        kept = self._calls[trace_id] = _Kept()
        forget_oldest(self._calls, _MAX_CALLS)
        return kept

    def _place(self) -> _Place | None:
        """The call of the span that is current here, else of the job."""
        span = trace.get_current_span()
        trace_id, span_id, _, flags = span.get_span_context()[:4]
        call = self._processor.call(trace_id) if flags & 1 else None  # sampled
        if call is None or not call.is_call:
            return self._place_of_job()
        recorded = self._processor.roots.recorded_trace_id(trace_id)
        return _Place(recorded, span_id.to_bytes(8, "big"), call, span)

    def _place_of_job(self) -> _Place | None:
        """The root of the job that is current here."""
        job_id = self._current_job()
        return self._place_at_root(job_id) if job_id is not None else None

    def _place_without_context(self, record: logging.LogRecord) -> _Place | None:
        """The root of the one job of this process; where there may be others, nobody can know."""
        if multiprocessing.current_process().name != _JOB_PROCESS:
            return None
        is_transport = record.name.partition(".")[0] in _TRANSPORT
        return None if is_transport else self._place_at_root(None)

    def _place_at_root(self, job_id: str | None) -> _Place | None:
        root = self._processor.roots.root(job_id)
        if root is None:
            return None
        call = self._processor.call(as_number(root.trace_id))
        span = self._processor.open_span(as_number(root.span_id))
        return _Place(root.trace_id, root.span_id, call, span)

    def _is_withheld(self, call: Call | None) -> bool:
        is_demanded = self._processor.withholding.is_demanded_here
        return call is None or call.is_withheld or is_demanded()

    def _texts(self, record: logging.LogRecord, *, withhold: bool) -> Mapping[str, Any]:
        """The line's texts as they may be written: masked, without secrets, and not too long."""
        texts = {"message": _cut(_message(record), 4)}
        if record.exc_info and record.exc_info[0] is not None:
            texts.update(_exception(record, withhold=withhold))
        masked = self._processor.redaction.attributes(texts, withhold=False)
        found = {key: safe(str(text), keep=_LINES) for key, text in masked.items()}
        if max(map(len, found.values())) > LOG_TEXT_CHARACTERS:
            found = {key: _cut(text, _KEPT_END.get(key, 1)) for key, text in found.items()}
            self._ledger.count(losses.TRUNCATED, detail=f"a line of {record.name}")
        return found

    def _line(self, record: logging.LogRecord, place: _Place, texts: Mapping[str, Any]) -> LogLine:
        kind = record.exc_info[0] if record.exc_info else None
        return LogLine(
            place.trace_id,
            place.span_id,
            int(record.created * 1e9),
            record.levelno,
            record.levelname,
            record.name,
            texts.get("message", ""),
            _named(kind) if kind is not None else "",
            texts.get("exception_message", ""),
            texts.get("exception_stacktrace", ""),
            record.pathname,
            record.lineno,
            record.funcName or "",
        )


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether recording it would be a loop."""
    is_never = record.name.partition(".")[0] in _NEVER
    return is_never or (record.threadName or "").startswith(_OUR_THREADS)


def _message(record: logging.LogRecord) -> str:
    """The message; where its arguments do not fit, what was to be filled in."""
    try:
        return record.getMessage()
    except Exception:
        return str(record.msg)


def _exception(record: logging.LogRecord, *, withhold: bool) -> dict[str, str]:
    """The words and the traceback of a record's exception; withheld, only where it was raised."""
    assert record.exc_info
    _, error, raised_at = record.exc_info
    if withhold:
        return {"exception_stacktrace": _cut("".join(traceback.format_tb(raised_at)), -4)}
    text = record.exc_text or _formatted(record.exc_info)
    return {"exception_message": _cut(str(error), 4), "exception_stacktrace": _cut(text, -4)}


def _formatted(exc_info: Any) -> str:
    """The traceback as `logging.Formatter` has it, which prints it line by line."""
    return "".join(traceback.format_exception(*exc_info)).removesuffix("\n")


def _cut(text: str, times: int = 1) -> str:
    """Its beginning, of a traceback (`times` below 0) its end, where it is too long.

    First at several `times` of what is kept, so that no half of a secret is left at the edge.
    """
    most = LOG_TEXT_CHARACTERS * abs(times)
    if len(text) <= most:
        return text
    return text[:most] + MARK if times > 0 else MARK + text[-most:]


def _named(kind: type[BaseException]) -> str:
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _add_event(span: Any, line: LogLine) -> None:
    """A warning or an error as an event of its span, for backends that take no log lines."""
    if span is None or not span.is_recording():
        return
    told = {
        stamps.LOG_LEVEL: line.level_name,
        stamps.LOG_LOGGER: line.logger,
        stamps.LOG_MESSAGE: line.message,
        names.EXCEPTION_TYPE: line.exception_type,
        names.EXCEPTION_MESSAGE: line.exception_message,
    }
    given = {key: value for key, value in told.items() if value}
    span.add_event(stamps.EVENT_LOG, given, timestamp=line.time_unix_nano)
