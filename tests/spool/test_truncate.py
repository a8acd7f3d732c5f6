"""Spans that are too large: the longest values are shortened with a mark, and all else is kept."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import make_span
from tracing.span import Attributes, Event, Link, Span
from tracing.spool.records import end_frame, read_records
from tracing.spool.truncate import MARK, shorten, truncate_largest

LIMIT = 2**20


def shortened(attributes: Attributes) -> dict[str, Any]:
    """The attributes as a record of 1 MiB holds them."""
    span, _ = shorten(make_span(1, attributes=attributes), LIMIT)
    assert len(end_frame(span, span.attributes)) <= LIMIT
    return dict(span.attributes)


def test_largest_text_is_cut_to_a_quarter_with_a_mark() -> None:
    """One attribute is cut, its name is told, and the others stay."""
    span = make_span(1, attributes={"small": "kept", "big": "x" * 4000, "number": 5})
    cut, name = truncate_largest(span) or (None, "")
    assert name == "big"
    assert cut is not None
    big = str(cut.attributes["big"])
    assert cut == span._replace(attributes={"small": "kept", "big": big, "number": 5})
    assert (big.strip("x"), 950 < len(big) <= 1000) == (MARK, True)


def test_largest_text_may_be_an_events() -> None:
    """An event's attribute is cut where it is the largest of all."""
    events = (Event("a", 1, {"k": "v"}), Event("b", 2, {"stack": "y" * 4000, "k": "v"}))
    span = make_span(1, attributes={"big": "x" * 3000}, events=events)
    cut, name = truncate_largest(span) or (None, "")
    assert name == "stack"
    assert cut is not None
    stack = str(cut.events[1].attributes["stack"])
    assert cut == span._replace(events=(events[0], Event("b", 2, {"stack": stack, "k": "v"})))
    assert (stack.strip("y"), 950 < len(stack) <= 1000) == (MARK, True)


def test_values_keep_their_type() -> None:
    """A list stays a list, a map a map, bytes bytes, JSON JSON; each says what is missing."""
    assert shortened({"it": ["word"] * 500_000})["it"][-2:] == ["word", MARK]
    assert shortened({"it": (1.5,) * 500_000})["it"][-2:] == [1.5, MARK]
    assert shortened({"it": [b"z" * 4_000_000]})["it"][0].strip(b"z") == MARK.encode()
    assert shortened({"it": {"a": "y" * 4_000_000, "b": 1}})["it"]["b"] == 1
    assert shortened({"it": "ü" * 4_000_000})["it"].strip("ü") == MARK
    assert shortened({"it": 1 << 2**25})["it"].endswith(MARK)
    assert json.loads(shortened({"it": json.dumps([True] * 900_000)})["it"])[-2:] == [True, MARK]


@pytest.mark.parametrize("shape", ["list", "mapping"])
@pytest.mark.parametrize("long", ["x", "\n", "ü", '"'])
def test_long_message_leaves_the_rest_of_the_conversation(shape: str, long: str) -> None:
    """Every message is there, the long one alone is shortened, and what remains parses."""
    messages = [{"role": "user", "content": f"message {number}"} for number in range(50)]
    messages[20]["content"] = long * 5_000_000
    messages[21]["content"] = long * 4_000_000
    text = json.dumps(messages if shape == "list" else {"items": messages})
    found = json.loads(shortened({"lk.chat_ctx": text})["lk.chat_ctx"])
    found = found if shape == "list" else found["items"]
    assert [message["role"] for message in found] == ["user"] * 50
    kept = [number for number in range(50) if found[number] == messages[number]]
    assert kept == [number for number in range(50) if number not in (20, 21)]
    assert all(found[number]["content"].strip(long) == MARK for number in (20, 21))
    assert all(len(found[number]["content"]) > 100_000 for number in (20, 21))


@pytest.mark.parametrize("text", ['[{"a": "', "{no json ", "[NaN, ", "["])
def test_what_only_looks_like_json_is_cut_as_text(text: str) -> None:
    """Its beginning, with the mark."""
    cut = shortened({"it": text + "x" * 3_000_000})["it"]
    assert (cut[: len(text)], cut[-len(MARK) :]) == (text, MARK)


def huge(quarters: int) -> dict[str, Span]:
    """Spans with far too much of one thing: four quarters of it, or fewer."""
    texts = {f"k{n}": "x" * 25_000 * quarters for n in range(128)}
    conversation = json.dumps([{"text": "x" * 12_500 * quarters}] * 2)
    many = Event("e", 1, {f"k{n}": "x" * 1000 for n in range(99)})
    long = "x" * 1_250_000 * quarters
    return {
        "floats": make_span(1, attributes={"it": (1.5,) * (750_000 * quarters)}),
        "texts": make_span(1, attributes=texts),
        "conversations": make_span(1, attributes={f"k{n}": conversation for n in range(128)}),
        "keys": make_span(1, attributes={f"k{n}": "x" * 100 for n in range(25_000 * quarters)}),
        "a key": make_span(1, attributes={long: 1, "kept": 1}),
        "events": make_span(1, events=(many,) * (25 * quarters)),
        "names of events": make_span(1, events=(Event("e" * 5000, 1),) * (250 * quarters)),
        "links": make_span(
            1, links=(Link(b"t" * 16, b"s" * 8, {"k": "x" * 5000}),) * (250 * quarters)
        ),
        "resource": make_span(1, resource={"k": long}),
        "name": make_span(1, long),
        "message": make_span(1, status_message=long),
        "state": make_span(1, trace_state=long),
        "scope": make_span(1, scope_name=long, scope_version=long),
    }


QUARTER, WHOLE = huge(1), huge(4)


def _shorten(span: Span) -> tuple[Span, float]:
    """The shortened span, and the seconds of processor time that it took."""
    began = time.process_time()
    small, _ = shorten(span, LIMIT)
    return small, time.process_time() - began


@pytest.mark.parametrize("what", WHOLE)
def test_whatever_is_too_large_fits_its_record_in_no_time(what: str) -> None:
    """No type of value escapes, nothing takes the square of it; the ids and times stay."""
    span = WHOLE[what]
    _, seconds_of_quarter = _shorten(QUARTER[what])
    small, seconds = _shorten(span)
    assert seconds < 8 * seconds_of_quarter + 0.1  # the square would be sixteen times as long
    frame = end_frame(small, small.attributes)
    assert len(frame) <= LIMIT
    [record] = read_records(frame)
    assert record.span is not None
    assert record.span[:3] + record.span[4:6] == span[:3] + span[4:6]
    assert len(small.attributes) + small.dropped_attributes_count == len(span.attributes)
    assert len(small.events) + small.dropped_events_count == len(span.events)
    assert len(small.links) + small.dropped_links_count == len(span.links)


_TEXT = st.text(max_size=30) | st.sampled_from(["x" * 900, "ü" * 900, json.dumps(["y" * 99] * 9)])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT | st.binary(max_size=900),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(_TEXT, inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=9), _VALUES, max_size=9), st.integers(4000, 9000))
@settings(max_examples=50, deadline=None)
def test_any_span_fits_its_limit(attributes: dict[str, Any], limit: int) -> None:
    """Whatever it holds, but for what every span has; what fits is not touched."""
    span = make_span(1, attributes=attributes, events=(Event("e", 1, attributes),))
    small, names = shorten(span, limit)
    assert len(end_frame(small, small.attributes)) <= limit + 500
    if len(end_frame(span, attributes)) < limit // 4:
        assert (small, names) == (span, [])


def test_short_texts_are_not_worth_cutting() -> None:
    """A span without long texts is left alone, however many it has."""
    assert truncate_largest(make_span(1)) is None
    assert truncate_largest(make_span(1, attributes={})) is None
    many = {f"k{n}": "x" * 250 for n in range(99)}
    assert truncate_largest(make_span(1, attributes=many)) is None


@pytest.mark.parametrize(
    "value",
    [
        "x" * 5_000_000,
        json.dumps([{"a": "x" * 99_999}] * 9),
        json.dumps({f"k{n}": n for n in range(9999)}),
        json.dumps(list(range(99_999))),
        [1] * 99_999,
        {f"k{n}": n for n in range(9999)},
        b"x" * 99_999,
    ],
)
def test_cutting_ends(value: Any) -> None:
    """Cut again and again, even the largest value becomes one that is not worth cutting."""
    span, cuts = make_span(1, attributes={"big": value}), 0
    while cut := truncate_largest(span):
        span, cuts = cut[0], cuts + 1
        assert cuts < 20
    assert len(end_frame(span, span.attributes)) < 600


def test_shortening_cuts_the_longest_until_all_fit() -> None:
    """Several texts are cut to the same length, each is named, and what fits is not touched."""
    texts = {"first": "a" * 900_000, "second": "b" * 800_000, "small": "c" * 1000}
    span, names = shorten(make_span(1, attributes=texts), 1_000_000)
    assert names == ["first", "second"]
    lengths = [len(str(value)) for value in span.attributes.values()]
    assert (lengths[0] == lengths[1], 700_000 < sum(lengths) <= 750_000) == (True, True)
    assert span.attributes["small"] == texts["small"]
    assert span.attributes.keys() == texts.keys()


def test_shortening_leaves_what_fits() -> None:
    """A span within the limit is itself."""
    small = make_span(1)
    assert shorten(small, 10_000) == (small, [])
