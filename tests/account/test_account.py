"""Real sessions with scripted delays: each is a part of the turn, and together the latency."""

from __future__ import annotations

import pytest
from livekit.agents import NOT_GIVEN, llm, tts

from tests.sessions.accounts import (
    NOT_PREEMPTIVE,
    Clerk,
    account_of,
    close,
    decided,
    heard,
    last_turn,
    one_turn,
    spoke,
    tolerance,
    tool_took,
)
from tests.sessions.realtime import Answered, FakeRealtime
from tests.sessions.scripted import FakeLLM, FakeTTS, Said, Waits
from tests.sessions.studio import studio
from tracing.calls.describe import describe
from tracing.calls.tree import Tree


async def test_a_plain_turn() -> None:
    """Every stage that was scripted is a part, and the parts are the latency."""
    running = await one_turn(
        {"hello": Said("Good evening to you.", delay=0.25, rest_delay=0.08)},
        Clerk(hook_seconds=0.06),
        **NOT_PREEMPTIVE,
    )
    waits = running.waits
    assert account_of(last_turn(running.recorder)) == close(
        **heard(running),
        on_user_turn_completed=tool_took(running, "hook"),
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
        **heard(running),
        on_user_turn_completed=0.0,
        llm_first_token=0.0,
        llm_speakable_text=0.0,
        **spoke(running.waits),
        queue_wait=0.0,
    )
    gained = running.waits.taken["llm"][0]
    assert turn.attributes["turn.overlap_seconds"] == pytest.approx(gained, abs=tolerance())


async def test_a_turn_whose_preemptive_generation_was_discarded() -> None:
    """The caller went on speaking: the first answer is cost, the second one is the reply."""
    script = {"hello": Said("To whom?", delay=0.1), "hello there": Said("Hi.", delay=0.35)}
    async with studio(Clerk(), script) as running:
        await running.caller.say("there", early_text="hello", transcription=0.2)
        await running.until_heard("Hi")
    turn = last_turn(running.recorder)
    waits = running.waits
    late = waits.taken["transcription"][0] + waits.taken["llm"][1] - decided(running)
    assert account_of(turn) == close(
        **heard(running),
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
        **heard(running),
        on_user_turn_completed=0.0,
        llm_step=waits.taken["llm"][0],
        tool__look_up=tool_took(running, "look_up"),
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
        **heard(running),
        on_user_turn_completed=0.0,
        llm_step=waits.taken["llm"][0],
        tool__search=tool_took(running, "search"),
        llm_step__2=waits.taken["llm"][1],
        tool__look_up=tool_took(running, "look_up"),
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
        **heard(running),
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
        **heard(running),
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
    assert found["llm_first_token"] == pytest.approx(waits.taken["llm"][0], abs=tolerance())
    assert found["tts_first_audio"] == pytest.approx(waits.taken["tts"][0], abs=tolerance())
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
    failed, answered = describe(Tree(running.recorder.bare))["turns"]
    assert failed["errors"] == [{"stage": "llm", "message": "scripted LLM failure"}] * 3
    assert "user_bot_latency_seconds" not in failed
    assert answered["tools"][0]["error"] == "ValueError: the card was refused"
    assert answered["errors"] == [{"stage": "tool", "message": "the card was refused"}]
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
        llm_step=taken[1],
        tool__look_up=tool_took(running, "look_up"),
        llm_first_token=taken[2],
        queue_wait=0.0,
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
        tool__look_up=tool_took(running, "look_up"),
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
        **heard(running),
        on_user_turn_completed=0.0,
        realtime_response_start=waits.taken["creation"][0],
        **first,
        **({} if speaks else tts_stages),
        queue_wait=0.0,
        playout_start=running.waits.taken["playout"][0],
    )
