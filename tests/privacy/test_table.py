"""Marker x mode x channel: real jobs, and every byte of what they left searched.

`pytest -s` prints the table: by mode and channel, the places whose markers came through.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from livekit.agents import JobContext, telemetry
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from tests.fakes import RecordingServer, until
from tests.langfuse_server import LangfuseServer
from tests.privacy.marked import MARK, OTHERS, Begin, places, run_job
from tracing import Langfuse, Otlp, setup_tracer

CHANNELS = ("spool", "store", "reports", "otlp", "langfuse", "log")
UNREACHABLE = "http://127.0.0.1:1"
"""A backend that takes nothing, so that the segments stay."""


@dataclass(frozen=True)
class Mode:
    """One way to withhold content, or to mask it."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `setup_tracer`."""
    environ: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], None] = lambda: None
    """What the application does before set-up."""
    begin: Begin = lambda ctx: {}
    """What the job demands, and the arguments of `session.start`."""
    has_verdicts: bool = True
    """Whether the verdicts of judges are still such, and scores are made of them."""
    vouched: frozenset[str] = frozenset()
    """What comes through, because the application says that it may."""
    vouched_lines: frozenset[str] = frozenset()
    """The same of what is logged, which does not go to Langfuse."""
    lines: int = 0
    """How many lines of the application's are recorded."""


def _install(**options: Any) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    telemetry.set_tracer_provider(provider, **options)


def _filtered() -> None:
    """LiveKit's own filter on a provider of the application's."""
    _install(allow_pii=False)


def _stamped() -> None:
    """The stamp that LiveKit leaves on every span of a project that demands redaction."""
    _install(metadata={"lk.redaction.enabled": True})


def _job_demands(ctx: JobContext) -> dict[str, Any]:
    ctx.job.enable_redaction = True
    return {}


def _recording_demands(ctx: JobContext) -> dict[str, Any]:
    off = dict.fromkeys(("audio", "traces", "logs", "transcript"), False)
    ctx.init_recording({**off, "redaction": True})  # type: ignore[typeddict-item]
    return {}


def _fails(text: str) -> str:
    raise ValueError(text)


WITHHELD = {
    "capture_content=False": Mode({"capture_content": False}),
    "TRACING_CAPTURE_CONTENT=0": Mode(environ={"TRACING_CAPTURE_CONTENT": "0"}),
    "LIVEKIT_TELEMETRY_ALLOW_PII=0": Mode(environ={"LIVEKIT_TELEMETRY_ALLOW_PII": "0"}),
    "allow_pii=False on the provider": Mode(before=_filtered),
    "the project's stamp": Mode(before=_stamped),
    "record={'redaction': True}": Mode(begin=lambda ctx: {"record": {"redaction": True}}),
    "job.enable_redaction": Mode(begin=_job_demands),
    "ctx.init_recording": Mode(begin=_recording_demands),
    "a mask": Mode({"mask": lambda text: text.replace(MARK, "")}, lines=2),
    "a mask that fails": Mode({"mask": _fails}, has_verdicts=False, lines=2),
    "a mask that returns no text": Mode({"mask": lambda text: None}, has_verdicts=False, lines=2),
    "content withheld, and a mask that fails": Mode(
        {"capture_content": False, "mask": _fails}, has_verdicts=False
    ),
    "content_safe": Mode(
        {
            "capture_content": False,
            "content_safe": [
                *("order.id", "logger:orders"),
                *("call.tags", "call.metadata.plan", "call.outcome"),
            ],
        },
        vouched=frozenset({"order.id", "own tag", "tag", "metadata", "outcome"}),
        vouched_lines=frozenset({"line of a vouched logger"}),
        lines=1,
    ),
}
"""The modes in which nothing that is marked may come through."""


@pytest.fixture
def langfuse() -> Iterator[LangfuseServer]:
    """A Langfuse."""
    with LangfuseServer() as found:
        yield found


Left = Callable[[Mode], dict[str, set[str]]]


@pytest.fixture
def left(
    in_thread: None,
    server: RecordingServer,
    langfuse: LangfuseServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Left:
    """Run a job in a mode; by channel, the places whose markers came through."""

    def run(mode: Mode) -> dict[str, set[str]]:
        for name, value in mode.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TRACING_STOP_SECONDS", "0")
        mode.before()
        caplog.set_level(logging.DEBUG, "tracing")
        backends = [
            Langfuse(**langfuse.settings, scores="all"),
            Otlp(endpoint=server.url),
            Otlp(endpoint=UNREACHABLE),
            "local",
        ]
        handle = setup_tracer(backends, **mode.options)  # type: ignore[arg-type]
        asyncio.run(run_job(mode.begin))
        store = tmp_path / ".tracing" / "calls.db"
        until(lambda: "job_entrypoint" in server.accepted_names())
        until(lambda: any(span.name.startswith("call") for span in langfuse.spans.values()))
        names = ["csat", *(["judge.accuracy"] if mode.has_verdicts else [])]
        until(lambda: {s["name"] for s in langfuse.scores.values()}.issuperset(names))
        until(lambda: b"job_entrypoint" in _bytes(store.parent, "calls.db*"))
        until(lambda: _lines(server) == mode.lines)
        until(lambda: not mode.lines or b"orders" in _bytes(store.parent, "calls.db*"))
        reports = tmp_path / ".tracing" / "reports"
        until(lambda: b"chat_history" in _bytes(reports))
        assert handle.directory is not None
        channels = {
            "spool": _bytes(handle.directory).decode(errors="replace"),
            "store": _bytes(store.parent, "calls.db*").decode(errors="replace"),
            "reports": _bytes(reports).decode(errors="replace"),
            "otlp": "".join(request.body.decode(errors="replace") for request in server.requests)
            + "".join(map(str, server.logs)),
            "langfuse": f"{langfuse.spans} {langfuse.scores}",
            "log": _told(caplog.records),
        }
        assert channels["spool"].count("a step") >= len(OTHERS) - 2 or "mask" in mode.options
        return {name: set(places(text)) for name, text in channels.items()}

    return run


def _lines(server: RecordingServer) -> int:
    """How many lines of the application's have come."""
    return sum(line.logger in ("customers", "orders") for line in server.logs)


def _bytes(directory: Path, pattern: str = "*") -> bytes:
    return b"".join(path.read_bytes() for path in directory.glob(pattern) if path.is_file())


def _told(records: list[logging.LogRecord]) -> str:
    """What our own loggers said, with their tracebacks."""
    formatter = logging.Formatter()
    return "\n".join(formatter.format(r) for r in records if r.name.startswith("tracing"))


@pytest.mark.parametrize("name", WITHHELD)
def test_nothing_that_is_marked_comes_through(name: str, left: Left) -> None:
    """In no channel, whoever withholds it; but for what the application vouches for."""
    mode = WITHHELD[name]
    found = left(mode)
    print(f"\n{name}: " + " ".join(f"{channel}={sorted(found[channel])}" for channel in CHANNELS))
    lines = mode.vouched | mode.vouched_lines
    through = {"spool": lines, "store": lines, "otlp": lines, "langfuse": mode.vouched}
    assert found == {"reports": set(), "log": set(), **through}


def test_markers_come_through_where_nothing_is_withheld(left: Left) -> None:
    """The table would be empty, too, if nothing were marked: each place is in the spool."""
    found = left(Mode(lines=2))
    for channel in CHANNELS:
        print(f"\n{channel}: {', '.join(sorted(found[channel]))}")
    keys = {key for keys in OTHERS.values() for key in keys}
    kinds = ("list of", "event of", "in event of", "link of", "exception of", "status of")
    of_spans = {f"{kind} {scope}" for kind in kinds for scope in OTHERS}
    of_calls = {
        *("typed", "answered", "argument", "tool result", "instructions", "room", "identity"),
        *("phone", "trunk phone", "sip header", "sip host", "sip call", "rpc caller"),
        *("rpc payload", "rpc response", "outcome reason", "tag", "judge's reasoning"),
        *("judge's explanation", "shutdown reason", "session id", "user id"),
        *("own tag", "metadata", "outcome", "score's comment", "score's category"),
        *("own event", "in own event"),
    }
    logged = {"log line", "exception that is logged", "line of a vouched logger"}
    assert (keys | of_spans | of_calls | logged) - found["spool"] == set()
    assert logged - found["otlp"] == logged - found["store"] == set()
    assert {"typed", "answered", "tool result", "typed later", "tag"} - found["reports"] == set()
    assert {"outcome reason", "judge's reasoning", "typed", "room"} - found["langfuse"] == set()
    words = {"own tag", "metadata", "outcome", "score's comment", "score's category"}
    assert words - found["langfuse"] == set()
    assert found["log"] == set()
