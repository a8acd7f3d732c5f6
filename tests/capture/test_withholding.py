"""Whether content is withheld: who demands it, from when on, and for whom."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession, JobContext
from livekit.agents.testing import fake_job_context
from opentelemetry.sdk.trace import TracerProvider

from tests.capture.pipeline import SECRET, Pipeline
from tests.fakes import make_span, until
from tests.sessions.scripted import FakeLLM, Said
from tracing import observe, setup_tracer
from tracing.account.call import Call
from tracing.account.turns.turn import Turn
from tracing.capture.current import Capture
from tracing.capture.jobs import attach_recording
from tracing.capture.sound.recording import Recordings
from tracing.capture.sound.to_measure import HeardTurns, Measurable
from tracing.capture.withholding import Withholding, is_filtered
from tracing.spool.segments import segment_paths

REDACTED = {"lk.redaction.enabled": True}


def job(**fields: Any) -> Any:
    """What is read of a job's context."""
    asked = {"enable_redaction": fields.pop("enable_redaction", False)}
    return SimpleNamespace(job=SimpleNamespace(**asked), **fields)


def session(redaction: bool) -> Any:
    """What is read of a session."""
    return SimpleNamespace(_redaction_enabled=redaction)


@pytest.mark.parametrize(
    ("a_job", "a_session", "expected"),
    [
        (None, None, False),
        (job(), session(False), False),
        (job(enable_redaction=True), None, True),
        (job(_redaction_enabled=True), None, True),
        (job(_primary_agent_session=session(True)), None, True),
        (job(), session(True), True),
        (None, session(True), True),
        (SimpleNamespace(job=SimpleNamespace()), SimpleNamespace(), False),
    ],
    ids=["nobody", "neither", "dispatch", "job", "primary", "session", "no job", "older LiveKit"],
)
def test_whoever_demands_it_is_heard(a_job: Any, a_session: Any, expected: bool) -> None:
    """The job as it was dispatched, the job's recording, the session; and always the process."""
    assert Withholding().is_demanded_by(a_job, a_session) is expected
    assert Withholding(always=True).is_demanded_by(a_job, a_session) is True


@contextlib.contextmanager
def a_job() -> Iterator[JobContext]:
    """A job of LiveKit's, as its own tests have one."""
    with fake_job_context() as context:
        yield context
        context._tempdir.cleanup()


async def test_what_is_read_of_livekit_is_there() -> None:
    """The fakes above have what the real ones have."""
    with a_job() as context:
        assert context.job.enable_redaction is False
        assert context._redaction_enabled is False
        assert context._primary_agent_session is None
    assert AgentSession(llm=FakeLLM({}))._redaction_enabled is False


def test_livekits_filter_is_seen_on_the_provider() -> None:
    """By what it allows; a provider without it withholds nothing."""
    from livekit.agents.telemetry import pii

    for allows, expected in ((False, True), (True, False)):
        provider = TracerProvider(shutdown_on_exit=False)
        assert is_filtered(provider) is False
        provider.add_span_processor(pii._PIIFilteringSpanProcessor(allow_pii=allows))
        assert is_filtered(provider) is expected


async def talk(**started: Any) -> None:
    """A session of one turn."""
    talking: AgentSession[None] = AgentSession(llm=FakeLLM({SECRET: Said(SECRET, 0.0)}))
    await talking.start(Agent(instructions=SECRET), **started)
    await talking.run(user_input=SECRET)
    await talking.aclose()


def written(directory: Path | None) -> bytes:
    """Every byte of the segments."""
    assert directory is not None
    return b"".join(path.read_bytes() for path in segment_paths(directory))


@pytest.mark.parametrize(("redaction", "times"), [(True, 0), (False, 1)])
async def test_a_session_without_a_job_is_heard(
    in_thread: None, redaction: bool, times: int
) -> None:
    """Nobody observes it, and LiveKit tells nobody of its demand."""
    handle = setup_tracer("otlp", endpoint="http://127.0.0.1:1")
    await talk(record={"redaction": redaction, "audio": False})
    until(lambda: b"agent_session" in written(handle.directory))
    assert min(written(handle.directory).count(SECRET.encode()), 1) == times


async def test_a_session_speaks_for_itself_alone(in_thread: None) -> None:
    """The next one in the same process is recorded as ever."""
    handle = setup_tracer("otlp", endpoint="http://127.0.0.1:1")
    await asyncio.create_task(talk(record={"redaction": True, "audio": False}))
    assert SECRET.encode() not in written(handle.directory)
    await asyncio.create_task(talk())
    assert SECRET.encode() in written(handle.directory)


async def test_a_session_that_was_begun_before_set_up_is_heard(in_thread: None) -> None:
    """Where it is observed."""
    talking: AgentSession[None] = AgentSession(llm=FakeLLM({SECRET: Said(SECRET, 0.0)}))
    talking._redaction_enabled = True
    handle = setup_tracer("otlp", endpoint="http://127.0.0.1:1")
    observe(talking)
    with a_job() as context:
        context._primary_agent_session = talking
        await talking.start(Agent(instructions="x"), record={"redaction": True, "audio": False})
        await talking.run(user_input=SECRET)
        await talking.aclose()
    assert SECRET.encode() not in written(handle.directory)


def test_a_demand_holds_from_then_on(tmp_path: Path) -> None:
    """What had ended is written; nothing is any more, nor what the call remembers of it."""
    pipeline = Pipeline(tmp_path)
    root = pipeline.start("job_entrypoint", **{"lk.job_id": "AJ_1", "lk.pii.room_name": "salon"})
    session_span = pipeline.start("agent_session", root, note="Anna's")
    turn = pipeline.start("user_turn", session_span)
    turn.set_attribute("lk.pii.user_transcript", SECRET)
    turn.end()
    before = len(pipeline.frames)
    assert SECRET.encode() in b"".join(pipeline.frames)
    late = pipeline.start("agent_turn", session_span, **REDACTED)
    late.set_attribute("lk.pii.user_input", "more of it")
    assert b"Anna's" not in b"".join(pipeline.processor.open_frames())
    for span in (late, session_span, root):
        span.end()
    after = b"".join(pipeline.frames[before:])
    assert [
        word for word in (SECRET, "more of it", "salon", "Anna's") if word.encode() in after
    ] == []
    assert pipeline.ended()["job_entrypoint"].attributes["session.id"] == "AJ_1"


def test_calls_of_one_process_are_apart(tmp_path: Path) -> None:
    """One demands it, the other one does not."""
    pipeline = Pipeline(tmp_path)
    for number, attributes in ((1, REDACTED), (2, {})):
        root = pipeline.start("job_entrypoint", **{"lk.job_id": f"AJ_{number}", **attributes})
        turn = pipeline.start(f"turn {number}", root, note=SECRET)
        turn.end()
        root.end()
    ended = pipeline.ended()
    assert "note" not in ended["turn 1"].attributes
    assert ended["turn 2"].attributes["note"] == SECRET


def test_names_that_the_application_gives_are_withheld_too(tmp_path: Path) -> None:
    """A session's and a user's; unless it says that they are harmless."""
    known = {"lk.job_id": "AJ_1", "lk.pii.room_name": "salon"}
    for safe, expected in (
        ((), {"session.id": "AJ_1"}),
        (("session.id", "user.id"), {"session.id": "call of Anna", "user.id": "Anna"}),
        (("lk.pii.room_name",), {"session.id": "salon/AJ_1", "lk.pii.room_name": "salon"}),
    ):
        pipeline = Pipeline(
            tmp_path,
            content=False,
            content_safe=safe,
            make_call=_named(session_id="call of Anna", user_id="Anna", content_safe=safe),
        )
        pipeline.start("job_entrypoint", **known).end()
        [span] = pipeline.ended().values()
        assert span.attributes == {"lk.job_id": "AJ_1", **expected}


def _named(**options: Any) -> Any:
    return functools.partial(Call, **options)


def test_an_error_of_ours_quotes_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the log nor in the file of losses; as where somebody's callable fails."""

    def fails(known: Any) -> str:
        raise ValueError(f"no name for {SECRET}")

    pipeline = Pipeline(tmp_path, content=False, make_call=_named(session_id=fails))
    pipeline.start("job_entrypoint", **{"lk.job_id": "AJ_1"}).end()
    pipeline.ledger.settle(finally_=True)
    losses = "".join(path.read_text() for path in tmp_path.glob("losses*"))
    assert "ValueError('[withheld]')" in losses
    assert "in fails" in caplog.text
    assert SECRET not in losses + caplog.text


class _Job:
    """A job of which only its end is asked."""

    def __init__(self, enable_redaction: bool) -> None:
        self.job = SimpleNamespace(id="AJ_1", enable_redaction=enable_redaction)
        self.at_end: Any = None

    def add_shutdown_callback(self, callback: Any) -> None:
        self.at_end = callback


@pytest.mark.parametrize("demands", ["job", "session", "process", "nobody"])
async def test_a_recording_stays_where_content_is_withheld(tmp_path: Path, demands: str) -> None:
    """Whoever demands it, also after the session was observed."""
    audio = tmp_path / "job" / "audio.ogg"
    audio.parent.mkdir()
    audio.write_bytes(b"OggS")
    recorder = SimpleNamespace(output_path=audio, recording=False, recording_started_at=1.0)
    recorded = SimpleNamespace(_recorder_io=recorder, _redaction_enabled=False)
    pipeline = Pipeline(tmp_path, withholding=Withholding(always=demands == "process"))
    root = pipeline.start("job_entrypoint", **{"lk.job_id": "AJ_1"})
    pipeline.processor.roots.substitute("AJ_1", pipeline.processor.converter.convert(root), root)
    a_job = _Job(demands == "job")
    measurable = Measurable(tmp_path / "spool", {}, {})
    capture = Capture(pipeline.processor, None, Recordings(tmp_path), measurable)
    heard = HeardTurns()
    attach_recording(a_job, recorded, capture, heard)  # type: ignore[arg-type]
    turn = make_span(1, "agent_turn", trace_id=root.context.trace_id.to_bytes(16, "big"))
    heard.turn_ended(Turn(turn), {"turn.agent_started_speaking_at": 2.0})
    recorded._redaction_enabled = demands == "session"
    await a_job.at_end("over")
    root.end()
    [span] = pipeline.ended().values()
    assert ("recording.path" in span.attributes) is (demands == "nobody")
    assert (tmp_path / "recordings").exists() is (demands == "nobody")
    assert (tmp_path / "spool" / "heard").exists() is (demands == "nobody")
