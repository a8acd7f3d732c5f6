"""OTLP JSON as tools, disks and ill will could leave it: one seed, one file."""

from __future__ import annotations

import copy
import gzip
import json
import math
import random
from collections.abc import Callable
from typing import Any

from tests.fakes import ROOT
from tracing.otlp_json import encode
from tracing.span import Event, Link, Span

START = 1_760_000_000_000_000_000
SECOND = 10**9
_TRACE = bytes(range(1, 17))


def _span(name: str, number: int, parent: int, begin: int, end: int, **attributes: Any) -> Span:
    return Span(
        trace_id=_TRACE,
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=name,
        start_time_unix_nano=START + begin * SECOND,
        end_time_unix_nano=START + end * SECOND,
        attributes={key.replace("__", "."): value for key, value in attributes.items()},
        scope_name="livekit-agents",
        resource={"service.name": "agent"},
    )


_CALL = [
    _span("job_entrypoint", 1, 0, 0, 20, lk__job_id="AJ_1", nested={"a": [{"b": b"x"}, None]}),
    _span("agent_session", 2, 1, 0, 20, lk__agent_label="Host"),
    _span("user_turn", 3, 2, 1, 2, lk__pii__user_transcript="hello", ratio=math.inf),
    _span("agent_turn", 4, 2, 2, 6, lk__pii__user_input="hello", lk__e2e_latency=0.5),
    _span("llm_node", 5, 4, 2, 3, lk__pii__response__text="hi", lk__response__ttft=0.2),
    _span("function_tool", 6, 4, 3, 4, lk__pii__function_tool__arguments='{"a": 1}')._replace(
        events=(Event("exception", START, {"exception.type": "ValueError"}),),
        links=(Link(_TRACE, b"\1" * 8, {"why": "handoff"}),),
        status_code=2,
        status_message="no",
    ),
    _span("agent_speaking", 7, 4, 4, 6),
]
DOCUMENTS: tuple[dict[str, Any], ...] = (
    encode(_CALL),
    *(
        json.loads((ROOT / "tests" / "recordings" / "1.8.9" / name).read_text())
        for name in ("job.json", "text.json", "realtime_late.json")
    ),
)
"""What is damaged: a call with every kind of value, and three that LiveKit recorded."""

_TEXTS = [json.dumps(document) for document in DOCUMENTS]
_WEIGHTS = [5, 1, 1, 1]
_ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**63,
    2**64,
    -(2**70),
    math.nan,
    math.inf,
    "",
    "0",
    "-1",
    "1e400",
    "9" * 5_000,
    "\ud83d",
    "\x1b[2J\x9b\u202e",
    "=cmd|' /C calc'!A0",
    "[bold]x[/bold][/]",
    "x" * 10_000,
    "0" * 16,
    "f" * 32,
    [],
    {},
    [[]],
    [None],
    {"stringValue": 7},
    {"arrayValue": {"values": [{}]}},
    {"kvlistValue": {"values": [{"key": "k"}]}},
    {"intValue": "x"},
    {"doubleValue": "NaN"},
    {"bytesValue": "!"},
)
_KEYS = (
    "traceId",
    "spanId",
    "parentSpanId",
    "name",
    "kind",
    "attributes",
    "value",
    "key",
    "stringValue",
    "status",
    "lk.e2e_latency",
    "turn.number",
    "resourceSpans",
    "batches",
)
_NAMES = ("agent_turn", "user_turn", "agent_session", "llm_node", "agent_speaking", "llm_request")


def damaged(seed: int) -> bytes:
    """The file of a seed."""
    chance = random.Random(seed)
    # A copy by JSON is three times as fast as `deepcopy`.
    document = json.loads(chance.choices(_TEXTS, _WEIGHTS)[0])
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8, 40))):
        chance.choice(_CHANGES)(document, chance)
    content = _written(document, chance)
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        content = chance.choice(_DAMAGES)(content, chance)
    return content


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every place in a document: what holds it, and its key or index."""
    found, level = [], [node]
    while level:
        holder = level.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            found.append((holder, key))
            if isinstance(holder[key], (dict, list)):
                level.append(holder[key])
    return found


def _place(document: Any, chance: random.Random) -> tuple[Any, Any]:
    return chance.choice(_places(document) or [([None], 0)])


def _replace(document: Any, chance: random.Random) -> None:
    holder, key = _place(document, chance)
    holder[key] = copy.deepcopy(chance.choice(_ODD))


def _remove(document: Any, chance: random.Random) -> None:
    holder, key = _place(document, chance)
    del holder[key]


def _rename(document: Any, chance: random.Random) -> None:
    holder, key = _place(document, chance)
    if isinstance(holder, dict):
        holder[chance.choice((*_KEYS, ""))] = holder.pop(key)


def _exchange(document: Any, chance: random.Random) -> None:
    """Something from elsewhere in the document: cycles among parents, doubled ids, nested spans."""
    (holder, key), (other, at) = _place(document, chance), _place(document, chance)
    holder[key] = copy.deepcopy(other[at])


def _repeat(document: Any, chance: random.Random) -> None:
    holder, key = _place(document, chance)
    if isinstance(holder, list):
        holder += [copy.deepcopy(holder[key]) for _ in range(chance.choice((1, 30)))]


def _nest(document: Any, chance: random.Random) -> None:
    holder, key = _place(document, chance)
    for _ in range(chance.choice((1, 5, 30))):
        kind = chance.choice(("arrayValue", "kvlistValue"))
        holder[key] = {kind: {"values": [holder[key], {"key": "k", "value": holder[key]}][:1]}}


def _rename_span(document: Any, chance: random.Random) -> None:
    """A span of another kind, which is then told differently."""
    named = [(h, k) for h, k in _places(document) if k == "name" and "spanId" in h]
    for holder, key in chance.sample(named, min(3, len(named))):
        holder[key] = chance.choice(_NAMES)


def _tie(document: Any, chance: random.Random) -> None:
    """A parent among the document's own spans: a circle, or the span itself."""
    spans = [holder for holder, key in _places(document) if key == "spanId"]
    for span in chance.sample(spans, min(3, len(spans))):
        span["parentSpanId"] = chance.choice(spans)["spanId"]


_CHANGES: tuple[Callable[[Any, random.Random], None], ...] = (
    _replace,
    _replace,
    _replace,
    _remove,
    _rename,
    _exchange,
    _repeat,
    _nest,
    _rename_span,
    _tie,
)


def _written(document: Any, chance: random.Random) -> bytes:
    text = json.dumps(document, indent=chance.choice((None, None, None, 0, 2)))
    return (text + "\n").encode() * chance.choice((1, 1, 1, 2))


def _cut(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    return chance.choice((content[:at], content[at:]))


def _flip(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 5, 50)) if content else 0):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


_ODD_BYTES = (b"\n", b"\0" * 40, b"{", b",", b"[" * 2_000, b'{"a":' * 2_000, b"\xff\xfe")


def _insert(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    odd = chance.choice(
        (b"\n", b"\0" * 40, b"{", b"[" * 2_000, b'{"a":' * 2_000, b"\xff\xfe", b",")
    )
    return content[:at] + odd + content[at:]


def _join(content: bytes, chance: random.Random) -> bytes:
    return content.rstrip(b"\n") + content[chance.randrange(len(content) + 1) :]


def _pack(content: bytes, chance: random.Random) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def _encode(content: bytes, chance: random.Random) -> bytes:
    return content.decode("utf-8", "replace").encode(chance.choice(("utf-16", "utf-8-sig")))


_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _cut,
    _cut,
    _flip,
    _insert,
    _join,
    _pack,
    _encode,
)
