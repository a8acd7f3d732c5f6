"""Turns as real agents make them: what each took, what sort it is, and who said what, once."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from livekit.agents import NOT_GIVEN, Agent, AgentTask, RunContext, StopResponse, function_tool

from tests.sessions.accounts import (
    NOT_PREEMPTIVE,
    SUM_SECONDS,
    Chef,
    Clerk,
    account_of,
    close,
    heard,
    spoke,
    tool_took,
)
from tests.sessions.realtime import Answered, FakeRealtime
from tests.sessions.scripted import Said, Waits
from tests.sessions.studio import Studio, observed, studio
from tests.sessions.virtual import run_virtually
from tracing.calls.describe import describe
from tracing.calls.transcribe import transcribe
from tracing.calls.tree import Tree

WAYS = pytest.mark.parametrize("options", [NOT_PREEMPTIVE, {}], ids=["in_turn", "preemptive"])


class Script(dict[str, Said]):
    """Answers what it does not know."""

    def __missing__(self, key: str) -> Said:
        return Said("Sorry.", delay=0.2)


class GetName(AgentTask[str]):
    def __init__(self) -> None:
        super().__init__(instructions="Get the name.")

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="ask the name")

    @function_tool
    async def named(self, name: str) -> None:
        """Note the name."""
        self.complete(name)


class Desk(Clerk):
    """A clerk whose tools and hook speak, ask back, and hand the caller to a task."""

    def __init__(self, greeting: str = "", hook: Callable[..., Any] | None = None) -> None:
        super().__init__(greeting)
        self.hook = hook

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        if self.hook is not None:
            await self.hook(self, new_message.text_content)

    @function_tool
    async def book(self) -> str:
        """Book a table."""
        name = await GetName()
        await self.waits.wait("book", 0.1)
        return f"booked for {name}"

    @function_tool
    async def slow(self, ctx: RunContext) -> str:
        """Look, and say so."""
        self.session.say("One moment.")
        await self.waits.wait("slow", 0.6)
        return "slow done"

    @function_tool
    async def ask_back(self) -> str:
        """Ask which one."""
        await self.session.generate_reply(instructions="ask back")
        return "asked"


def told(running: Studio) -> list[tuple[Any, ...]]:
    """Each turn of the report: its kind, and what both sides said."""
    turns = describe(Tree(running.recorder.stamped))["turns"]
    return [(turn["kind"], turn.get("user_text"), turn.get("agent_text")) for turn in turns]


def spoken(running: Studio) -> list[tuple[str, str]]:
    """The transcript: who said what, in order."""
    entries = transcribe(Tree(running.recorder.stamped))["entries"]
    return [(e["kind"], e["text"]) for e in entries if e["kind"] in ("user", "agent")]


def parts(running: Studio, index: int) -> dict[str, float]:
    return account_of(running.recorder.named("agent_turn")[index])


async def test_a_turn_inside_a_tool_of_another() -> None:
    """The task's question was waited for since the caller's last word: the outer turn's step and
    tool are its parts. The outer answer waited for the task's last turn, and the tool's rest."""
    script = {
        "hello": Said(delay=0.4, tools=[("book", "{}")]),
        "ask the name": Said("Your name?", delay=0.2),
        "ann": Said(delay=0.3, tools=[("named", '{"name": "ann"}')]),
        "booked for ann": Said("Booked for Ann.", delay=0.2),
    }
    async with studio(desk := Desk(), script, **NOT_PREEMPTIVE) as running:
        await running.caller.say("hello")
        await running.until_heard("Your name?")
        first = heard(running)
        await running.caller.say("ann")
        await running.until_heard("Booked for Ann.")
    waits = running.waits
    assert told(running) == [
        ("reply", "hello", "Booked for Ann."),
        ("reply", None, "Your name?"),
        ("reply", "ann", None),
    ]
    found = parts(running, 1)
    handed_over = {name: found.pop(name) for name in ("tool.book", "agent_handoff")}
    assert min(handed_over.values()) >= 0.0  # what LiveKit takes for it
    assert found == close(
        **first,
        on_user_turn_completed=0.0,
        llm_step=waits.taken["llm"][0],
        llm_first_token=waits.taken["llm"][1],
        llm_speakable_text=0.0,
        tts_first_audio=waits.taken["tts"][0],
        playout_start=waits.taken["playout"][0],
        queue_wait=0.0,
    )
    found = parts(running, 0)
    assert found.pop("tool.book") > desk.waits.taken["book"][0] - SUM_SECONDS
    assert found == close(
        **heard(running),
        on_user_turn_completed=0.0,
        llm_step=waits.taken["llm"][2],
        tool__named=0.0,
        agent_handoff=0.0,
        llm_first_token=waits.taken["llm"][3],
        llm_speakable_text=0.0,
        **spoke(waits),
        queue_wait=0.0,
    )


@WAYS
async def test_a_task_group_of_turns_inside_a_turn(options: dict[str, Any]) -> None:
    """Every answer adds up, however deep, with work begun before the turn was decided too."""
    script = {
        "hello": Said(delay=0.5, tools=[("book", "{}")]),
        "ask the name": Said("Your name?", delay=0.2),
        "ann": Said("Thank you.", delay=0.2),
        "i mean bob": Said(delay=0.3, tools=[("named", '{"name": "bob"}')]),
        "booked for bob": Said("Booked for Bob.", delay=0.2),
    }
    async with studio(Desk(), script, **options) as running:
        for says, answer in (
            ("hello", "Your name?"),
            ("ann", "Thank you."),
            ("i mean bob", "Booked for Bob."),
        ):
            await running.caller.say(says)
            await running.until_heard(answer)
    assert spoken(running) == [
        ("user", "hello"),
        ("agent", "Your name?"),
        ("user", "ann"),
        ("agent", "Thank you."),
        ("user", "i mean bob"),
        ("agent", "Booked for Bob."),
    ]
    assert [kind for kind, _, _ in told(running)] == ["reply"] * 4


UNKNOWN, BROKEN = ("nope", "{}"), ("look_up", '{"what')


@WAYS
@pytest.mark.parametrize("call", [UNKNOWN, BROKEN], ids=["unknown", "broken"])
async def test_a_call_that_cannot_run(call: tuple[str, str], options: dict[str, Any]) -> None:
    """Its step has a name, and it counts as a call of that tool that failed."""
    script = Script({"hello": Said(delay=0.6, tools=[call])})
    async with studio(Desk(), script, prepare=observed(), **options) as running:
        await running.caller.say("hello")
        await running.until_heard("Sorry.")
    turn = running.recorder.named("agent_turn")[0]
    found = account_of(turn)
    assert found["llm_step"] > 0.15
    assert set(found) == {
        *heard(running),
        *("on_user_turn_completed", "llm_step", "llm_first_token", "llm_speakable_text"),
        *("tts_first_audio", "queue_wait", "playout_start"),
    }
    counts = [turn.attributes[f"turn.{key}"] for key in ("tool_calls", "tool_failures")]
    assert (counts, turn.attributes["turn.errors.tool"]) == ([1, 1], 1)
    described = describe(Tree(running.recorder.stamped))
    assert described["turns"][0]["tools"] == [{"name": call[0], "is_error": True}]
    assert described["turns"][0]["errors"] == [{"stage": "tool"}]
    assert described["summary"]["tool_failure_rate"] == 1.0


async def test_a_call_that_cannot_run_without_observe() -> None:
    """The step is accounted for all the same; that it called in vain, only events tell."""
    script = Script({"hello": Said(delay=0.3, tools=[UNKNOWN])})
    async with studio(Desk(), script, **NOT_PREEMPTIVE) as running:
        await running.caller.say("hello")
        await running.until_heard("Sorry.")
    assert parts(running, 0) == close(
        **heard(running),
        on_user_turn_completed=0.0,
        llm_step=running.waits.taken["llm"][0],
        llm_first_token=running.waits.taken["llm"][1],
        llm_speakable_text=0.0,
        **spoke(running.waits),
        queue_wait=0.0,
    )
    assert "turn.tool_calls" not in running.recorder.named("agent_turn")[0].attributes


@WAYS
async def test_the_user_goes_on_while_the_hook_of_the_first_half_runs(
    options: dict[str, Any],
) -> None:
    """The second half waits for the hook of the first one, and that is its hook's time."""
    clerk = Clerk(hook_seconds=1.0)
    async with studio(clerk, Script(), **options) as running:
        await running.caller.say("hello")
        await asyncio.sleep(0.4)
        await running.caller.say("and more")
        await running.until_heard("Sorry.")
    found = parts(running, 1)
    assert found["on_user_turn_completed"] > tool_took(running, "hook") + 0.1
    found.pop("on_user_turn_completed")
    assert found == close(
        **heard(running),
        llm_first_token=running.waits.taken["llm"][-1],
        llm_speakable_text=0.0,
        **spoke(running.waits),
        queue_wait=0.0,
    )
    assert told(running) == [("reply", "hello", None), ("reply", "and more", "Sorry.")]


@WAYS
async def test_words_before_a_tool(options: dict[str, Any]) -> None:
    """Both steps spoke, and both are in report, transcript and on the span."""
    script = {
        "hello": Said("Let me look.", tools=[("look_up", '{"what": "it"}')]),
        "looked up it": Said("Found it."),
    }
    async with studio(Desk(), script, **options) as running:
        await running.caller.say("hello")
        await running.until_heard("Found it.")
    assert told(running) == [("reply", "hello", "Let me look. Found it.")]
    assert spoken(running) == [
        ("user", "hello"),
        ("agent", "Let me look."),
        ("agent", "Found it."),
    ]
    turn = running.recorder.named("agent_turn")[0].attributes
    assert turn["turn.agent_text"] == "Let me look.\nFound it."


@WAYS
async def test_a_step_that_spoke_called_a_tool_and_was_interrupted(
    options: dict[str, Any],
) -> None:
    """What the second step wrote was never spoken, and the first one spoke once."""
    script = {
        "hello": Said("Let me look.", tools=[("look_up", '{"what": "it"}')]),
        "looked up it": Said("Found it and more.", delay=0.9),
        "wait": Said("Waiting."),
    }
    async with studio(Desk(), script, **options) as running:
        await running.caller.say("hello")
        await running.until(lambda: running.session.agent_state == "speaking")
        await running.until(lambda: running.session.agent_state == "thinking")
        await asyncio.sleep(0.3)
        await running.caller.say("wait")
        await running.until_heard("Waiting.")
    assert told(running) == [("reply", "hello", "Let me look."), ("reply", "wait", "Waiting.")]
    assert spoken(running) == [
        ("user", "hello"),
        ("agent", "Let me look."),
        ("user", "wait"),
        ("agent", "Waiting."),
    ]


async def say_while_it_thinks(desk: Desk, text: str) -> None:
    desk.session.say("Let me think.")
    await asyncio.sleep(0.3)


@WAYS
@pytest.mark.parametrize("typed", [False, True], ids=["spoken", "typed"])
async def test_a_filler_in_the_tool_of_the_first_request(
    typed: bool, options: dict[str, Any]
) -> None:
    """The caller has spoken, or typed: it is no greeting."""
    script = {
        "hello": Said(delay=0.1, tools=[("slow", "{}")]),
        "slow done": Said("Found it.", delay=0.1),
    }
    async with studio(Desk("Welcome."), script, **options) as running:
        await running.until_heard("Welcome.")
        if typed:
            await running.session.run(user_input="hello")
        else:
            await running.caller.say("hello")
        await running.until_heard("Found it.")
    assert told(running) == [
        ("greeting", None, "Welcome."),
        ("reply", "hello", "Found it."),
        ("say", None, "One moment."),
    ]


@WAYS
async def test_a_filler_in_the_hook_of_the_first_request(options: dict[str, Any]) -> None:
    """It waits for nobody's hook: it is said by one."""
    async with studio(Desk(hook=say_while_it_thinks), Script(), **options) as running:
        await running.caller.say("hello")
        await running.until_heard("Sorry.")
    assert sorted(told(running)) == sorted(
        [("say", None, "Let me think."), ("reply", "hello", "Sorry.")]
    )
    said = describe(Tree(running.recorder.stamped))["turns"]
    filler = next(turn for turn in said if turn["kind"] == "say")
    assert {"on_user_turn_completed", "turn_decision"}.isdisjoint(filler["parts"])


@WAYS
async def test_a_reply_that_a_tool_asked_for(options: dict[str, Any]) -> None:
    """The user's text belongs to the turn that they asked for."""
    script = {
        "hello": Said(delay=0.1, tools=[("ask_back", "{}")]),
        "ask back": Said("Which one?", delay=0.15),
        "asked": Said("So.", delay=0.1),
    }
    async with studio(Desk(), script, **options) as running:
        await running.caller.say("hello")
        await running.until_heard("So.")
    assert told(running) == [("reply", "hello", "So."), ("prompted", None, "Which one?")]


@WAYS
async def test_a_handoff_tells_the_users_text_once(options: dict[str, Any]) -> None:
    """It is the input of the turn that handed over."""
    script = {
        "hello": Said(delay=0.1, tools=[("hand_over", "{}")]),
        "introduce yourself": Said("I am the chef.", delay=0.15),
    }
    async with studio(Desk(), script, **options) as running:
        await running.caller.say("hello")
        await running.until_heard("I am the chef.")
    assert isinstance(running.session.current_agent, Chef)
    assert told(running) == [("reply", "hello", None), ("reply", None, "I am the chef.")]


async def stop_where_told(desk: Desk, text: str) -> None:
    if "stop" in text:
        await asyncio.sleep(0.1)
        raise StopResponse


async def speak_again(running: Studio) -> None:
    await running.caller.say("hello")
    await running.until_heard("Sorry.")


async def type_instead(running: Studio) -> None:
    await running.session.run(user_input="hello")


async def hang_up(running: Studio) -> None:
    """Nothing more is said."""


@WAYS
@pytest.mark.parametrize("then", [speak_again, type_instead, hang_up])
async def test_what_the_user_said_in_vain(
    then: Callable[[Studio], Coroutine[Any, Any, None]], options: dict[str, Any]
) -> None:
    """Said once, when it was said; the generation begun for it is discarded, and is no turn."""
    async with studio(Desk(hook=stop_where_told), Script(), **options) as running:
        await running.caller.say("stop")
        await asyncio.sleep(0.8)
        await then(running)
    answered = [] if then is hang_up else [("reply", "hello", "Sorry.")]
    counted = [turn for turn in told(running) if turn[0] != "discarded"]
    assert counted == [("unanswered", "stop", None), *answered]
    assert not any(turn[1:] != (None, None) for turn in told(running) if turn[0] == "discarded")
    expected = [("user", "stop")]
    expected += [] if then is hang_up else [("user", "hello"), ("agent", "Sorry.")]
    assert spoken(running) == expected
    summary = running.recorder.named("agent_session")[0].attributes
    assert summary["call.turns"] == len(answered)
    in_vain = describe(Tree(running.recorder.stamped))["turns"][0]
    began = running.recorder.named("user_turn")[0].start_time_unix_nano
    assert in_vain == {
        "kind": "unanswered",
        "user_text": "stop",
        "user_started_speaking_at": began / 1e9,
    }


async def test_a_realtime_user_whom_nobody_answered() -> None:
    """Only events tell of it; said at its time, once, in report and transcript."""
    waits = Waits()
    model = FakeRealtime({"hello": Answered("Good evening.")}, waits)
    nothing = {"stt": NOT_GIVEN, "vad": NOT_GIVEN, "tts": NOT_GIVEN}
    options = {"llm": model, "realtime": True, "prepare": observed(), **nothing}
    async with studio(Agent(instructions="Help."), {}, **options) as running:
        await model.hear("hello")
        await running.until_heard("Good evening.")
        await model.hear("anybody there", answered=False)
    assert told(running) == [
        ("reply", "hello", "Good evening."),
        ("unanswered", "anybody there", None),
    ]
    assert spoken(running) == [
        ("user", "hello"),
        ("agent", "Good evening."),
        ("user", "anybody there"),
    ]


@pytest.mark.parametrize("options", [NOT_PREEMPTIVE, {}], ids=["in_turn", "preemptive"])
@pytest.mark.parametrize(
    "pattern",
    [
        test_a_task_group_of_turns_inside_a_turn,
        functools.partial(test_a_call_that_cannot_run, UNKNOWN),
        functools.partial(test_a_call_that_cannot_run, BROKEN),
        test_the_user_goes_on_while_the_hook_of_the_first_half_runs,
        test_words_before_a_tool,
        test_a_step_that_spoke_called_a_tool_and_was_interrupted,
        functools.partial(test_a_filler_in_the_tool_of_the_first_request, False),
        test_a_filler_in_the_hook_of_the_first_request,
        test_a_reply_that_a_tool_asked_for,
        test_a_handoff_tells_the_users_text_once,
        functools.partial(test_what_the_user_said_in_vain, type_instead),
    ],
    ids=lambda pattern: getattr(pattern, "func", pattern).__name__.removeprefix("test_"),
)
def test_on_a_virtual_clock(pattern: Callable[..., Any], options: dict[str, Any]) -> None:
    """The same where a clock stands still while the machine works."""
    run_virtually(pattern(options=options))


def test_a_turn_inside_another_on_a_virtual_clock() -> None:
    """The same."""
    run_virtually(test_a_turn_inside_a_tool_of_another())
