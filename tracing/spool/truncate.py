"""A span that is too large: its longest texts are cut, with a mark, and the rest is kept."""

from __future__ import annotations

import json

from tracing.span import Attributes, Span

MARK = "... [truncated]"
_SMALLEST_CHARS = 256


def shorten(span: Span, limit_bytes: int) -> tuple[Span, list[str]]:
    """Cut the longest texts until all of them fit in about `limit_bytes`; name what was cut."""
    names: list[str] = []
    while sum(map(len, _texts(span))) > limit_bytes * 3 // 4:
        cut = truncate_largest(span)
        if cut is None:
            break
        span, name = cut
        if name not in names:
            names.append(name)
    return span, names


def truncate_largest(span: Span) -> tuple[Span, str] | None:
    """The span with its largest text cut to a quarter, and that attribute's name.

    None when no text is left that is worth cutting.
    """
    name, length = _largest(span.attributes)
    events = [(index, *_largest(event.attributes)) for index, event in enumerate(span.events)]
    index, event_name, event_length = max(events, key=lambda found: found[2], default=(0, "", 0))
    if max(length, event_length) <= _SMALLEST_CHARS + len(MARK):
        return None
    if length >= event_length:
        return span._replace(attributes=_cut(span.attributes, name)), name
    event = span.events[index]
    cut = event._replace(attributes=_cut(event.attributes, event_name))
    return span._replace(events=(*span.events[:index], cut, *span.events[index + 1 :])), event_name


def _texts(span: Span) -> list[str]:
    holders = [span.attributes, *(event.attributes for event in span.events)]
    return [_text(value) for attributes in holders for value in attributes.values()]


def _largest(attributes: Attributes) -> tuple[str, int]:
    lengths = ((name, len(_text(value))) for name, value in attributes.items())
    return max(lengths, key=lambda found: found[1], default=("", 0))


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str) if isinstance(value, (list, dict, bytes)) else ""


def _cut(attributes: Attributes, name: str) -> Attributes:
    text = _text(attributes[name])
    kept = max(len(text) // 4 - len(MARK), _SMALLEST_CHARS)
    return {**attributes, name: text[:kept] + MARK}
