"""OTLP JSON, written and read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from tracing.otlp_json import OtlpJsonError, decode, dumps, encode, read_spans
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
        "mixed": [1, 2.5, "x", [True]],
        "none": [],
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
                "map": '{"a": "b"}',
                "list": ["", 1],
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


@pytest.mark.parametrize("content", [dumps([FULL]), json.dumps(encode([FULL]), indent=2), "\n\n"])
def test_reads_a_file_of_one_object(tmp_path: Path, content: str) -> None:
    """One object on one line, one over many lines, and no object at all."""
    path = tmp_path / "trace.json"
    path.write_text(content, encoding="utf-8")
    assert list(read_spans(path)) == ([FULL] if content.strip() else [])


def test_reads_a_file_of_many_objects(tmp_path: Path) -> None:
    """One object per line, blank lines between them."""
    path = tmp_path / "traces.jsonl"
    path.write_text(f"\ufeff{dumps([FULL])}\n\n{dumps([BARE])}\n{dumps([])}", encoding="utf-8")
    assert list(read_spans(path)) == [FULL, BARE]


BAD_ID = dumps([BARE]).replace(SPAN_ID.hex(), "xyz")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"resourceSpans": [}', "line 1: not JSON: Expecting value at column 20"),
        (b"{}\n\n{,\n", "line 3: not JSON: Expecting property name enclosed in double quotes"),
        (b'{\n "a": 1\n "b": 2}', "line 3: not JSON: Expecting ',' delimiter at column 2"),
        (b"\x1f\x8b\x08\xff", "line 1: not JSON: not text"),
        (b"{}\n[]", "line 2: expected an object with resourceSpans, got a list"),
        (b'{"data": [], "total": 0}', "line 1: no resourceSpans here, only 'data', 'total'"),
        (b'{"resourceSpans": 5}', "line 1: not shaped like OTLP JSON: 'int' object"),
        (b'{"resourceSpans": ["x"]}', "line 1: not shaped like OTLP JSON: 'str' object"),
        (BAD_ID.encode(), "line 1: spanId 'xyz' is not 16 hex digits"),
        (
            dumps([BARE]).replace(f'"{START}"', '"noon"').encode(),
            "line 1: startTimeUnixNano 'noon' is not an integer",
        ),
        (b"[" * 200_000, "line 1: not JSON: "),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, content: bytes, problem: str) -> None:
    """One clear error tells which file, which line and what is wrong."""
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(OtlpJsonError) as caught:
        list(read_spans(path))
    assert str(caught.value).startswith(f"{path}, {problem}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The system's reason stands behind the file's name."""
    with pytest.raises(OtlpJsonError) as caught:
        list(read_spans(tmp_path / "none.json"))
    assert str(caught.value) == f"{tmp_path / 'none.json'}: No such file or directory"
