"""Calls of real sessions: what their turns are stamped with, and how recorded ones are told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from livekit.agents import NOT_GIVEN, Agent, function_tool, llm, tts
from realtime import Answered, FakeRealtime
from sessions import FakeLLM, FakeTTS, Recorder, Said, Studio, Waits, studio
from spans import TRACE_ID, nanos, span

from tracing.livekit.calls import Call, describe, restamp
from tracing.livekit.latency import parts
from tracing.otlp_json import read_spans
from tracing.span import Event, Span

NOT_PREEMPTIVE = {"turn_handling": {"preemptive_generation": {"enabled": False}}}
CLOSE_SECONDS = 0.02
SUM_SECONDS = 0.001


class Clerk(Agent):
    """Answers, looks things up, and hands over."""

    def __init__(self, greeting: str = "", hook_seconds: float = 0.0) -> None:
        super().__init__(instructions="Help.")
        self.greeting, self.hook_seconds = greeting, hook_seconds

    async def on_enter(self) -> None:
        if self.greeting:
            self.session.say(self.greeting)

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        await asyncio.sleep(self.hook_seconds)

    @function_tool
    async def look_up(self, what: str) -> str:
        """Look something up."""
        await asyncio.sleep(0.2)
        return f"looked up {what}"

    @function_tool
    async def search(self, what: str) -> str:
        """Search for something, slowly."""
        await asyncio.sleep(0.3)
        return f"looked up {what}"

    @function_tool
    async def pay(self) -> str:
        """Fail to pay."""
        raise ValueError("the card was refused")

    @function_tool
    async def hand_over(self) -> Agent:
        """Hand over to the chef."""
        return Chef()


class Chef(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Cook.")

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="introduce yourself")


def account_of(turn: Span) -> dict[str, float]:
    """Return a turn's parts, having checked that they add up and leave little unexplained."""
    found = parts(turn.attributes)
    whole = turn.attributes.get(
        "turn.user_bot_latency_seconds", turn.attributes.get("turn.first_output_seconds")
    )
    assert sum(found.values()) == pytest.approx(whole, abs=SUM_SECONDS)
    assert all(seconds >= 0 for seconds in found.values())
    assert found.pop("unaccounted", 0.0) < CLOSE_SECONDS
    return found


def last_turn(recorder: Recorder) -> Span:
    """Return the last turn, whose latency is LiveKit's where LiveKit has one."""
    turn = recorder.named("agent_turn")[-1]
    if "lk.e2e_latency" in turn.attributes:
        measured = turn.attributes["turn.user_bot_latency_seconds"]
        assert measured == turn.attributes["lk.e2e_latency"]
    return turn


def close(**seconds: float) -> dict[str, Any]:
    """Return parts as they were scripted; a dot in a name is written as two underscores."""
    return {
        name.replace("__", "."): pytest.approx(value, abs=CLOSE_SECONDS)
        for name, value in seconds.items()
    }


def heard(waits: Waits, *, endpointing: float = 0.4) -> dict[str, float]:
    """Return the user's stages as they really took: detection, transcript, decision."""
    detection, transcription = waits.taken["detection"][-1], waits.taken["transcription"][-1]
    return {
        "end_of_speech_detection": detection,
        "transcription_wait": max(transcription - detection, 0.0),
        "turn_decision": endpointing - max(detection, transcription),
    }


def spoke(waits: Waits) -> dict[str, float]:
    """Return the stages of the reply's voice as they really took."""
    return {"tts_first_audio": waits.taken["tts"][-1], "playout_start": waits.taken["playout"][-1]}


async def one_turn(
    script: dict[str, Said], agent: Agent | None = None, says: str = "hello", **options: Any
) -> Studio:
    """Run a session in which the caller speaks once and is answered."""
    answer = list(script.values())[-1].text
    async with studio(agent or Clerk(), script, **options) as running:
        await running.caller.say(says)
        await running.until_heard(answer)
    return running


async def test_a_plain_turn() -> None:
    """Every stage that was scripted is a part, and the parts are the latency."""
    running = await one_turn(
        {"hello": Said("Good evening to you.", delay=0.25, rest_delay=0.08)},
        Clerk(hook_seconds=0.06),
        **NOT_PREEMPTIVE,
    )
    waits = running.waits
    assert account_of(last_turn(running.recorder)) == close(
        **heard(waits),
        on_user_turn_completed=0.06,
        llm_first_token=waits.taken["llm"][0],
        llm_speakable_text=waits.taken["llm_rest"][0],
        **spoke(waits),
        queue_wait=0.0,
    )


async def test_a_turn_whose_preemptive_generation_was_kept() -> None:
    """The LLM had answered before the turn was decided: that is gained, not a part."""
    running = await one_turn({"hello": Said("Good evening.", delay=0.15)})
    turn = last_turn(running.recorder)
    assert account_of(turn) == close(
        **heard(running.waits),
        on_user_turn_completed=0.0,
        llm_first_token=0.0,
        llm_speakable_text=0.0,
        **spoke(running.waits),
        queue_wait=0.0,
    )
    gained = running.waits.taken["llm"][0]
    assert turn.attributes["turn.overlap_seconds"] == pytest.approx(gained, abs=CLOSE_SECONDS)


async def test_a_turn_whose_preemptive_generation_was_discarded() -> None:
    """The caller went on speaking: the first answer is cost, the second one is the reply."""
    script = {"hello": Said("To whom?", delay=0.1), "hello there": Said("Hi.", delay=0.35)}
    async with studio(Clerk(), script) as running:
        await running.caller.say("there", early_text="hello", transcription=0.2)
        await running.until_heard("Hi")
    turn = last_turn(running.recorder)
    waits = running.waits
    late = waits.taken["transcription"][0] + waits.taken["llm"][1] - 0.4
    assert account_of(turn) == close(
        **heard(waits),
        on_user_turn_completed=0.0,
        llm_first_token=late,
        llm_speakable_text=0.0,
        **spoke(waits),
        queue_wait=0.0,
    )
    assert turn.attributes["turn.discarded_generations"] == 1
    assert turn.attributes["turn.llm_calls"] == 2


async def test_a_turn_that_waited_for_a_tool() -> None:
    """The step that called, and the tool, each by name."""
    running = await one_turn(
        {
            "hello": Said(delay=0.15, tools=[("look_up", '{"what": "menu"}')]),
            "looked up menu": Said("Here it is.", delay=0.2),
        },
        **NOT_PREEMPTIVE,
    )
    turn, waits = last_turn(running.recorder), running.waits
    assert account_of(turn) == close(
        **heard(waits),
        on_user_turn_completed=0.0,
        llm_step=waits.taken["llm"][0],
        tool__look_up=0.2,
        llm_first_token=waits.taken["llm"][1],
        llm_speakable_text=0.0,
        **spoke(waits),
        queue_wait=0.0,
    )
    assert (turn.attributes["turn.tool_calls"], turn.attributes["turn.llm_calls"]) == (1, 2)


async def test_a_turn_that_waited_for_several_tools() -> None:
    """Two at once, of which the slow one counts, and then another."""
    running = await one_turn(
        {
            "hello": Said(
                delay=0.1, tools=[("look_up", '{"what": "a"}'), ("search", '{"what": "b"}')]
            ),
            "looked up b": Said(delay=0.1, tools=[("look_up", '{"what": "c"}')]),
            "looked up c": Said("Here it is.", delay=0.1),
        },
        **NOT_PREEMPTIVE,
    )
    waits = running.waits
    assert account_of(last_turn(running.recorder)) == close(
        **heard(waits),
        on_user_turn_completed=0.0,
        llm_step=waits.taken["llm"][0],
        tool__search=0.3,
        llm_step__2=waits.taken["llm"][1],
        tool__look_up=0.2,
        llm_first_token=waits.taken["llm"][2],
        llm_speakable_text=0.0,
        **spoke(waits),
        queue_wait=0.0,
    )


async def test_a_turn_that_another_agent_answers() -> None:
    """The user waited for both agents; the first one's turn has no latency of its own."""
    running = await one_turn(
        {
            "hello": Said(delay=0.1, tools=[("hand_over", "{}")]),
            "introduce yourself": Said("I am the chef.", delay=0.15),
        },
        **NOT_PREEMPTIVE,
    )
    waits = running.waits
    handing_over, turn = running.recorder.named("agent_turn")
    assert "turn.user_bot_latency_seconds" not in handing_over.attributes
    assert account_of(turn) == close(
        **heard(waits),
        on_user_turn_completed=0.0,
        llm_step=waits.taken["llm"][0],
        tool__hand_over=0.0,
        agent_handoff=0.0,
        llm_first_token=waits.taken["llm"][1],
        llm_speakable_text=0.0,
        **spoke(waits),
        queue_wait=0.0,
    )


async def test_a_barge_in_and_the_turn_after_it() -> None:
    """What was heard of the interrupted reply, and an account of each of the two."""
    script = {"hello": Said("It is a long story."), "stop": Said("Yes?")}
    options = {
        "turn_handling": {
            **NOT_PREEMPTIVE["turn_handling"],
            "interruption": {
                "mode": "vad",
                "min_duration": 0.1,
                "resume_false_interruption": False,
            },
        }
    }
    async with studio(Clerk(), script, tts_seconds=1.5, **options) as running:
        await running.caller.say("hello")
        await running.until(lambda: running.session.agent_state == "speaking")
        await running.caller.say("stop")
        await running.until_heard("Yes")
    interrupted, after = running.recorder.named("agent_turn")
    account_of(interrupted)
    account_of(after)
    assert interrupted.attributes["turn.barged_in"] is True
    heard_seconds = interrupted.attributes["turn.heard_seconds"]
    assert 0.05 < heard_seconds < 0.5
    share = heard_seconds / interrupted.attributes["turn.tts_audio_seconds"]
    assert interrupted.attributes["turn.heard_share"] == pytest.approx(share)
    assert after.attributes["turn.barged_in"] is False
    summary = running.recorder.named("agent_session")[0].attributes
    assert (summary["call.barge_ins"], summary["call.barge_in_rate"]) == (1, 0.5)


async def test_a_turn_whose_llm_and_tts_were_retried() -> None:
    """The failed attempts and the waits after them are parts of their own."""
    running = await one_turn(
        {"hello": Said("Good evening.", delay=0.15, failures=1)}, tts_failures=1, **NOT_PREEMPTIVE
    )
    turn, waits = last_turn(running.recorder), running.waits
    backoff = 0.1  # LiveKit's first wait, whatever the retry interval
    assert account_of(turn) == close(
        **heard(waits),
        on_user_turn_completed=0.0,
        llm_failed_attempts=waits.taken["llm_failure"][0] + backoff,
        llm_first_token=waits.taken["llm"][0],
        llm_speakable_text=0.0,
        tts_failed_attempts=waits.taken["tts_failure"][0] + backoff,
        **spoke(waits),
        queue_wait=0.0,
    )
    counts = {key: turn.attributes[key] for key in ("turn.retries", "turn.errors.llm")}
    assert counts == {"turn.retries": 2, "turn.errors.llm": 1}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_turn_that_fell_back_to_other_providers() -> None:
    """The time with the provider that failed, and with the one that served; no probes."""
    waits = Waits()
    bad, good = Said("x", failures=99), Said("Good evening.", delay=0.15)
    llms = llm.FallbackAdapter(
        [FakeLLM({"hello": bad}, waits), FakeLLM({"hello": good}, waits)], max_retry_per_llm=0
    )
    voices = tts.FallbackAdapter(
        [FakeTTS(waits=waits, failures=99), FakeTTS(0.12, waits=waits)], max_retry_per_tts=0
    )
    async with studio(Clerk(), {}, llm=llms, tts=voices, **NOT_PREEMPTIVE) as running:
        await running.caller.say("hello")
        await running.until_heard("Good evening")
    turn = last_turn(running.recorder)
    found = account_of(turn)
    assert found["llm_first_token"] == pytest.approx(waits.taken["llm"][0], abs=CLOSE_SECONDS)
    assert found["tts_first_audio"] == pytest.approx(waits.taken["tts"][0], abs=CLOSE_SECONDS)
    assert min(found["llm_failed_attempts"], found["tts_failed_attempts"]) >= 0.1
    assert turn.attributes["turn.fallbacks"] == 2
    assert turn.attributes["turn.errors.llm"] == 3  # the attempts of the first provider


async def test_a_failed_turn_and_a_failed_tool_are_errors_of_their_stages() -> None:
    """Nothing was heard of the first; the second answered with what the tool's failure said."""
    script = {
        "hello": Said("x", failures=99, failure_delay=0.01),
        "pay": Said(delay=0.05, tools=[("pay", "{}")]),
        "An internal error occurred": Said("That failed.", delay=0.05),
    }
    async with studio(Clerk(), script, **NOT_PREEMPTIVE) as running:
        await running.caller.say("hello")
        await running.until(lambda: len(running.recorder.named("agent_turn")) == 1)
        await running.caller.say("pay")
        await running.until_heard("That failed")
    failed, answered = describe(running.recorder.bare)["turns"]
    assert failed["errors"] == [{"stage": "llm", "message": "scripted LLM failure"}] * 3
    assert "user_bot_latency_seconds" not in failed
    assert answered["tools"][0]["error"] == "An internal error occurred"
    assert answered["errors"] == [{"stage": "tool", "message": "tool_error"}]
    summary = running.recorder.named("agent_session")[0].attributes
    assert (summary["call.errors.llm"], summary["call.errors.tool"]) == (3, 1)
    assert (summary["call.tool_calls"], summary["call.tool_failure_rate"]) == (1, 1.0)


async def test_a_greeting_and_what_is_said_have_no_user_before_them() -> None:
    """They have the time until their first sound, and no latency; a queue shows as such."""
    async with studio(Clerk("Welcome."), {}, tts_seconds=0.5) as running:
        await running.until(lambda: running.session.agent_state == "speaking")
        running.session.say("Please wait.")
        await running.until_heard("Please wait")
    greeting, said = running.recorder.named("agent_turn")
    waits = running.waits
    assert account_of(greeting) == close(
        tts_first_audio=waits.taken["tts"][0],
        playout_start=waits.taken["playout"][0],
        queue_wait=0.0,
    )
    assert account_of(said)["queue_wait"] > 0.3
    assert [turn.attributes["turn.kind"] for turn in (greeting, said)] == ["greeting", "greeting"]
    assert all("turn.user_bot_latency_seconds" not in t.attributes for t in (greeting, said))


async def test_text_turns() -> None:
    """From the typed words to the first words of the answer, tools included."""
    script = {
        "hello": Said("Good evening.", delay=0.15),
        "menu": Said(delay=0.1, tools=[("look_up", '{"what": "it"}')]),
        "looked up it": Said("Here it is.", delay=0.1),
    }
    async with studio(Clerk(), script, audio=False) as running:
        await running.session.run(user_input="hello")
        await running.session.run(user_input="menu")
    plain, with_tool = running.recorder.named("agent_turn")
    taken = running.waits.taken["llm"]
    assert account_of(plain) == close(llm_first_token=taken[0], queue_wait=0.0)
    assert account_of(with_tool) == close(
        llm_step=taken[1], tool__look_up=0.2, llm_first_token=taken[2], queue_wait=0.0
    )
    assert [t.attributes["turn.kind"] for t in (plain, with_tool)] == ["reply", "reply"]
    assert all("turn.user_bot_latency_seconds" not in t.attributes for t in (plain, with_tool))


async def test_a_realtime_model_that_hears_and_speaks() -> None:
    """From the model's own end of speech: until it responds, and until it sounds."""
    waits = Waits()
    script = {
        "hello": Answered("Good evening."),
        "menu": Answered("", tools=[("look_up", '{"what": "it"}')]),
        "looked up it": Answered("Here it is."),
    }
    model = FakeRealtime(script, waits)
    nothing = {"stt": NOT_GIVEN, "vad": NOT_GIVEN, "tts": NOT_GIVEN}
    async with studio(Clerk(), {}, llm=model, realtime=True, **nothing) as running:
        await model.hear("hello")
        await running.until_heard("Good evening")
        await model.hear("menu")
        await running.until_heard("Here it is")
    plain, with_tool = running.recorder.named("agent_turn")
    created, sounded = waits.taken["creation"], waits.taken["realtime"]
    played = running.waits.taken["playout"]
    assert account_of(plain) == close(
        realtime_response_start=created[0],
        realtime_first_audio=sounded[0],
        queue_wait=0.0,
        playout_start=played[0],
    )
    assert account_of(with_tool) == close(
        realtime_response_start=created[1] + created[2],
        llm_step=sounded[1],
        tool__look_up=0.2,
        realtime_first_audio=sounded[2],
        queue_wait=0.0,
        playout_start=played[1],
    )
    assert plain.attributes["turn.llm_input_audio_tokens"] == 80
    assert with_tool.attributes["turn.llm_input_audio_tokens"] == 160


@pytest.mark.parametrize("speaks", [True, False])
async def test_a_realtime_model_with_ears_or_a_voice_of_ours(speaks: bool) -> None:
    """A client's VAD decides the turn; in a half-cascade, a TTS speaks the model's text."""
    waits = Waits()
    model = FakeRealtime({"": Answered("Good evening.")}, waits, hears=False, speaks=speaks)
    voice = {"tts": NOT_GIVEN} if speaks else {}
    async with studio(Clerk(), {}, llm=model, **voice) as running:
        await running.caller.say("hello")
        await running.until_heard("Good evening")
    first = {"realtime_first_audio" if speaks else "llm_first_token": waits.taken["realtime"][0]}
    tts_stages = {"llm_speakable_text": 0.0, "tts_first_audio": 0.1}
    assert account_of(last_turn(running.recorder)) == close(
        **heard(running.waits),
        on_user_turn_completed=0.0,
        realtime_response_start=waits.taken["creation"][0],
        **first,
        **({} if speaks else tts_stages),
        queue_wait=0.0,
        playout_start=running.waits.taken["playout"][0],
    )


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
    again = restamp(running.recorder.stamped)
    assert {s.span_id: s for s in again} == live
    bare = {s.span_id: dict(s.attributes) for s in restamp(running.recorder.bare)}
    turn = last_turn(running.recorder)
    expected = dict(turn.attributes)
    detection = expected.pop("turn.part_seconds.end_of_speech_detection")
    expected["turn.part_seconds.transcription_wait"] += detection
    assert bare[turn.span_id] == pytest.approx(expected)


async def test_a_call_is_described_as_one_object() -> None:
    """The whole object of a greeting and a reply, numbers aside."""
    running = await one_turn({"hello": Said("Good evening.")}, Clerk("Welcome."))
    described = describe(running.recorder.bare)
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
    """Return what a killed process leaves: open spans, of which recovery closed some."""
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
    assert describe(spans) == {
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
            }
        ],
    }


def test_a_call_without_a_session_is_described() -> None:
    """Whatever is left of a trace can be told."""
    described = describe([span("agent_turn", 0, 100)])
    assert described["summary"] == {"turns": 1, "budget_seconds": 1.0}
    assert described["turns"][0]["kind"] == "greeting"


def test_a_started_and_an_ended_version_of_a_span_are_one() -> None:
    """The later one counts."""
    spans = killed_call()
    ended = spans[2]._replace(end_time_unix_nano=nanos(2_000))
    assert describe([ended, *spans])["turns"] == describe([*spans, ended])["turns"]
    assert describe([ended, *spans])["duration_seconds"] == 2.0


RECORDINGS = sorted((Path(__file__).parents[1] / "recordings").glob("*/*.json"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_calls_of_every_livekit_version_add_up(path: Path) -> None:
    """Recorded without us: each turn's parts are its latency, whatever that version tells."""
    calls: dict[bytes, list[Span]] = {}
    for one in read_spans(path):
        calls.setdefault(one.trace_id, []).append(one)
    for spans in calls.values():
        for turn in restamp(spans):
            if turn.name == "agent_turn" and parts(turn.attributes):
                assert turn.attributes["turn.kind"] != "discarded"
                account_of(turn)


def identity_after(call: Call, *spans: Span) -> dict[str, Any]:
    """Return a call's identity after these spans have started and ended."""
    for one in spans:
        call.started(one)
        call.ended(one)
    return dict(call.identity())


JOB = {"lk.job_id": "AJ_1", "lk.agent_name": "clerk", "lk.room_sid": "RM_1"}


@pytest.mark.parametrize(
    ("attributes", "session_id"),
    [
        ({**JOB, "lk.pii.room_name": "room"}, "room/AJ_1"),
        ({**JOB, "lk.room_name": "room"}, "room/AJ_1"),
        (JOB, "AJ_1"),
        ({}, f"session-{TRACE_ID.hex()[:8]}"),
    ],
)
def test_a_call_is_named_by_its_room_and_job(attributes: dict[str, Any], session_id: str) -> None:
    """And by its trace outside a job; the name stays when more becomes known."""
    call = Call()
    known = identity_after(call, span("job_entrypoint", 0, 9, attributes))
    assert known == {**attributes, "session.id": session_id}
    later = identity_after(call, span("agent_session", 1, 8, {"lk.pii.room_name": "other"}))
    assert later["session.id"] == session_id


def test_the_user_is_the_caller_and_never_the_agent() -> None:
    """The participant of the user's spans, not that of the agent's; the first caller stays."""
    who = "lk.pii.participant_identity"
    call = Call()
    agents = [span(name, 0, 9, {who: "agent"}) for name in ("room_connect", "agent_turn")]
    assert "user.id" not in identity_after(call, *agents)
    linked = Event("participant_linked", nanos(5), {who: "caller"})
    known = identity_after(call, span("agent_session", 0, 9, events=(linked,)))
    assert known["user.id"] == "caller"
    assert identity_after(call, span("user_turn", 0, 9, {who: "other"}))["user.id"] == "caller"


def test_the_application_names_the_call_and_the_user() -> None:
    """By argument, by function, and later; its names go before LiveKit's."""
    job = span("job_entrypoint", 0, 9, JOB)
    assert identity_after(Call(session_id="s", user_id="u"), job) == {
        **JOB,
        "session.id": "s",
        "user.id": "u",
    }
    by_function = Call(session_id=lambda known: f"{known['lk.agent_name']}-1")
    assert identity_after(by_function, job)["session.id"] == "clerk-1"
    call = Call()
    identity_after(call, job)
    call.set_identity("later", "somebody")
    assert (call.identity()["session.id"], call.identity()["user.id"]) == ("later", "somebody")


def test_what_a_call_remembers_is_bounded() -> None:
    """However many spans start and never end, and however many steps a turn has."""
    call = Call()
    session = span("agent_session", 0, None)
    call.started(session)
    for index in range(10_000):
        call.started(span("user_speaking", index, None, parent=session))
    assert len(call._scopes) <= 4_096
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
