"""What is below a span, however its parents are said to be."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.sessions.spans import nanos, span
from tracing import names
from tracing.account.restamp import restamp
from tracing.calls.describe import describe
from tracing.calls.transcribe import transcribe
from tracing.calls.tree import Tree
from tracing.dialects.langfuse import LangfuseDialect
from tracing.span import Span
from tracing.store.store import Store

_NAMES = (
    *(names.JOB_ENTRYPOINT, names.AGENT_SESSION, names.AGENT_TURN, names.USER_TURN),
    *(names.LLM_NODE, names.LLM_REQUEST, names.FUNCTION_TOOL, names.REALTIME_METRICS),
)


def graph(seed: int) -> list[Span]:
    """Spans each of which names any other as its parent, itself and strangers included."""
    chance = random.Random(seed)
    spans = [
        span(chance.choice(_NAMES), at, at + chance.randrange(9), failed=chance.random() < 0.2)
        for at in range(chance.randrange(1, 25))
    ]
    parents = [b"", b"stranger", *(one.span_id for one in spans)]
    return [one._replace(parent_span_id=chance.choice(parents)) for one in spans]


def below(root: Span, spans: Sequence[Span]) -> Iterator[Span]:
    """Those whose chain of parents comes to the root."""
    by_id = {one.span_id: one for one in spans}
    for one in spans:
        seen, above = {one.span_id}, by_id.get(one.parent_span_id)
        while above is not None and above.span_id not in seen and above != root:
            seen.add(above.span_id)
            above = by_id.get(above.parent_span_id)
        if above is not None and above.span_id == root.span_id and one.span_id != root.span_id:
            yield one


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_every_graph_of_parents_comes_to_an_end(first: int) -> None:
    """What is below is what leads there, once; every reader takes any graph."""
    for seed in range(first, first + 50):
        spans = graph(seed)
        tree = Tree(spans)
        for root in tree.spans:
            inside = [one.span_id for one in tree.inside(root)]
            expected = {one.span_id for one in below(root, tree.spans)}
            assert (len(inside), set(inside)) == (len(expected), expected), seed
        describe(Tree(spans))
        transcribe(Tree(spans))
        for one in restamp(spans, rebuild_inputs=True):
            LangfuseDialect()(one)


def test_rows_of_a_database_may_go_round_in_circles(tmp_path: Path) -> None:
    """Whoever wrote them there."""
    spans = [span("agent_turn", at, at + 1) for at in range(3)]
    rounds = [one._replace(parent_span_id=spans[at - 1].span_id) for at, one in enumerate(spans)]
    with Store(tmp_path / "calls.db") as store:
        store.add(rounds)
        found = store.spans(spans[0].trace_id.hex())
    assert sorted(turn["number"] for turn in describe(Tree(found))["turns"]) == [1, 2, 3]


def test_a_chain_of_ten_thousand_is_no_deeper_than_another() -> None:
    """A recorded file may hold one."""
    chain = [span("agent_turn", 0, 99)]
    for _ in range(10_000):
        chain.append(span("function_tool", 1, 2, parent=chain[-1]))
    assert len(Tree(reversed(chain)).inside(chain[0])) == 10_000


@pytest.mark.parametrize("odd", [0, 1, -5, 10**9, 2**63 - 1, 2**64 - 1])
@pytest.mark.parametrize("of", ["agent_session", "user_turn", "llm_node", "agent_speaking"])
def test_one_time_that_nobody_can_believe_moves_no_call(tmp_path: Path, of: str, odd: int) -> None:
    """Bounds, order and latencies are those of the spans that can be believed."""
    session = span("agent_session", 0, 9_000)
    heard = span("user_turn", 100, 900, {"lk.user_transcript": "hello"}, parent=session)
    asked = {"lk.user_input": "hello", "lk.e2e_latency": 0.5}
    turn = span("agent_turn", 900, 5_000, asked, parent=session)
    inside = [span("llm_node", 950, 1200, {"lk.response.ttft": 0.1}, parent=turn)]
    inside.append(span("agent_speaking", 1400, 4_900, parent=turn))
    spans = [session, heard, turn, *inside]
    spans = [s._replace(start_time_unix_nano=odd) if s.name == of else s for s in spans]
    with Store(tmp_path / "calls.db") as store:
        for one in spans:  # in batches of their own
            store.add([one])
        [listed] = store.calls()
    assert nanos(0) <= listed.started_unix_nano <= nanos(100)
    assert listed.ended_unix_nano == nanos(9_000)
    call = describe(Tree(spans))
    assert call["started_at"].startswith("2026")
    assert 8 < call["duration_seconds"] <= 9
    [told] = call["turns"]
    assert (told["user_bot_latency_seconds"], told["user_text"]) == (0.5, "hello")
    assert sum(told["parts"].values()) == pytest.approx(0.5)
    assert call["summary"].get("duration_seconds", 0) <= 9
    assert all(-1 <= entry["at_seconds"] < 10 for entry in transcribe(Tree(spans))["entries"])
