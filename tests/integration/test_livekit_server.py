"""A caller, a real LiveKit server and `demo.agent start`: each call is one whole trace."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo import script
from tests.fakes import ROOT, RecordingServer
from tests.integration.caller import API_KEY, API_SECRET, calling
from tests.integration.processes import answers, free_port, running, wait_for
from tests.integration.programs import require
from tracing.names import RESPONSE_TEXT, USER_TRANSCRIPT, first
from tracing.span import STATUS_ERROR, Span

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning"),
]

IDENTITY = "caller-7"
LATENCY = "turn.user_bot_latency_seconds"
GREETING = script.GREETINGS["host"]
QUESTION, LONG_QUESTION = script.TURNS[0], script.TURNS[3]

SET_UP = {
    "room_connect": "session_start",
    "wait_for_participant": "session_start",
    "wait_for_audio_track": "session_start",
    "publish_audio_output": "session_start",
    "session_start": "agent_session",
    "agent_session": "job_entrypoint",
}
"""What LiveKit tells of a room, by the span that it is told under."""
TURN = {
    "user_speaking": "user_turn",
    "user_turn": "agent_session",
    "agent_speaking": "agent_turn",
    "agent_turn": "agent_session",
}
HANGING_UP = {
    "session_close": "agent_session",
    "room_disconnect": "job_shutdown",
    "job_shutdown": "job_entrypoint",
}


@dataclass(frozen=True)
class Agent:
    """A worker that waits for calls, and the backend that it sends its spans to."""

    worker: subprocess.Popen[bytes]
    log: Path
    backend: RecordingServer

    def says(self, words: str) -> bool:
        """Whether the log has these words."""
        return words in self.log.read_text()

    def job_pid(self) -> int:
        """The process of the call: the one that logs a job and is not the worker."""
        for line in self.log.read_text().splitlines():
            with suppress(ValueError):
                record = json.loads(line)
                if "job_id" in record and record["pid"] != self.worker.pid:
                    return int(record["pid"])
        raise AssertionError("no process has logged a job")

    def stop(self) -> None:
        """SIGTERM to the worker alone, as a container's engine sends it; it ends in order."""
        self.worker.terminate()
        assert self.worker.wait(60) == 0

    def spans(self, room: str) -> list[Span]:
        """What has come of a room's calls; a span that was sent twice is one."""
        span_by_id = {span.span_id: span for span in self.backend.accepted}
        return [span for span in span_by_id.values() if session_of(span).startswith(f"{room}/")]

    def whole_trace(self, room: str) -> list[Span]:
        """The spans of a room's one call, when it is over and the worker has delivered."""
        wait_for(lambda: "job_entrypoint" in names(self.spans(room)), 30, "the call's root")
        self.stop()
        return self.spans(room)


@pytest.fixture
def livekit_url(tmp_path: Path) -> Iterator[str]:
    """A LiveKit server in development mode that neither listens nor looks beyond loopback."""
    port = free_port()
    config = {
        "port": port,
        "bind_addresses": ["127.0.0.1"],
        "rtc": {
            "udp_port": free_port(),
            "tcp_port": 0,
            "node_ip": "127.0.0.1",
            "ips": {"includes": ["127.0.0.1/32"]},
            "enable_loopback_candidate": True,
            "stun_servers": ["127.0.0.1:1"],  # else it names public ones to everybody
        },
        "room": {"departure_timeout": 1},
    }
    server = str(require("livekit-server"))
    command = [server, "--dev", "--config-body", json.dumps(config)]
    with running(command, log=tmp_path / "livekit-server.log"):
        wait_for(lambda: answers(f"http://127.0.0.1:{port}"), 20, "the LiveKit server answers")
        yield f"ws://127.0.0.1:{port}"


@contextmanager
def serving(
    livekit_url: str, directory: Path, *options: str, module: str = "demo.agent"
) -> Iterator[Agent]:
    """The agent that people copy, in production mode, with its offline models; or another."""
    # LiveKit's own switch for many workers on one machine: no fixed port, no call refused for load.
    command = [sys.executable, "-m", module, "start", "--simulation", *options]
    log = directory / "agent.log"
    with RecordingServer() as backend:
        environ = {
            "LIVEKIT_URL": livekit_url,
            "LIVEKIT_API_KEY": API_KEY,
            "LIVEKIT_API_SECRET": API_SECRET,
            "PYTHONPATH": str(ROOT),
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "TRACING_STOP_SECONDS": "20",
        }
        with running(command, log=log, environ=environ, cwd=directory) as worker:
            agent = Agent(worker, log, backend)
            wait_for(lambda: agent.says("registered worker"), 60, "the worker is registered")
            yield agent


def names(spans: list[Span]) -> set[str]:
    """Their names."""
    return {span.name for span in spans}


def session_of(span: Span) -> str:
    """The session that a span belongs to."""
    return str(span.attributes.get("session.id", ""))


def told(trace: list[Span], span_name: str, keys: tuple[str, ...]) -> list[object]:
    """An attribute's values on the spans of a name, in the order in which these began."""
    ordered = sorted(trace, key=lambda span: span.start_time_unix_nano)
    return [first(span.attributes, keys) for span in ordered if span.name == span_name]


def errors(trace: list[Span]) -> dict[str, object]:
    """The kind of each error by the name of the span that ended with it."""
    return {
        span.name: span.attributes.get("error.type")
        for span in trace
        if span.status_code == STATUS_ERROR
    }


def check_tree(trace: list[Span], parents: dict[str, str]) -> None:
    """One trace, one parentless span, no parent that is missing; and these hang from those."""
    name_by_id = {b"": None, **{span.span_id: span.name for span in trace}}
    assert len({span.trace_id for span in trace}) == 1
    assert [span.name for span in trace if not span.parent_span_id] == ["job_entrypoint"]
    assert [span.name for span in trace if span.parent_span_id not in name_by_id] == []
    found = {(span.name, name_by_id[span.parent_span_id]) for span in trace}
    assert {pair for pair in found if pair[0] in parents} == set(parents.items())


def check_identity(trace: list[Span], room: str) -> None:
    """One session, named for its room; the caller is the user from when they were known."""
    [session_id] = {session_of(span) for span in trace}
    assert session_id.startswith(f"{room}/AJ_")
    assert {span.attributes.get("user.id") for span in trace} <= {None, IDENTITY}
    in_the_call = {"job_entrypoint", "agent_session", *TURN}
    users = {span.attributes.get("user.id") for span in trace if span.name in in_the_call}
    assert users == {IDENTITY}


async def ask(url: str, room: str) -> None:
    """Be greeted, ask, be answered, hang up."""
    async with calling(url, room, IDENTITY) as caller:
        await caller.hear()
        await caller.wait_for_turn()
        await caller.say(QUESTION.clip)
        await caller.hear()
        await caller.wait_for_turn()


async def ask_in_vain(url: str, room: str, end: Callable[[], None]) -> None:
    """Ask for a long answer; in the middle of it the call is ended."""
    async with calling(url, room, IDENTITY) as caller:
        await caller.hear()
        await caller.wait_for_turn()
        await caller.say(LONG_QUESTION.clip)
        await caller.hear()
        await asyncio.to_thread(end)


def test_call_is_one_whole_trace(livekit_url: str, tmp_path: Path) -> None:
    """A caller asks, hears the agent, hangs up: from `room_connect` to `room_disconnect`."""
    with serving(livekit_url, tmp_path) as agent:
        asyncio.run(ask(livekit_url, "asked"))
        trace = agent.whole_trace("asked")
    check_tree(trace, {**SET_UP, **TURN, **HANGING_UP})
    check_identity(trace, "asked")
    assert errors(trace) == {}
    assert told(trace, "user_turn", USER_TRANSCRIPT) == [QUESTION.caller]
    assert told(trace, "agent_turn", RESPONSE_TEXT) == [GREETING, QUESTION.reply]


def test_killed_job_is_one_trace_whose_open_spans_are_closed(
    livekit_url: str, tmp_path: Path
) -> None:
    """SIGKILL to the call's process in the middle of an answer."""
    with serving(livekit_url, tmp_path) as agent:

        def kill() -> None:
            os.kill(agent.job_pid(), signal.SIGKILL)

        asyncio.run(ask_in_vain(livekit_url, "killed", kill))
        trace = agent.whole_trace("killed")
    check_tree(trace, {**SET_UP, **TURN})
    check_identity(trace, "killed")
    assert names(trace).isdisjoint(HANGING_UP)
    died = errors(trace)
    assert set(died.values()) == {"process_died"}
    assert {"job_entrypoint", "agent_session", "agent_turn", "agent_speaking"} <= set(died)
    assert set(died).isdisjoint({*SET_UP} - {"agent_session"})
    assert told(trace, "user_turn", USER_TRANSCRIPT) == [LONG_QUESTION.caller]
    assert told(trace, "agent_turn", RESPONSE_TEXT) == [GREETING, None]


def test_worker_stopped_in_a_call_leaves_a_whole_trace(livekit_url: str, tmp_path: Path) -> None:
    """SIGTERM to the worker, which waits a second for the call and then ends it in order."""
    with serving(livekit_url, tmp_path, "--drain-timeout", "1") as agent:
        asyncio.run(ask_in_vain(livekit_url, "stopped", agent.stop))
        trace = agent.whole_trace("stopped")
    check_tree(trace, {**SET_UP, **TURN, **HANGING_UP})
    check_identity(trace, "stopped")
    assert errors(trace) == {}


def test_recorded_call_tells_what_the_caller_heard(livekit_url: str, tmp_path: Path) -> None:
    """Of LiveKit's own recording in a room, and of the frames as they pass: the same."""
    with serving(livekit_url, tmp_path, module="tests.integration.recorded_agent") as agent:
        asyncio.run(ask(livekit_url, "recorded"))
        wait_for(lambda: "heard" in names(agent.spans("recorded")), 60, "it is measured")
        trace = agent.whole_trace("recorded")
    measured = {span.parent_span_id: span.attributes for span in trace if span.name == "heard"}
    turns = [span for span in trace if span.name == "agent_turn"]
    assert {span.span_id for span in turns} == set(measured)
    [reply] = [span for span in turns if LATENCY in span.attributes]
    listened, recorded = reply.attributes, measured[reply.span_id]
    assert "turn.heard_reason" not in {**listened, **recorded}
    for heard in (listened, recorded):
        tail, lead_in = (heard[f"turn.{key}_seconds"] for key in ("speech_tail", "voice_lead_in"))
        whole = float(str(listened[LATENCY])) + float(str(tail)) + float(str(lead_in))
        assert heard["turn.heard_latency_seconds"] == pytest.approx(whole, abs=0.02)
        assert -0.05 < float(str(tail)) < 0.6
        assert -0.02 < float(str(lead_in)) < 0.2
    for key in ("heard_latency", "speech_tail", "voice_lead_in"):
        assert listened[f"turn.{key}_seconds"] == pytest.approx(
            recorded[f"turn.{key}_seconds"], abs=0.03
        )
