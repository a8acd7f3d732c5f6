"""OTLP JSON, written and read: a span comes back as it was, however a tool spells it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from tracing.limits import MAX_DEPTH
from tracing.otlp_json import OtlpJsonError, decode, dumps, encode
from tracing.span import Event, Link, Span

TRACE_ID = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
SPAN_ID = bytes.fromhex("00f067aa0ba902b7")
START = 1_760_000_000_123_456_789

FULL = Span(
    trace_id=TRACE_ID,
    span_id=SPAN_ID,
    parent_span_id=bytes.fromhex("53995c3f42cd8ad8"),
    name="llm_request",
    start_time_unix_nano=START,
    end_time_unix_nano=START + 5,
    attributes={
        "text": "Grüße 🎉",
        "empty": "",
        "yes": True,
        "no": False,
        "tokens": 2**60,
        "zero": 0,
        "seconds": 0.25,
        "whole": 1.0,
        "raw": b"\x00\xff",
        "models": ["a", "b"],
        "mixed": [1, 2.5, "x", [True], None],
        "none": [],
        "map": {"tokens": 3, "raw": b"\xff", "ratio": math.inf, "in": {"list": [{"deep": ""}]}},
        "no map": {},
    },
    events=(Event("exception", START + 1, {"exception.type": "TimeoutError"}), Event("bare", 7)),
    links=(Link(TRACE_ID[::-1], SPAN_ID[::-1], {"why": "handoff"}),),
    status_code=2,
    status_message="timed out",
    kind=3,
    trace_state="vendor=1",
    dropped_attributes_count=1,
    dropped_events_count=2,
    dropped_links_count=3,
    scope_name="livekit-agents",
    scope_version="1.8.9",
    resource={"service.name": "agent"},
)
BARE = Span(TRACE_ID, SPAN_ID, b"", "root", START, 0)


def test_spans_survive_the_way_there_and_back() -> None:
    """Every field and every kind of value comes back as it was."""
    assert decode(json.loads(dumps([FULL, BARE]))) == [FULL, BARE]


def test_writes_what_the_otlp_json_rules_ask_for() -> None:
    """Ids are hex, 64-bit integers are strings, enums are numbers, keys are camelCase."""
    assert encode([BARE._replace(attributes={"tokens": 3}, scope_name="livekit-agents")]) == {
        "resourceSpans": [
            {
                "resource": {"attributes": []},
                "scopeSpans": [
                    {
                        "scope": {"name": "livekit-agents"},
                        "spans": [
                            {
                                "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
                                "spanId": "00f067aa0ba902b7",
                                "name": "root",
                                "kind": 1,
                                "startTimeUnixNano": "1760000000123456789",
                                "endTimeUnixNano": "0",
                                "attributes": [{"key": "tokens", "value": {"intValue": "3"}}],
                                "status": {"code": 0},
                            }
                        ],
                    }
                ],
            }
        ]
    }


def test_spans_are_grouped_by_resource_and_scope() -> None:
    """Neighbours that share resource and scope share a group; the order of spans stays."""
    other_scope = FULL._replace(scope_name="mine")
    other_resource = FULL._replace(resource={"service.name": "other"})
    written = encode([FULL, FULL, other_scope, other_resource])
    shape = [[len(s["spans"]) for s in g["scopeSpans"]] for g in written["resourceSpans"]]
    assert shape == [[2, 1], [1]]
    assert decode(written) == [FULL, FULL, other_scope, other_resource]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("inf"), {"doubleValue": "Infinity"}),
        (float("-inf"), {"doubleValue": "-Infinity"}),
        (float("nan"), {"doubleValue": "NaN"}),
        (2**63, {"stringValue": "9223372036854775808"}),
        (-(2**63), {"intValue": "-9223372036854775808"}),
        ("half \ud83d", {"stringValue": "half ?"}),
    ],
)
def test_values_that_json_cannot_hold(value: str | int | float, written: object) -> None:
    """NaN, infinities, huge integers and half characters become what OTLP can carry."""
    spans = encode([BARE._replace(attributes={"value": value})])["resourceSpans"][0]["scopeSpans"]
    assert spans[0]["spans"][0]["attributes"] == [{"key": "value", "value": written}]


def test_reads_what_protobuf_prints() -> None:
    """Base64 ids, enum names and snake_case keys are understood."""
    data = trace_pb2.TracesData()
    group = data.resource_spans.add()
    group.resource.CopyFrom(Resource(attributes=[_pair("service.name", string_value="agent")]))
    scope = group.scope_spans.add()
    scope.scope.CopyFrom(InstrumentationScope(name="livekit-agents", version="1.8.9"))
    scope.spans.add(
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        name="llm_request",
        kind=trace_pb2.Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=START,
        end_time_unix_nano=START + 5,
        attributes=[_pair("tokens", int_value=3), _pair("raw", bytes_value=b"\xfb\xff")],
        status=trace_pb2.Status(code=trace_pb2.Status.STATUS_CODE_ERROR, message="no"),
    )
    expected = Span(
        TRACE_ID,
        SPAN_ID,
        b"",
        "llm_request",
        START,
        START + 5,
        attributes={"tokens": 3, "raw": b"\xfb\xff"},
        status_code=2,
        status_message="no",
        kind=3,
        scope_name="livekit-agents",
        scope_version="1.8.9",
        resource={"service.name": "agent"},
    )
    assert decode(MessageToDict(data)) == [expected]
    assert decode(MessageToDict(data, preserving_proto_field_name=True)) == [expected]


def _pair(key: str, **value: str | int | bytes) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(**value))


def test_reads_loosely_typed_spans() -> None:
    """Numbers for strings, unknown keys, a zero parent, maps and missing values are taken."""
    span = {
        "traceId": TRACE_ID.hex().upper(),
        "spanId": SPAN_ID.hex(),
        "parentSpanId": "0" * 16,
        "name": "root",
        "startTimeUnixNano": START,
        "endTimeUnixNano": str(START + 5),
        "flags": 256,
        "attributes": [
            {"key": "tokens", "value": {"intValue": 3}},
            {"key": "text", "value": {"stringValue": "\ud83d cut"}},
            {"key": "map", "value": {"kvlistValue": {"values": [_string("a", "b")]}}},
            {"key": "list", "value": {"arrayValue": {"values": [{}, {"intValue": "1"}]}}},
            {"key": "url_safe", "value": {"bytesValue": "-_8"}},
            {"key": "nothing", "value": {}},
            {"key": "less"},
        ],
    }
    data = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}], "schemaUrl": "x"}], "more": 1}
    assert decode(data) == [
        BARE._replace(
            end_time_unix_nano=START + 5,
            attributes={
                "tokens": 3,
                "text": "? cut",
                "map": {"a": "b"},
                "list": [None, 1],
                "url_safe": b"\xfb\xff",
            },
        )
    ]


def _string(key: str, value: str) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


@pytest.mark.parametrize("data", [{}, {"resourceSpans": []}, {"resourceLogs": [{}]}])
def test_data_without_spans_is_no_error(data: object) -> None:
    """A collector's file may hold other signals, and empty objects."""
    assert decode(data) == []


def span_json(**fields: object) -> dict[str, object]:
    """A span of the least that there must be, and more."""
    return {"traceId": TRACE_ID.hex(), "spanId": SPAN_ID.hex(), "name": "root", **fields}


def wrapped(*spans: object, scope: str = "scopeSpans") -> dict[str, object]:
    """Spans in one group of OTLP's."""
    return {"resourceSpans": [{scope: [{"spans": list(spans)}]}]}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ({"intValue": "3"}, 3),
        ({"intValue": 3.0}, 3),
        ({"intValue": "1e3"}, 1000),
        ({"intValue": str(2**63)}, str(2**63)),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"doubleValue": "0.25"}, 0.25),
        ({"doubleValue": 1}, 1.0),
        ({"boolValue": "true"}, True),
        ({"string_value": "snake"}, "snake"),
        ({"stringValue": 7}, "7"),
        ({"stringValue": None, "intValue": "0"}, 0),
        ({"bytesValue": "+/8="}, b"\xfb\xff"),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": None}}, {}),
        ({"kvlistValue": {"values": [{"value": {"stringValue": "no key"}}]}}, {"": "no key"}),
    ],
)
def test_a_value_is_read_however_it_is_spelled(written: object, value: object) -> None:
    """What proto3's JSON allows: numbers as texts, defaults left out, null for nothing."""
    [span] = decode(wrapped(span_json(attributes=[{"key": "it", "value": written}])))
    assert span.attributes == {"it": value}


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({"kind": "SPAN_KIND_SERVER"}, {"kind": 2}),
        ({"kind": "4"}, {"kind": 4}),
        ({"kind": 77}, {"kind": 1}),
        ({"kind": None, "status": None, "events": None, "attributes": None}, {}),
        ({"status": {"code": "ERROR"}}, {"status_code": 2}),
        ({"status": {"code": 99}}, {"status_code": 0}),
        ({"start_time_unix_nano": "7"}, {"start_time_unix_nano": 7}),
        ({"startTimeUnixNano": 1.5e9}, {"start_time_unix_nano": 1_500_000_000}),
        ({"attributes": [{"value": {"stringValue": "v"}}]}, {"attributes": {"": "v"}}),
        ({"parentSpanId": "a1"}, {"parent_span_id": b"\0\0\0\0\0\0\0\xa1"}),
        ({"parentSpanId": "APBnqgupArc="}, {"parent_span_id": SPAN_ID}),
        ({"traceId": "0x" + TRACE_ID.hex()}, {}),
        ({"traceId": "b" * 16}, {"trace_id": bytes(8) + b"\xbb" * 8}),
    ],
)
def test_a_field_is_read_however_it_is_spelled(
    fields: dict[str, object], read: dict[str, Any]
) -> None:
    """Names or numbers, nothing or null, ids in base64 or without their leading zeros."""
    expected = BARE._replace(start_time_unix_nano=0)._replace(**read)
    assert decode(wrapped(span_json(**fields))) == [expected]


@pytest.mark.parametrize(
    "data",
    [
        wrapped(span_json(), scope="instrumentationLibrarySpans"),
        {"batches": wrapped(span_json())["resourceSpans"]},
        {"trace": wrapped(span_json())},
        {"result": wrapped(span_json())},
        {"resource_spans": [{"scope_spans": [{"spans": [span_json()]}]}]},
        [wrapped(span_json()), {}],
    ],
)
def test_spans_are_found_wherever_a_tool_puts_them(data: object) -> None:
    """Older OTLP, Tempo's batches and API, Jaeger's API, protobuf's own names, a list of all."""
    assert decode(data) == [BARE._replace(start_time_unix_nano=0)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"data": [{"traceID": "1", "spans": []}]}, "looks like what Jaeger's page"),
        ([{"traceId": "1", "localEndpoint": {"a": 1}}], "looks like Zipkin's format"),
        ({"name": "x", "context": {"trace_id": "0x1"}}, "looks like what the SDK's Console"),
    ],
)
def test_another_format_is_called_by_its_name(data: object, words: str) -> None:
    """What people take for OTLP JSON is not; they learn what it is."""
    with pytest.raises(OtlpJsonError, match=words):
        decode(data)


@pytest.mark.parametrize(
    "bad",
    [
        None,
        7,
        "span",
        {},
        span_json(spanId="xyz"),
        span_json(traceId=None),
        span_json(traceId={"a": 1}),
        span_json(startTimeUnixNano="-1"),
        span_json(endTimeUnixNano=2**64),
        span_json(endTimeUnixNano=math.inf),
        span_json(droppedEventsCount=2**32),
        span_json(attributes={"key": "k"}),
        span_json(attributes=["k"]),
        span_json(attributes=[{"key": "k", "value": {"intValue": "9" * 5000}}]),
        span_json(attributes=[{"key": "k", "value": {"intValue": math.nan}}]),
        span_json(attributes=[{"key": "k", "value": {"bytesValue": "é"}}]),
        span_json(attributes=[{"key": "k", "value": {"arrayValue": {"values": {}}}}]),
        span_json(events=[{"timeUnixNano": "soon"}]),
        span_json(links=[{}]),
    ],
)
def test_a_bad_span_costs_one_span(bad: object) -> None:
    """The ones before and behind it are read, and it is said why."""
    refused: list[tuple[str, str]] = []
    good = span_json()
    found = decode(wrapped(good, bad, good), lambda noun, why: refused.append((noun, why)))
    assert found == [BARE._replace(start_time_unix_nano=0)] * 2
    assert [noun for noun, _ in refused] == ["span"]
    with pytest.raises(OtlpJsonError):
        decode(wrapped(good, bad, good))


def test_a_bad_group_costs_its_group() -> None:
    """Another resource's spans are read."""
    refused: list[str] = []
    [good] = wrapped(span_json())["resourceSpans"]  # type: ignore[misc]
    bad = [7, {"resource": 7}, {"scopeSpans": 7}, {"scopeSpans": [{"scope": 7, "spans": []}]}]
    data = {"resourceSpans": [*bad, good]}
    assert len(decode(data, lambda noun, _: refused.append(noun))) == 1
    assert refused == ["group of spans"] * 4


@pytest.mark.parametrize("depth", [1, 30, MAX_DEPTH])
@pytest.mark.parametrize("around", [lambda inner: {"in": inner}, lambda inner: [inner]])
def test_what_is_nested_keeps_its_shape(depth: int, around: Callable[[Any], Any]) -> None:
    """Maps and lists, there and back, at a size that grows with the depth and no faster."""
    value: Any = b"bottom"
    for _ in range(depth):
        value = around(value)
    span = BARE._replace(attributes={"it": value})
    assert decode(json.loads(dumps([span]))) == [span]
    assert len(dumps([span])) < 400 + 60 * depth


def test_what_is_nested_deeper_is_text() -> None:
    """Nothing ends the process, neither what is read nor what is written."""
    value: Any = 1
    for _ in range(100_000):  # Python 3.14 goes as deep as its stack does
        value = [value]
    assert "[nested too deeply]" in dumps([BARE._replace(attributes={"it": value})])
    written: Any = {"intValue": "1"}
    for _ in range(MAX_DEPTH + 5):
        written = {"arrayValue": {"values": [written]}}
    [span] = decode(wrapped(span_json(attributes=[{"key": "it", "value": written}])))
    inner: Any = span.attributes["it"]
    for _ in range(MAX_DEPTH - 1):
        [inner] = inner
    assert json.loads(inner[0])["arrayValue"]["values"][0].keys() == {"arrayValue"}


def test_whatever_a_span_holds_is_written() -> None:
    """What no attribute should be becomes text, and stops no other."""
    odd = {7: "number", "none": None, "list": [None, {1, 2}], "keys": {7: "number"}, "tuple": (1,)}
    [span] = decode(json.loads(dumps([BARE._replace(attributes=odd)])))  # type: ignore[arg-type]
    assert span.attributes == {
        "7": "number",
        "list": [None, "{1, 2}"],
        "keys": {"7": "number"},
        "tuple": [1],
    }
