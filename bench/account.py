"""What a call's state and `observe` cost the voice loop: per span, per turn, per turn's events."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from livekit.agents import Agent, AgentSession

from tests.sessions.scripted import Said
from tests.sessions.studio import studio
from tracing.account.call import Call
from tracing.account.restamp import moments_in_order
from tracing.capture.session_events import SessionObserver
from tracing.observing import observe
from tracing.otlp_json import read_spans

from .harness import Line, show

RECORDING = Path(__file__).parents[1] / "tests" / "recordings" / "1.8.9" / "voice.json"
ROUNDS = 50
SPAN_MICROSECONDS, TURN_MICROSECONDS = 15.0, 1_000.0


def main(repeat: int = 5) -> bool:
    """Print the table; whether both meet their targets."""
    spans = list(read_spans(RECORDING))
    spent: dict[str, list[float]] = {}
    for _ in range(ROUNDS * repeat):
        call = Call()
        took: dict[bytes, float] = {}
        for span, ends in moments_in_order(spans):
            began = time.perf_counter()
            (call.ended if ends else call.started)(span)
            took[span.span_id] = took.get(span.span_id, 0.0) + time.perf_counter() - began
        for span in spans:
            kind = "agent_turn" if span.name == "agent_turn" else "other span"
            spent.setdefault(kind, []).append(took[span.span_id] * 1e6)
    lines = []
    for kind, target in (("other span", SPAN_MICROSECONDS), ("agent_turn", TURN_MICROSECONDS)):
        found = statistics.median(spent[kind])
        lines.append(Line((kind,), (found,), f"at most {target:g}", found <= target))
    turn = statistics.median(spent["agent_turn"]) + (events := asyncio.run(events_of_a_turn()))
    lines.append(Line(("events of a turn (observe)",), (events,), "", None))
    met = turn <= TURN_MICROSECONDS
    lines.append(Line(("turn and events",), (turn,), f"at most {TURN_MICROSECONDS:g}", met))
    return show("A call's state, microseconds per span", ("span", "us"), lines)


async def events_of_a_turn() -> float:
    """Microseconds in the handlers of one spoken turn of a real session, by the median event."""
    took: list[float] = []
    guarded = SessionObserver._guarded

    def timed(self: Any, handler: Callable[[Any], None]) -> Callable[[Any], None]:
        handle = guarded(self, handler)

        def run(event: Any) -> None:
            began = time.perf_counter()
            handle(event)
            took.append((time.perf_counter() - began) * 1e6)

        return run

    def prepare(session: AgentSession[Any], recorder: Any) -> None:
        observe(session)

    SessionObserver._guarded = timed  # type: ignore[method-assign]
    answers = {"hello": Said("Good evening.")}
    async with studio(Agent(instructions="Help."), answers, prepare=prepare) as running:
        await running.caller.say("hello")
        await running.until_heard("Good evening")
    return statistics.median(took) * len(took)


if __name__ == "__main__":
    sys.exit(not main())
