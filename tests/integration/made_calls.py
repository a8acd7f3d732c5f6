"""Made-up calls as OTLP spans with our attributes: what is in each, and the order of its ends."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tracing import names, stamps

FAILED, CLOSED_BY_ERROR, BARGED_IN, SLOW, PLAIN = (
    "failed",
    "closed-by-error",
    "barged-in",
    "slow",
    "plain",
)
SHARES = {FAILED: 0.05, CLOSED_BY_ERROR: 0.02, BARGED_IN: 0.1, SLOW: 0.08, PLAIN: 0.75}
"""How many calls are of each kind; a kind is also the name of the policy that keeps it."""

_TURN = (
    (names.USER_SPEAKING, names.USER_TURN),
    (names.EOU_WAIT, names.USER_TURN),
    (names.USER_TURN, names.AGENT_SESSION),
    (names.LLM_REQUEST, names.LLM_NODE),
    (names.LLM_NODE, names.AGENT_TURN),
    (names.TTS_NODE, names.AGENT_TURN),
    (names.AGENT_SPEAKING, names.AGENT_TURN),
    (names.AGENT_TURN, names.AGENT_SESSION),
)
"""The spans of a turn and their parents, in the order in which they end."""
_END = (
    (names.SESSION_CLOSE, names.AGENT_SESSION),
    (names.AGENT_SESSION, names.JOB_ENTRYPOINT),
    (names.JOB_SHUTDOWN, names.JOB_ENTRYPOINT),
    (names.JOB_ENTRYPOINT, ""),
)


@dataclass(frozen=True)
class MadeCall:
    """One call."""

    trace_id: bytes
    kind: str
    turns: tuple[tuple[Span, ...], ...]
    """The spans that each turn ends; the last are those of the call's end, its root the last."""

    @property
    def spans(self) -> list[Span]:
        """All of them."""
        return [span for turn in self.turns for span in turn]

    @property
    def span_ids(self) -> set[bytes]:
        """Theirs."""
        return {span.span_id for span in self.spans}


def make_calls(count: int, seed: int = 7) -> list[MadeCall]:
    """Calls of two to four turns, in which what tells of a call is said in any of them."""
    chance = random.Random(seed)
    kinds = chance.choices(list(SHARES), list(SHARES.values()), k=count)
    return [_make_call(kind, chance) for kind in kinds]


def in_rounds(calls: Sequence[MadeCall], rounds: int, seed: int = 7) -> Iterator[list[Span]]:
    """What ends in each round, while calls begin all the time and last a third of it."""
    chance = random.Random(seed)
    ends: list[tuple[int, int, tuple[Span, ...]]] = []
    for number, call in enumerate(calls):
        first = chance.randrange(rounds * 2 // 3)
        pause = rounds // 3 / len(call.turns)
        ends += [
            (first + round(turn * pause), number, spans) for turn, spans in enumerate(call.turns)
        ]
    ends.sort(key=lambda end: end[0])
    for _, in_round in groupby(ends, key=lambda end: end[0]):
        yield [span for _, _, spans in in_round for span in spans]


def as_request(spans: Iterable[Span]) -> bytes:
    """An `ExportTraceServiceRequest`, as the spool's drainer sends."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(_attributes({"service.name": "made-calls"}))
    scope = group.scope_spans.add()
    scope.scope.name = "livekit-agents"
    scope.spans.extend(spans)
    return request.SerializeToString()


def _make_call(kind: str, chance: random.Random) -> MadeCall:
    trace_id = chance.randbytes(16)
    once = {name: chance.randbytes(8) for name, _ in _END}
    turns = []
    for _ in range(chance.randint(2, 4)):
        ids = {**once, **{name: chance.randbytes(8) for name, _ in _TURN}}
        turns.append(tuple(_span(trace_id, ids, *place) for place in _TURN))
    end = tuple(_span(trace_id, once, *place) for place in _END)
    _tell(kind, _by_name(chance.choice(turns)), _by_name(end))
    return MadeCall(trace_id, kind, (*turns, end))


def _by_name(spans: Iterable[Span]) -> dict[str, Span]:
    return {span.name: span for span in spans}


def _tell(kind: str, turn: Mapping[str, Span], end: Mapping[str, Span]) -> None:
    """Let the spans say what kind of call it is, as ours do."""
    if kind == FAILED:
        turn[names.LLM_REQUEST].status.code = Status.STATUS_CODE_ERROR
    if kind == CLOSED_BY_ERROR:
        end[names.SESSION_CLOSE].attributes.extend(_attributes({names.CLOSE_REASON: "error"}))
    said = {stamps.TURN_BARGED_IN: kind == BARGED_IN, stamps.TURN_OVER_BUDGET: kind == SLOW}
    turn[names.AGENT_TURN].attributes.extend(_attributes(said))


def _span(trace_id: bytes, ids: Mapping[str, bytes], name: str, parent: str) -> Span:
    now = time.time_ns()
    return Span(
        trace_id=trace_id,
        span_id=ids[name],
        parent_span_id=ids.get(parent, b""),
        name=name,
        start_time_unix_nano=now,
        end_time_unix_nano=now + 500_000_000,
        attributes=_attributes({stamps.SESSION_ID: f"room/{trace_id.hex()[:8]}"}),
    )


def _attributes(values: Mapping[str, bool | str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in values.items()]


def _any_value(value: bool | str) -> AnyValue:
    return AnyValue(bool_value=value) if isinstance(value, bool) else AnyValue(string_value=value)
