"""Requests are what OpenTelemetry's own classes read."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.fakes import decode_request, make_span
from tracing.deliver.senders.otlp_protobuf import encode_request
from tracing.span import Event, Link, Span

FULL = Span(
    trace_id=bytes(range(1, 17)),
    span_id=bytes(range(1, 9)),
    parent_span_id=bytes(range(8, 16)),
    name="Zürich 🦜" * 20,
    start_time_unix_nano=1_700_000_000_000_000_001,
    end_time_unix_nano=1_700_000_000_000_000_002,
    attributes={
        "text": "ä",
        "empty": "",
        "yes": True,
        "no": False,
        "zero": 0,
        "negative": -5,
        "smallest": -(2**63),
        "largest": 2**63 - 1,
        "float": 0.1,
        "infinite": math.inf,
        "bytes": b"\x00\xff",
        "list": ["a", 1, 2.5, True, b"x", ["deep"]],
        "nothing in it": [],
        "map": {"key": {"inner": [1]}},
        "long": "x" * 70_000,
    },
    events=(Event("one", 3, {"k": "v"}), Event("two", 4)),
    links=(Link(b"t" * 16, b"s" * 8, {"x": 1}),),
    status_code=2,
    status_message="no",
    kind=3,
    trace_state="a=1",
    dropped_attributes_count=1,
    dropped_events_count=200,
    dropped_links_count=3,
    scope_name="livekit-agents",
    scope_version="1.8.9",
    resource={"service.name": "agent", "list": [1, 2]},
)


def test_full_span_is_decoded_as_it_was() -> None:
    """Every field and type of value arrives."""
    assert decode_request(encode_request([FULL])) == (FULL,)


def test_smallest_span_is_decoded_as_it_was() -> None:
    """What is empty is left out and reads as empty."""
    span = Span(b"t" * 16, b"s" * 8, b"", "", 0, 0)
    assert decode_request(encode_request([span])) == (span,)


def test_not_a_number_arrives() -> None:
    """NaN is NaN on the other side."""
    [span] = decode_request(encode_request([make_span(attributes={"nan": math.nan})]))
    assert math.isnan(span.attributes["nan"])  # type: ignore[arg-type]


def test_what_protobuf_cannot_carry_arrives_as_near_as_can_be() -> None:
    """Half a surrogate, an integer of 64 bits without sign, nothing."""
    values = {"half": "a\ud83d", "unsigned": 2**64 - 1, "none": None, "nones": [None, "x"]}
    [span] = decode_request(encode_request([make_span(attributes=values)]))
    assert span.attributes == {"half": "a?", "unsigned": -1, "nones": [None, "x"]}


def test_spans_stand_with_their_resource_and_scope() -> None:
    """One group per resource, within it one per scope; nothing is repeated."""
    one, two = {"service.name": "one"}, {"service.name": "two"}
    spans = [
        make_span(1, resource=one, scope_name="a"),
        make_span(2, resource=one, scope_name="b", scope_version="2"),
        make_span(3, resource=two, scope_name="a"),
        make_span(4, resource=one, scope_name="a"),
    ]
    request = ExportTraceServiceRequest.FromString(encode_request(spans))
    grouped = [
        (
            group.resource.attributes[0].value.string_value,
            [(s.scope.name, s.scope.version, [x.name for x in s.spans]) for s in group.scope_spans],
        )
        for group in request.resource_spans
    ]
    assert grouped == [
        ("one", [("a", "", ["span 1", "span 4"]), ("b", "2", ["span 2"])]),
        ("two", [("a", "", ["span 3"])]),
    ]


def test_spans_are_marked_as_sampled() -> None:
    """The flags say what they are here for; no receiver has to guess."""
    request = ExportTraceServiceRequest.FromString(encode_request([make_span()]))
    assert request.resource_spans[0].scope_spans[0].spans[0].flags == 1


def test_no_spans_are_an_empty_request() -> None:
    """Nothing is nothing."""
    assert encode_request([]) == b""


_TEXT = st.text(st.characters(codec="utf-8"))
_VALUES = st.recursive(
    _TEXT
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_TEXT, _VALUES, max_size=5))
@settings(max_examples=100, deadline=None)
def test_any_attributes_arrive(attributes: dict[str, Any]) -> None:
    """Whatever the values and however deep."""
    span = make_span(attributes=attributes)
    assert decode_request(encode_request([span])) == (span,)
