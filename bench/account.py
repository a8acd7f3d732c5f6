"""What a call's state and `observe` cost the voice loop: per span, per turn, per turn's events.

The measure is what the bare SDK takes for a small span in the same process, between the rounds.
The limits are 15 us and 1 ms of a machine on which that is 29.2 us, said as ratios.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from livekit.agents import Agent, AgentSession

from tests.sessions.scripted import Said
from tests.sessions.studio import studio
from tracing.account.call import Call
from tracing.account.restamp import moments_in_order
from tracing.capture.session_events import SessionObserver
from tracing.names import AGENT_TURN
from tracing.observing import observe
from tracing.otlp_json import read_spans
from tracing.span import Span

from .harness import Line, bare_tracer, show
from .hot_path import SMALL, batch


class Limit(NamedTuple):
    """What something may take, in spans of the bare SDK."""

    words: str
    share: float


RECORDING = Path(__file__).parents[1] / "tests" / "recordings" / "1.8.9" / "voice.json"
ROUNDS = 50
SDK_SPANS = 20
"""So many spans of the bare SDK after each round."""
SPAN, TURN = Limit("at most half a span of the SDK", 0.5), Limit("at most 34 of them", 34.0)


def main(repeat: int = 5) -> bool:
    """Print the table; whether all that has a limit stays within it."""
    bare, spans, turns = _state(ROUNDS * repeat)
    events = asyncio.run(events_of_a_turn())
    lines = [
        Line(("a small span of the bare SDK",), (bare, 1.0)),
        _line("other span", spans, bare, SPAN),
        _line("agent_turn", turns, bare, TURN),
        _line("events of a turn (observe)", events, bare),
        _line("turn and events", turns + events, bare, TURN),
    ]
    columns = ("span", "us", "in spans of the SDK")
    return show("A call's state, microseconds per span", columns, lines, digits=2)


def _line(label: str, found: float, bare: float, limit: Limit | None = None) -> Line:
    share = found / bare
    words, met = (limit.words, share <= limit.share) if limit else ("", None)
    return Line((label,), (found, share), words, met)


def _state(count: int) -> tuple[float, float, float]:
    """Median microseconds of a span of the bare SDK, of a span that is no turn, and of a turn."""
    spans, sdk = list(read_spans(RECORDING)), bare_tracer()
    bare: list[float] = []
    spent: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(count):
        took = _replay(spans)
        for span in spans:
            spent[span.name == AGENT_TURN].append(took[span.span_id] * 1e6)
        bare.append(batch(sdk, "eou_wait", SMALL, SDK_SPANS))
    return statistics.median(bare), statistics.median(spent[False]), statistics.median(spent[True])


def _replay(spans: Sequence[Span]) -> dict[bytes, float]:
    """Seconds that a call's state takes for each span, its start and its end."""
    call = Call()
    took: dict[bytes, float] = {}
    for span, ends in moments_in_order(spans):
        began = time.perf_counter()
        (call.ended if ends else call.started)(span)
        took[span.span_id] = took.get(span.span_id, 0.0) + time.perf_counter() - began
    return took


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
