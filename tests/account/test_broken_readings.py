"""One attribute of LiveKit's that cannot be read costs what is read from it, and nothing else."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.dialects.recorded import RECORDINGS
from tests.sessions.spans import llm_metrics, span
from tracing import stamps
from tracing.account.restamp import restamp
from tracing.calls.describe import describe
from tracing.calls.totals import overall
from tracing.calls.transcribe import transcribe
from tracing.calls.tree import Tree
from tracing.dialects.langfuse import LangfuseDialect
from tracing.dialects.scores import documents_of
from tracing.otlp_json import dumps, read_spans
from tracing.span import Span
from tracing.terminal.report import to_json

UNREADABLE: tuple[Any, ...] = (b"\x00\xff", [], ["x", 1], [["x"]])
"""What no attribute of LiveKit's is."""
ODD: tuple[Any, ...] = (
    *("", "{", "[", '{"type": 1}', "[" * 5000, "null", "[1, null]", '{"ttft": "x"}', "\ud800"),
    *(0, -1, 7, 10**30, True, False, 0.0, -2.5, 1e300, math.nan, math.inf, -math.inf),
)
"""What may be read as something else than it was."""


def recorded(version: str) -> list[Path]:
    return sorted((RECORDINGS / version).glob("*.json"))


def mutated(spans: Sequence[Span], at: int, **attributes: Any) -> list[Span]:
    """The spans, one of them with other attributes; None takes one away."""
    found = {**spans[at].attributes, **attributes}
    kept = {key: value for key, value in found.items() if value is not None}
    return [s._replace(attributes=kept) if i == at else s for i, s in enumerate(spans)]


def places(spans: Sequence[Span], seed: str) -> list[tuple[int, str]]:
    """Every attribute of LiveKit's, in an order of its own for each seed."""
    found = [
        (at, key)
        for at, one in enumerate(spans)
        for key in one.attributes
        if key.startswith(("lk.", "gen_ai.", "exception.", "error."))
    ]
    random.Random(seed).shuffle(found)
    return found


def ours(spans: Sequence[Span]) -> list[dict[str, Any]]:
    """The stamps of each span."""
    prefixes = (stamps.TURN, stamps.CALL, stamps.SESSION_ID, stamps.USER_ID)
    return [
        {key: value for key, value in one.attributes.items() if key.startswith(prefixes)}
        for one in restamp(spans)
    ]


@pytest.mark.parametrize("path", recorded("1.8.9"), ids=lambda path: path.stem)
def test_what_is_of_another_type_is_as_if_it_were_not_there(path: Path) -> None:
    """So whatever does not depend on it stays as it was."""
    spans = list(read_spans(path))
    for at, key in places(spans, path.stem)[:10]:
        without = ours(mutated(spans, at, **{key: None}))
        for value in UNREADABLE:
            assert ours(mutated(spans, at, **{key: value})) == without, (spans[at].name, key, value)


def oddities(spans: Sequence[Span], seed: str) -> Iterator[list[Span]]:
    """The call with one attribute cut, renamed, retyped or odd."""
    chance = random.Random(seed)
    for at, key in places(spans, seed)[:10]:
        value = spans[at].attributes[key]
        if isinstance(value, str):
            yield mutated(spans, at, **{key: value[: chance.randrange(len(value) + 1)]})
        yield mutated(spans, at, **{key: None, f"{key}2": value})
        yield mutated(spans, at, **{key: chance.choice((*ODD, *UNREADABLE))})
        if isinstance(value, str) and value.startswith("{"):
            fields = json.loads(value) or {"nothing": 0}
            field = chance.choice([*fields])
            yield mutated(
                spans, at, **{key: json.dumps({**fields, field: chance.choice(("x", {}))})}
            )
            fields.pop(field)
            yield mutated(spans, at, **{key: json.dumps(fields)})


@pytest.mark.parametrize(
    "path", [p for v in ("1.5.17", "1.8.9") for p in recorded(v)], ids=lambda p: str(p.parent.name)
)
def test_no_reader_fails_for_one_odd_attribute(path: Path) -> None:
    """Stamps, report, transcript, what Langfuse gets: each says what can still be known."""
    dialect = LangfuseDialect()
    for spans in oddities(list(read_spans(path)), str(path)):
        stamped = restamp(spans, rebuild_inputs=True)
        to_json(describe(Tree(spans)))
        to_json(transcribe(Tree(spans)))
        for one in stamped:
            documents_of(one, chosen="all")
            if (shown := dialect(one)) is not None:
                dumps([shown])


def test_an_odd_stamp_of_a_recorded_call_costs_itself() -> None:
    """Whoever wrote the file: the report shows the rest."""
    odd = {
        "turn.errors.llm": "many",
        "turn.user_started_speaking_at": math.nan,
        "turn.part_seconds.queue_wait": "long",
        "turn.number": "one",
    }
    summary: dict[str, Any] = {"call.usage": '[{"type": "llm_us', "call.errors": 3}
    summary |= {"call.errors.llm": 1, "call.errors.tts": "x", "call.budget_seconds": "short"}
    session = span("agent_session", 0, 99, summary)
    turn = span("agent_turn", 1, 9, {**odd, "lk.user_input": "hello"}, parent=session)
    call = describe(Tree([session, turn]))
    assert call["turns"][0]["user_text"] == "hello"
    assert transcribe(Tree([session, turn]))["entries"][0]["text"] == "hello"
    assert ("usage" in call["summary"], call["summary"]["errors"]) == (False, {"llm": 1})
    assert overall([call])["budget_seconds"] == 1.0


def test_what_the_metrics_still_say_is_counted() -> None:
    """A renamed key costs its number only."""
    told = json.loads(llm_metrics())
    told["input_tokens"] = told.pop("prompt_tokens")
    turn = span("agent_turn", 0, 9)
    step = span("llm_request", 1, 2, {"lk.llm_metrics": json.dumps(told)}, parent=turn)
    [attributes] = [s.attributes for s in restamp([turn, step]) if s.name == "agent_turn"]
    counted = {key: value for key, value in attributes.items() if key.startswith("turn.llm_")}
    assert counted == {
        "turn.llm_calls": 1,
        "turn.llm_output_tokens": 10,
        "turn.llm_cached_tokens": 40,
        "turn.llm_tokens_per_second": 33.0,
    }
