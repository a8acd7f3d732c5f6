"""Spans that are too large: the longest text is cut with a mark, and all else is kept."""

from __future__ import annotations

from tests.fakes import make_span
from tracing.span import Event
from tracing.spool.truncate import MARK, shorten, truncate_largest


def test_largest_text_is_cut_to_a_quarter_with_a_mark() -> None:
    """One attribute is cut, its name is told, and the others stay."""
    span = make_span(1, attributes={"small": "kept", "big": "x" * 4000, "number": 5})
    cut, name = truncate_largest(span) or (None, "")
    kept = "x" * (1000 - len(MARK)) + MARK
    assert name == "big"
    assert cut == span._replace(attributes={"small": "kept", "big": kept, "number": 5})


def test_largest_text_may_be_an_events() -> None:
    """An event's attribute is cut where it is the largest of all."""
    events = (Event("a", 1, {"k": "v"}), Event("b", 2, {"stack": "y" * 4000, "k": "v"}))
    span = make_span(1, attributes={"big": "x" * 3000}, events=events)
    cut, name = truncate_largest(span) or (None, "")
    kept = "y" * (1000 - len(MARK)) + MARK
    assert name == "stack"
    assert cut == span._replace(events=(events[0], Event("b", 2, {"stack": kept, "k": "v"})))


def test_lists_and_bytes_are_cut_as_their_text() -> None:
    """A value that is no text becomes its text's beginning."""
    for value, begins in (["word"] * 1000, '["word", "word"'), (b"z" * 4000, "\"b'zzz"):
        cut, name = truncate_largest(make_span(1, attributes={"big": value})) or (None, "")
        assert name == "big"
        assert cut is not None
        text = cut.attributes["big"]
        assert isinstance(text, str)
        assert (text[: len(begins)], text[-len(MARK) :]) == (begins, MARK)


def test_short_texts_are_not_worth_cutting() -> None:
    """A span without long texts is left alone, however many it has."""
    assert truncate_largest(make_span(1)) is None
    assert truncate_largest(make_span(1, attributes={})) is None
    many = {f"k{n}": "x" * 250 for n in range(99)}
    assert truncate_largest(make_span(1, attributes=many)) is None


def test_cutting_ends() -> None:
    """Cut again and again, even the largest text becomes one that is not worth cutting."""
    span, cuts = make_span(1, attributes={"big": "x" * 5_000_000}), 0
    while cut := truncate_largest(span):
        span, cuts = cut[0], cuts + 1
    assert (cuts, len(str(span.attributes["big"]))) == (8, 256 + len(MARK))


def test_shortening_cuts_the_longest_until_all_fit() -> None:
    """Several texts are cut, each is named once, and what fits is not touched."""
    texts = {"first": "a" * 900_000, "second": "b" * 800_000, "small": "c" * 1000}
    span, names = shorten(make_span(1, attributes=texts), 1_000_000)
    assert names == ["first", "second"]
    assert sum(len(str(value)) for value in span.attributes.values()) <= 750_000
    assert span.attributes["small"] == texts["small"]
    assert span.attributes.keys() == texts.keys()


def test_shortening_leaves_what_fits_and_gives_up_on_what_cannot() -> None:
    """A span within the limit is itself; one of too many short texts is kept whole."""
    small = make_span(1)
    many = make_span(2, attributes={f"k{n}": "x" * 250 for n in range(100)})
    assert shorten(small, 1000) == (small, [])
    assert shorten(many, 1000) == (many, [])
