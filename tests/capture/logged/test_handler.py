"""What is logged lands in its call with the span that was open, within bounds, and never twice."""

from __future__ import annotations

import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from tests.capture.pipeline import SECRET, Pipeline
from tests.fakes import run_python
from tracing.capture.logged.handler import LogLines
from tracing.capture.redaction import MASK_FAILED
from tracing.harmless.filter import WITHHELD
from tracing.limits import LOG_BYTES_PER_CALL, LOG_LINES_PER_SECOND, LOG_TEXT_CHARACTERS
from tracing.log_line import LogLine
from tracing.safe_text import STRUCK, get_logger, keep_secret
from tracing.spool import losses
from tracing.spool.truncate import MARK

app = logging.getLogger("my.app")


class Logging:
    """A pipeline, the handler on its call, and the call's outermost span."""

    def __init__(self, directory: Path, **options: Any) -> None:
        given = {name: options.pop(name) for name in ("level", "as_events") if name in options}
        self.job: str | None = None
        self.pipeline = Pipeline(directory, current_job=lambda: self.job, **options)
        self.handler = LogLines(
            self.pipeline.processor,
            self.pipeline.ledger,
            current_job=lambda: self.job,
            **{"level": logging.WARNING, **given},
        )
        self.pipeline.processor.call_begins = self.handler.install

    def begin(self, job: str | None = None) -> Any:
        """The root of a call."""
        self.job = job
        attributes = {"lk.job_id": job} if job else {}
        return self.pipeline.start("job_entrypoint", **attributes)

    @property
    def lines(self) -> list[LogLine]:
        """What was recorded."""
        return [record.line for record in self.pipeline.records() if record.line is not None]

    @property
    def said(self) -> list[str]:
        """The messages of it."""
        return [line.message for line in self.lines]


Begin = Callable[..., Logging]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Make one; its handler is taken off in the end."""
    made: list[Logging] = []

    def make(**options: Any) -> Logging:
        made.append(Logging(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.handler.remove()


def ids(span: Any) -> tuple[bytes, bytes]:
    """Those of a span, as a line has them."""
    context = span.get_span_context()
    return context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")


def test_line_has_the_span_that_was_open(begin: Begin) -> None:
    """Every field, whole."""
    logs = begin()
    root = logs.begin()
    turn = logs.pipeline.start("agent_turn", root)
    with trace.use_span(turn):
        record = app.makeRecord(
            "my.app", logging.WARNING, "agent.py", 7, "%s is late", ("STT",), None, func="hear"
        )
        app.handle(record)
    assert logs.lines == [
        LogLine(
            *ids(turn),
            time_unix_nano=int(record.created * 1e9),
            level=30,
            level_name="WARNING",
            logger="my.app",
            message="STT is late",
            code_file="agent.py",
            code_line=7,
            code_function="hear",
        )
    ]


def test_line_has_its_exception(begin: Begin) -> None:
    """Type, words, and where it was raised."""
    logs = begin()
    with trace.use_span(logs.begin()):
        try:
            raise ConnectionError("no route")
        except ConnectionError:
            app.exception("cannot book")
    [line] = logs.lines
    assert (line.exception_type, line.exception_message) == ("ConnectionError", "no route")
    assert line.exception_stacktrace.startswith("Traceback (most recent call last):\n  File")
    assert line.exception_stacktrace.endswith("ConnectionError: no route")


def test_line_without_a_span_is_in_its_jobs_root(begin: Begin) -> None:
    """A callback of a job's has no span of its own."""
    logs = begin()
    root = logs.begin("AJ_1")
    app.warning("in the job")
    logs.job = None
    app.warning("in none")
    assert [(line.message, line.trace_id, line.span_id) for line in logs.lines] == [
        ("in the job", *ids(root))
    ]


def test_line_outside_any_call_is_not_recorded(begin: Begin) -> None:
    """Neither without a span, nor in a trace of somebody else's."""
    logs = begin()
    logs.begin()
    app.error("nowhere")
    with logs.pipeline.provider.get_tracer("my.web").start_as_current_span("GET /"):
        app.error("in a trace that is no call")
    assert logs.lines == []


@pytest.mark.parametrize(
    ("level", "recorded"),
    [(logging.INFO, ["info", "warning", "error"]), (logging.WARNING, ["warning", "error"])],
)
def test_levels_are_the_handlers_own(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, level: int, recorded: list[str]
) -> None:
    """No logger's level is changed: what a logger does not let through nobody hears."""
    quiet, loud = logging.getLogger("quiet"), logging.getLogger("loud")
    monkeypatch.setattr(loud, "level", logging.DEBUG)
    logs = begin(level=level)
    with trace.use_span(logs.begin()):
        for logger in (quiet, loud):
            for word in ("debug", "info", "warning", "error"):
                getattr(logger, word)(word)
    of_loud = [line.message for line in logs.lines if line.logger == "loud"]
    of_quiet = [line.message for line in logs.lines if line.logger == "quiet"]
    assert (of_loud, of_quiet) == (recorded, ["warning", "error"])
    assert (quiet.level, loud.level) == (logging.NOTSET, logging.DEBUG)


OWN = ("tracing.capture.x", "tracing", "opentelemetry.exporter.otlp", "opentelemetry.sdk")


@pytest.mark.parametrize("name", OWN)
def test_lines_of_ours_and_of_exporters_are_never_recorded(begin: Begin, name: str) -> None:
    """Each would be a line about a line."""
    logs = begin()
    with trace.use_span(logs.begin()):
        logging.getLogger(name).error("cannot deliver")
        app.error("of the application")
    assert logs.said == ["of the application"]


def test_lines_of_our_own_threads_are_never_recorded(begin: Begin) -> None:
    """A drainer's connections too, whatever its thread took over."""
    logs = begin()
    root = logs.begin()

    def deliver() -> None:
        with trace.use_span(root):
            logging.getLogger("urllib3.connectionpool").warning("Retrying")

    for name in ("tracing-otlp", "of the application"):
        thread = threading.Thread(target=deliver, name=name)
        thread.start()
        thread.join()
    assert logs.said == ["Retrying"]


def test_whoever_logs_while_a_line_is_recorded_makes_no_other(begin: Begin) -> None:
    """A mask that logs what it does would never end."""

    def mask(text: str) -> str:
        app.error("masking %s", text)
        get_logger("tracing.mask").error("masking")
        return text

    logs = begin(mask=mask)
    with trace.use_span(logs.begin()):
        app.error("once")
    assert logs.said == ["once"]


def test_nothing_is_recorded_where_content_is_withheld(begin: Begin) -> None:
    """But what a logger logs that the application vouches for, and of its errors no words."""
    logs = begin(content=False, content_safe=["logger:my.app", "order.id"])
    with trace.use_span(logs.begin()):
        for name in ("my.app", "my.app.db", "my.application", "order.id", "root"):
            try:
                raise ValueError(SECRET)
            except ValueError:
                logging.getLogger(name).exception("of %s", name)
    assert [line.logger for line in logs.lines] == ["my.app", "my.app.db"]
    [line, _] = logs.lines
    assert (line.exception_type, line.exception_message) == ("ValueError", "")
    assert "test_handler.py" in line.exception_stacktrace
    assert SECRET.encode() not in b"".join(logs.pipeline.frames)
    assert logs.pipeline.ledger.counts == {}


def test_mask_rewrites_every_text(begin: Begin) -> None:
    """The message, the exception's words and its traceback."""
    logs = begin(mask=lambda text: text.replace(SECRET, "***"))
    with trace.use_span(logs.begin()):
        try:
            raise ValueError(SECRET)
        except ValueError:
            app.exception("it was %s", SECRET)
    [line] = logs.lines
    assert (line.message, line.exception_message) == ("it was ***", "***")
    assert SECRET.encode() not in b"".join(logs.pipeline.frames)


def test_text_on_which_the_mask_fails_is_withheld(begin: Begin) -> None:
    """As any text of a span."""

    def fail(text: str) -> str:
        raise RuntimeError(text)

    logs = begin(mask=fail)
    with trace.use_span(logs.begin()):
        app.error(SECRET)
    assert logs.said == [MASK_FAILED]


def test_secrets_are_struck(begin: Begin) -> None:
    """Keys that set-up knows, and what stands in a URL."""
    keep_secret(["sk-lf-0123456789"])
    logs = begin()
    with trace.use_span(logs.begin()):
        app.error("key sk-lf-0123456789 at https://user:word@host/path?token=1\nnext")
    assert logs.said == [f"key {STRUCK} at https://...@host/path?...\nnext"]


def test_no_more_than_so_many_lines_a_second(begin: Begin) -> None:
    """The rest is counted; the next second has its own."""
    logs = begin()
    root = logs.begin()
    with trace.use_span(root):
        for number in range(LOG_LINES_PER_SECOND + 30):
            app.handle(_at(1_700_000_000.5, str(number)))
        app.handle(_at(1_700_000_001.0, "later"))
    assert logs.said == [*map(str, range(LOG_LINES_PER_SECOND)), "later"]
    assert logs.pipeline.ledger.counts == {losses.LINES_TOO_FAST: 30}


def test_a_call_has_room_for_so_many_bytes_and_half_is_for_what_went_wrong(begin: Begin) -> None:
    """Chatter cannot take the room of the line that explains it all."""
    logs = begin(level=logging.INFO)
    text, second = "x" * 10_000, 0
    counts: Counter[int] = Counter()
    with trace.use_span(logs.begin()):
        for level in (logging.INFO, logging.ERROR):
            for _ in range(LOG_BYTES_PER_CALL // len(text)):
                second += 1
                app.handle(_at(1_700_000_000.0 + second, text, level))
    counts.update(line.level for line in logs.lines)
    size = sum(len(line.message) for line in logs.lines)
    assert 0.9 * LOG_BYTES_PER_CALL < size < LOG_BYTES_PER_CALL
    assert counts[logging.INFO] == pytest.approx(counts[logging.ERROR], abs=2)
    lost = 2 * (LOG_BYTES_PER_CALL // len(text)) - len(logs.lines)
    assert logs.pipeline.ledger.counts == {losses.LINES_TOO_MANY: lost}


def test_each_call_has_bounds_of_its_own(begin: Begin) -> None:
    """One that floods does not silence the other."""
    logs = begin()
    loud, quiet = logs.begin(), logs.begin()
    with trace.use_span(loud):
        for _ in range(LOG_LINES_PER_SECOND + 1):
            app.handle(_at(1_700_000_000.0, "loud"))
    with trace.use_span(quiet):
        app.handle(_at(1_700_000_000.0, "quiet"))
    assert [line.message for line in logs.lines if line.trace_id == ids(quiet)[0]] == ["quiet"]


def test_long_line_is_cut(begin: Begin) -> None:
    """A message at its end, a traceback at its beginning, where it says the least; counted."""
    logs = begin()
    with trace.use_span(logs.begin()):
        try:
            raise ValueError("y" * LOG_TEXT_CHARACTERS * 5)
        except ValueError:
            app.exception("x" * LOG_TEXT_CHARACTERS * 5)
    [line] = logs.lines
    kept = LOG_TEXT_CHARACTERS
    assert line.message == "x" * kept + MARK
    assert line.exception_message == "y" * kept + MARK
    assert line.exception_stacktrace == MARK + "y" * kept
    assert logs.pipeline.ledger.counts == {losses.TRUNCATED: 1}


class Unprintable:
    """An argument whose own code fails."""

    def __str__(self) -> str:
        raise RuntimeError(SECRET)


@pytest.mark.parametrize(
    ("message", "arguments", "recorded"),
    [
        ("%d tables", ("two",), ["%d tables"]),
        ("one", ("too many",), ["one"]),
        ("%s", (Unprintable(),), ["%s"]),
        (Unprintable(), (), []),
    ],
)
def test_record_that_cannot_be_formatted_raises_nothing(
    begin: Begin, message: Any, arguments: tuple[Any, ...], recorded: list[str]
) -> None:
    """What was to be filled in is recorded, or the line is counted."""
    logs = begin()
    with trace.use_span(logs.begin()):
        logs.handler.handle(_at(1_700_000_000.0, message, arguments=arguments))
    assert logs.said == recorded
    lost = {losses.INTERNAL_ERROR: 1} if not recorded else {}
    assert dict(logs.pipeline.ledger.counts) == lost


def test_warnings_and_errors_are_events_of_their_span_where_wanted(begin: Begin) -> None:
    """For a backend that takes no log lines; of the job's root where there is no span."""
    logs = begin(level=logging.INFO, as_events=True)
    root = logs.begin("AJ_1")
    with trace.use_span(turn := logs.pipeline.start("agent_turn", root)):
        app.info("not this")
        try:
            raise ValueError("two")
        except ValueError:
            app.exception("no table")
    app.warning("in the job")
    turn.end()
    root.end()
    ended = logs.pipeline.ended()
    [event] = ended["agent_turn"].events
    assert (event.name, dict(event.attributes)) == (
        "log",
        {
            "log.level": "ERROR",
            "log.logger": "my.app",
            "log.message": "no table",
            "exception.type": "ValueError",
            "exception.message": "two",
        },
    )
    assert [e.attributes["log.message"] for e in ended["job_entrypoint"].events] == ["in the job"]


def test_events_of_a_span_are_withheld_where_that_is_demanded_before_its_end(begin: Begin) -> None:
    """But the words of a logger that is vouched for; what was raised keeps its type."""
    logs = begin(as_events=True, content_safe=["logger:a.plugin"])
    root = logs.begin()
    with trace.use_span(root):
        for name in ("my.app", "a.plugin.db"):
            try:
                raise ValueError(SECRET)
            except ValueError:
                logging.getLogger(name).exception("of %s", name)
    logs.pipeline.processor.withhold_content()
    root.end()
    found = [(e.name, dict(e.attributes)) for e in logs.pipeline.ended()["job_entrypoint"].events]
    bare = {
        "log.level": "ERROR",
        "exception.type": "ValueError",
        "exception.message": WITHHELD,
    }
    vouched = {"log.logger": "a.plugin.db", "log.message": "of a.plugin.db"}
    assert found == [("log", bare), ("log", {**bare, **vouched})]


def test_what_was_logged_is_counted_by_call(begin: Begin) -> None:
    """Recorded or not; nothing where no job is current."""
    logs = begin(content=False)
    root = logs.begin("AJ_1")
    with trace.use_span(root):
        app.warning("one")
        app.error("two")
        app.critical("three")
    assert logs.handler.counts() == {"call.log.warnings": 1, "call.log.errors": 2}
    logs.begin("AJ_2")
    assert logs.handler.counts() == {"call.log.warnings": 0, "call.log.errors": 0}
    logs.job = None
    assert (logs.handler.counts(), logs.lines) == ({}, [])


CONFIGURED_LATER = """
import logging, sys, tempfile
from pathlib import Path
from tests.capture.logged.test_handler import Logging
from opentelemetry import trace

sys.stderr = sys.stdout
logs = Logging(Path(tempfile.mkdtemp()))
print(len(logging.root.handlers))
if sys.argv[1] == "configured":
    logging.basicConfig(stream=sys.stdout, format="heard %(message)s")
with trace.use_span(logs.begin()):
    logging.getLogger("my.app").warning("a line")
print(logs.said, len(logging.root.handlers))
"""


def test_handler_comes_after_logging_is_configured() -> None:
    """`basicConfig` does nothing once there is a handler, so there is none before a call."""
    printed = run_python(CONFIGURED_LATER, "configured").splitlines()
    assert printed == ["0", "heard a line", "['a line'] 2"]


def test_where_nobody_configured_logging_a_warning_is_still_printed() -> None:
    """Python prints it where no handler is; ours is none in that sense."""
    printed = run_python(CONFIGURED_LATER, "not").splitlines()
    assert printed == ["0", "a line", "['a line'] 1"]


FORKED = """
import logging, os, tempfile
from pathlib import Path
from tests.capture.logged.test_handler import Logging
from opentelemetry import trace

logs = Logging(Path(tempfile.mkdtemp()))
with trace.use_span(logs.begin()):
    logging.getLogger("my.app").warning("of the parent")
parts = (logs.pipeline.processor, logs.handler)
os.register_at_fork(after_in_child=lambda: [part.after_fork() for part in parts])
if os.fork() == 0:
    logs.pipeline.frames.clear()
    with trace.use_span(logs.begin()):
        logging.getLogger("my.app").warning("of the child")
    print(logs.said, flush=True)
    os._exit(0)
os.wait()
print(logs.said)
"""


def test_after_a_fork_each_process_records_its_own_lines_once() -> None:
    """No lock of the parent's is left taken, and no handler is there twice."""
    assert run_python(FORKED).splitlines() == ["['of the child']", "['of the parent']"]


def test_many_threads_log_at_once(begin: Begin) -> None:
    """Each line is there once, in the span of its thread."""
    logs = begin()
    root = logs.begin()
    turns = [logs.pipeline.start("agent_turn", root) for _ in range(4)]

    def log(number: int) -> None:
        with trace.use_span(turns[number]):
            for _ in range(LOG_LINES_PER_SECOND // 4):
                app.warning("%d", number)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(len(turns))]
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    found = Counter((line.message, line.span_id) for line in logs.lines)
    assert set(found) == {(str(number), ids(turn)[1]) for number, turn in enumerate(turns)}


def _at(
    created: float, message: Any, level: int = logging.WARNING, arguments: tuple[Any, ...] = ()
) -> logging.LogRecord:
    """A record of the application's, logged then; seconds since the Unix epoch."""
    record = app.makeRecord("my.app", level, "agent.py", 1, message, arguments, None)
    record.created = created
    return record
