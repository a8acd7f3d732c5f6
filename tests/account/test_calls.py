"""Calls as a whole: stamped live and after the fact, and told as one object."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, tts
from livekit.agents.voice.agent_session import SessionConnectOptions

from tests.sessions.accounts import Clerk, account_of, last_turn, one_turn
from tests.sessions.scripted import NO_RETRY_WAIT, FakeTTS, Said, _FakeTTSStream
from tests.sessions.spans import TRACE_ID, nanos, span
from tests.sessions.studio import Recorder, attached, observed, studio
from tracing import stamps
from tracing.account.call import Call
from tracing.account.restamp import restamp
from tracing.account.turns.latency import parts_of
from tracing.calls.describe import describe
from tracing.calls.transcribe import transcribe
from tracing.calls.tree import Tree
from tracing.otlp_json import read_spans
from tracing.span import Span
from tracing.store.call_rows import summarize


async def test_a_call_agrees_with_livekits_own_numbers() -> None:
    """Field by field with `ChatMessage.metrics` of the user's and the agent's message."""
    script = {"hello": Said("Good evening.", delay=0.1), "bye": Said("Goodbye.", delay=0.1)}
    async with studio(Clerk("Welcome.", 0.02), script) as running:
        await running.until_heard("Welcome")
        for says, answer in (("hello", "Good evening"), ("bye", "Goodbye")):
            await running.caller.say(says)
            await running.until_heard(answer)
    messages = [i for i in running.session.history.items if i.type == "message"]
    told = {m.text_content: m.metrics for m in messages}
    turns = running.recorder.named("agent_turn")
    for turn, says, answer in (
        (turns[1], told["hello"], told["Good evening."]),
        (turns[2], told["bye"], told["Goodbye."]),
    ):
        of_user = {
            "started_speaking_at": "user_started_speaking_at",
            "stopped_speaking_at": "user_stopped_speaking_at",
            "transcription_delay": "transcription_delay_seconds",
            "end_of_turn_delay": "end_of_turn_delay_seconds",
            "on_user_turn_completed_delay": "on_user_turn_completed_delay_seconds",
        }
        of_agent = {
            "started_speaking_at": "agent_started_speaking_at",
            "stopped_speaking_at": "agent_stopped_speaking_at",
            "llm_node_ttft": "llm_node_ttft_seconds",
            "tts_node_ttfb": "tts_node_ttfb_seconds",
            "e2e_latency": "user_bot_latency_seconds",
        }
        for fields, metrics in ((of_user, says), (of_agent, answer)):
            for field, attribute in fields.items():
                ours = turn.attributes[f"turn.{attribute}"]
                assert ours == pytest.approx(metrics[field], abs=0.002), field


async def test_recorded_spans_are_stamped_like_live_ones() -> None:
    """All that was stamped while the call ran, except when the end of speech was known."""
    running = await one_turn({"hello": Said("Good evening.")}, Clerk("Welcome."))
    live = {s.span_id: s for s in running.recorder.stamped}
    again = {s.span_id: s for s in restamp(running.recorder.stamped)}
    for known, ended in live.items():  # live, the first spans ended before the agent was known
        early = {stamps.FIRST_AGENT} - ended.attributes.keys()
        found = {key: v for key, v in again[known].attributes.items() if key not in early}
        assert again[known]._replace(attributes=found) == ended
    bare = {s.span_id: dict(s.attributes) for s in restamp(running.recorder.bare)}
    turn = last_turn(running.recorder)
    expected = dict(turn.attributes)
    detection = expected.pop("turn.part_seconds.end_of_speech_detection")
    expected["turn.part_seconds.transcription_wait"] += detection
    assert bare[turn.span_id] == pytest.approx(expected)


@pytest.mark.parametrize("is_observed", [True, False])
@pytest.mark.parametrize("closes", [True, False])
async def test_a_user_turn_whose_transcription_failed(closes: bool, is_observed: bool) -> None:
    """The spans tell where the session closes for it, else events; a turn before it is fine."""
    tolerated = SessionConnectOptions(
        stt_conn_options=APIConnectOptions(max_retry=0),
        max_unrecoverable_errors=0 if closes else 3,
    )
    options = {"prepare": observed() if is_observed else None, "conn_options": tolerated}
    failures: list[Any] = []
    async with studio(Clerk(), {"hello": Said("Good evening.")}, **options) as running:
        running.session.on("error", failures.append)
        await running.caller.say("hello")
        await running.until_heard("Good evening")
        await running.caller.say("")
        running.caller.scribe.heard.put_nowait(APIConnectionError("gone"))
        await running.until(lambda: bool(failures))
        if closes:
            await running.until(lambda: bool(running.recorder.named("agent_session")))
    recorder, failed = running.recorder, "stt_error" if closes or is_observed else None
    fine: list[tuple[str, object]] = [("agent_turn", None), ("user_turn", None)]
    assert _errors(recorder.stamped) == [*fine, ("user_turn", failed)]
    of_spans_alone = "stt_error" if closes else None
    assert _errors(restamp(recorder.bare)) == [*fine, ("user_turn", of_spans_alone)]


def _errors(spans: list[Span]) -> list[tuple[str, object]]:
    turns = [one for one in spans if one.name in ("user_turn", "agent_turn")]
    turns.sort(key=lambda turn: (turn.name, turn.start_time_unix_nano))
    return [(turn.name, turn.attributes.get(stamps.TURN_ERROR)) for turn in turns]


@pytest.mark.parametrize(("content", "message"), [(True, "scripted"), (False, "[withheld]")])
@pytest.mark.parametrize("after_a_sentence", [True, False])
async def test_an_agent_turn_whose_voice_failed(
    after_a_sentence: bool, content: bool, message: str
) -> None:
    """In the words of the TTS, withheld where content is; the next turn is fine."""
    recorder = Recorder(content=content)
    script = {"hello": Said("Good evening."), "bye": Said("Goodbye.")}
    voice = Breaking() if after_a_sentence else FakeTTS(failures=4)
    with attached(recorder):
        async with studio(Clerk(), script, recorder=recorder, tts=voice) as running:
            await running.caller.say("hello")
            await running.until(lambda: len(recorder.named("agent_turn")) == 1)
            voice.failures = 0
            await running.caller.say("bye")
            await running.until_heard("Goodbye")
    failed, fine = recorder.named("agent_turn")
    assert message in str(failed.attributes[stamps.TURN_ERROR])
    assert (stamps.TURN_AGENT_STARTED in failed.attributes) == after_a_sentence
    assert stamps.TURN_ERROR not in fine.attributes


class Breaking(FakeTTS):
    """Speaks its first sentence, and fails then."""

    def __init__(self) -> None:
        super().__init__(failures=1)

    def stream(self, **_: Any) -> Any:
        return _BreakingStream(tts=self, conn_options=NO_RETRY_WAIT)


class _BreakingStream(_FakeTTSStream):
    async def _speak(self, fake: FakeTTS, output_emitter: tts.AudioEmitter) -> None:
        failures, fake.failures = fake.failures, 0
        await super()._speak(fake, output_emitter)
        if failures:
            await asyncio.sleep(0.1)
            raise APIConnectionError("scripted TTS failure")


async def test_a_call_is_described_as_one_object() -> None:
    """The whole object of a greeting and a reply, numbers aside."""
    running = await one_turn({"hello": Said("Good evening.")}, Clerk("Welcome."))
    described = describe(Tree(running.recorder.bare))
    trace_id = running.recorder.bare[0].trace_id.hex()
    greeting, reply = described.pop("turns")
    assert described.pop("started_at").endswith("+00:00")
    assert described.pop("duration_seconds") > 1.0
    summary = described.pop("summary")
    assert described == {
        "trace_id": trace_id,
        "session_id": f"session-{trace_id[:8]}",
        "agent": "clerk",
    }
    assert (greeting["number"], greeting["kind"], greeting["agent_text"]) == (
        1,
        "greeting",
        "Welcome.",
    )
    texts = {key: reply[key] for key in ("number", "kind", "user_text", "agent_text")}
    assert texts == {
        "number": 2,
        "kind": "reply",
        "user_text": "hello",
        "agent_text": "Good evening.",
    }
    assert sum(reply["parts"].values()) == pytest.approx(reply["user_bot_latency_seconds"])
    assert summary["turns"] == 2
    assert summary["latency_max_seconds"] == reply["user_bot_latency_seconds"]
    assert summary["within_budget_share"] == 1.0
    assert summary["close_reason"] == "user_initiated"
    llm_usage = {"type": "llm_usage", "provider": "fake", "model": "fake-llm"}
    tokens = {"input_tokens": 100, "input_cached_tokens": 40, "output_tokens": 10}
    assert {**llm_usage, **tokens} in summary["usage"]


def killed_call() -> list[Span]:
    """What a killed process leaves: open spans, of which recovery closed some."""
    job = {"lk.job_id": "AJ_x3kF", "lk.pii.room_name": "support-4711"}
    root = span("job_entrypoint", 0, None, job)
    session = span("agent_session", 10, None, parent=root)
    turn = span("agent_turn", 1_000, None, {"lk.pii.user_input": "hello"}, parent=session)
    return [
        root,
        session,
        turn,
        span("llm_node", 1_010, 1_400, {"lk.response.ttft": 0.2}, parent=turn),
        span("tts_node", 1_210, 1_500, {"lk.response.ttfb": 0.1}, parent=turn),
        span("agent_speaking", 1_320, 1_800, parent=turn, failed=True),
    ]


def test_a_killed_call_is_described_as_far_as_it_came() -> None:
    """Open spans stay open, and count as if they had ended with the last sign of life."""
    spans = killed_call()
    assert [s.end_time_unix_nano for s in restamp(spans)][:3] == [0, 0, 0]
    assert describe(Tree(spans)) == {
        "trace_id": TRACE_ID.hex(),
        "session_id": "support-4711/AJ_x3kF",
        "started_at": "2026-11-20T19:30:00+00:00",
        "duration_seconds": 1.8,
        "summary": {
            "turns": 1,
            "budget_seconds": 1.0,
            "barge_ins": 0,
            "barge_in_rate": 0.0,
            "duration_seconds": 1.79,
        },
        "turns": [
            {
                "number": 1,
                "kind": "reply",
                "user_text": "hello",
                "interrupted": False,
                "barged_in": False,
                "agent_started_speaking_at": nanos(1_320) / 1e9,
                "agent_stopped_speaking_at": nanos(1_800) / 1e9,
                "llm_node_ttft_seconds": 0.2,
                "tts_node_ttfb_seconds": 0.1,
                "first_output_seconds": 0.32,
                "parts": {
                    "llm_first_token": 0.2,
                    "llm_speakable_text": 0.0,
                    "tts_first_audio": 0.1,
                    "playout_start": 0.01,
                    "unaccounted": 0.01,
                },
                "is_open": True,
            }
        ],
    }


def test_a_call_that_was_named_late_has_its_last_name() -> None:
    """In the report as in the transcript and in the list of calls."""
    early = span("room_connect", 0, 10, {stamps.SESSION_ID: "support-4711/AJ_x3kF"})
    late = span("agent_session", 5, 900, {stamps.SESSION_ID: "order-12"})
    spans = [early, late]
    [listed] = summarize(spans)
    found = (
        describe(Tree(spans))["session_id"],
        transcribe(Tree(spans))["session_id"],
        listed.session_id,
    )
    assert found == ("order-12", "order-12", "order-12")


def test_a_call_without_a_session_is_described() -> None:
    """Whatever is left of a trace can be told."""
    described = describe(Tree([span("agent_turn", 0, 100)]))
    assert described["summary"] == {"turns": 1, "budget_seconds": 1.0}
    assert described["turns"][0]["kind"] == "greeting"


def test_a_started_and_an_ended_version_of_a_span_are_one() -> None:
    """The later one counts."""
    spans = killed_call()
    ended = spans[2]._replace(end_time_unix_nano=nanos(2_000))
    assert describe(Tree([ended, *spans]))["turns"] == describe(Tree([*spans, ended]))["turns"]
    assert describe(Tree([ended, *spans]))["duration_seconds"] == 2.0


RECORDINGS = sorted((Path(__file__).parents[1] / "recordings").glob("*/*.json"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_calls_of_every_livekit_version_add_up(path: Path) -> None:
    """Recorded without us: each turn's parts are its latency, whatever that version tells."""
    calls: dict[bytes, list[Span]] = {}
    for one in read_spans(path):
        calls.setdefault(one.trace_id, []).append(one)
    for spans in calls.values():
        for turn in restamp(spans):
            if turn.name == "agent_turn" and parts_of(turn.attributes):
                assert turn.attributes["turn.kind"] != "discarded"
                if path.stem == "realtime_late" and "lk.e2e_latency" not in turn.attributes:
                    continue  # before 1.8 nothing told in time what ran
                account_of(turn)


def test_what_a_call_remembers_is_bounded() -> None:
    """However many spans start and never end, and however many steps a turn has."""
    call = Call()
    session = span("agent_session", 0, None)
    call.started(session)
    for index in range(10_000):
        call.started(span("user_speaking", index, None, parent=session))
    assert len(call._neighbours.open) <= 4_096
    turn = span("agent_turn", 0, None, parent=session)
    call.started(turn)
    for index in range(1_000):
        step = span("llm_node", index, index + 1, parent=turn)
        call.started(step)
        call.ended(step)
    open_turn = call.turn(turn.span_id)
    assert open_turn is not None
    assert len(open_turn.steps["llm_node"]) == 64


def test_two_sessions_of_a_call_have_summaries_of_their_own() -> None:
    """A turn belongs to the session above it."""
    call = Call()
    first, second = span("agent_session", 0, 50), span("agent_session", 1, 60)
    for session in (first, second):
        call.started(session)
    for parent in (first, first, second):
        turn = span("agent_turn", 2, 9, parent=parent)
        call.started(turn)
        call.ended(turn)
    assert call.ended(first)["call.turns"] == 2
    assert call.ended(second)["call.turns"] == 1
