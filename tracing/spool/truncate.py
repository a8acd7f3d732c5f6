"""A span that is too large: its longest values are shortened, with a mark, and the rest is kept.

A value keeps its type. JSON stays JSON: every message of a conversation is there, and each long
text in it is shortened. What this takes grows with the span, never with its square.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from tracing.span import Attributes, Event, Link, Span

MARK = "... [truncated]"
_SMALLEST_BYTES = 256
"""What is shorter is not worth shortening, as long as there is anything else."""
_NAME_BYTES = 1024
_HEAD_BYTES = 9
"""What a number takes at most, and what any other value begins with."""
_SMALL = frozenset({float, bool, type(None)})
_MAX_DEPTH = 32

_Part = TypeVar("_Part", Event, Link)


def shorten(span: Span, limit_bytes: int) -> tuple[Span, list[str]]:
    """Shorten the longest values until the span fits in `limit_bytes`; name what was shortened.

    Where there are too many values for that, the last are dropped, and counted on the span.
    """
    room = limit_bytes * 3 // 4
    span = _with_fewer(span, room // 2)
    sizes = [_size(value, room) for holder in _holders(span) for value in holder.values()]
    most = _level(sizes, room - _fixed(span))
    cut: dict[str, None] = {}

    def fitting(holder: Attributes) -> Attributes:
        long = [key for key, value in holder.items() if _size(value, most) > most]
        cut.update(dict.fromkeys(long))
        return {**holder, **{key: _shorter(holder[key], most) for key in long}}

    shortened = span._replace(
        attributes=fitting(span.attributes),
        events=tuple(event._replace(attributes=fitting(event.attributes)) for event in span.events),
        links=tuple(link._replace(attributes=fitting(link.attributes)) for link in span.links),
        resource=fitting(span.resource),
        name=_shorter(span.name, _NAME_BYTES),
        status_message=_shorter(span.status_message, max(room // 8, _SMALLEST_BYTES)),
        trace_state=span.trace_state if len(span.trace_state) <= _NAME_BYTES else "",
        scope_name=_shorter(span.scope_name, _NAME_BYTES),
        scope_version=_shorter(span.scope_version, _NAME_BYTES),
    )
    return shortened, list(cut)


def truncate_largest(span: Span) -> tuple[Span, str] | None:
    """The span with its largest value shortened to a quarter, and that attribute's name.

    None when no value is left that is worth shortening.
    """
    name, size = _largest(span.attributes)
    events = [(index, *_largest(event.attributes)) for index, event in enumerate(span.events)]
    index, event_name, event_size = max(events, key=lambda found: found[2], default=(0, "", 0))
    if max(size, event_size) <= _SMALLEST_BYTES + len(MARK) + _HEAD_BYTES:
        return None
    if size >= event_size:
        return span._replace(attributes=_quartered(span.attributes, name, size)), name
    event = span.events[index]
    cut = event._replace(attributes=_quartered(event.attributes, event_name, event_size))
    return span._replace(events=(*span.events[:index], cut, *span.events[index + 1 :])), event_name


def _largest(attributes: Attributes) -> tuple[str, int]:
    sizes = ((name, _size(value)) for name, value in attributes.items())
    return max(sizes, key=lambda found: found[1], default=("", 0))


def _quartered(attributes: Attributes, name: str, size: int) -> Attributes:
    return {**attributes, name: _shorter(attributes[name], max(size // 4, _SMALLEST_BYTES))}


def _holders(span: Span) -> Iterator[Attributes]:
    """Everything of a span that has attributes."""
    yield span.attributes
    yield from (event.attributes for event in span.events)
    yield from (link.attributes for link in span.links)
    yield span.resource


def _fixed(span: Span) -> int:
    """About how many bytes a span takes without its values."""
    keys = sum(_size(key) for holder in _holders(span) for key in holder)
    events = sum(_size(event.name) + 2 * _HEAD_BYTES for event in span.events)
    return keys + events + len(span.links) * 4 * _HEAD_BYTES + 2 * _NAME_BYTES


def _with_fewer(span: Span, room: int) -> Span:
    """The span without the keys, events and links for which `room` is too small."""
    if _fixed(span) + sum(map(len, _holders(span))) * _HEAD_BYTES <= room:
        return span
    attributes = _first_keys(span.attributes, room // 4)
    events, links = _first_parts(span.events, room // 4), _first_parts(span.links, room // 4)
    dropped = len(span.attributes) - len(attributes)
    return span._replace(
        attributes=attributes,
        events=events,
        links=links,
        resource=_first_keys(span.resource, room // 4),
        dropped_attributes_count=span.dropped_attributes_count + dropped,
        dropped_events_count=span.dropped_events_count + len(span.events) - len(events),
        dropped_links_count=span.dropped_links_count + len(span.links) - len(links),
    )


def _first_keys(attributes: Attributes, room: int) -> Attributes:
    """The attributes whose keys fit; one with a key that is too long leaves room for others."""
    kept: dict[str, Any] = {}
    for key, value in attributes.items():
        size = _size(key) + _HEAD_BYTES
        if size <= room:
            kept[key] = value
            room -= size
    return kept


def _first_parts(parts: tuple[_Part, ...], room: int) -> tuple[_Part, ...]:
    """The first events or links, each with the keys for which its share of the room is enough."""
    share = max(room // max(len(parts), 1), _SMALLEST_BYTES)
    kept: list[_Part] = []
    for part in parts:
        slim = part._replace(attributes=_first_keys(part.attributes, share))
        if isinstance(slim, Event):
            slim = slim._replace(name=_shorter(slim.name, share))
        room -= sum(_size(key) + _HEAD_BYTES for key in slim.attributes) + 4 * _HEAD_BYTES
        room -= _size(slim[0])
        if room < 0:
            break
        kept.append(slim)
    return tuple(kept)


def _size(value: Any, enough: int = 2**62) -> int:
    """About how many bytes a value takes; counting ends where it is more than `enough`."""
    if type(value) in _SMALL:
        return _HEAD_BYTES
    if isinstance(value, int):  # its digits, where it has no place in 64 bits
        return _HEAD_BYTES + (value.bit_length() // 3 if value.bit_length() > 64 else 0)
    if isinstance(value, str):
        if value.isascii() or len(value) > enough:
            return len(value) + _HEAD_BYTES
        return len(value.encode("utf-8", "replace")) + _HEAD_BYTES
    if isinstance(value, (bytes, bytearray)):
        return len(value) + _HEAD_BYTES
    size = _HEAD_BYTES
    for item in _items(value):
        size += _size(item, enough - size)
        if size > enough:
            break
    return size


def _items(value: Any) -> Iterable[Any]:
    """What a list or mapping holds; nothing of any other value."""
    if isinstance(value, Mapping):
        return (part for pair in value.items() for part in pair)
    return value if isinstance(value, (list, tuple)) else ()


def _level(sizes: Sequence[int], room: int) -> int:
    """The most that each may take, so that all of them fit in `room`: as high as can be."""
    left = sorted(sizes)
    for index, size in enumerate(left):
        share = max(room, 0) // (len(left) - index)
        if size > share:
            return share
        room -= size
    return left[-1] if left else 0


def _how_many(sizes: Iterable[int], room: int) -> int:
    """How many of these, from the first on, fit."""
    count = 0
    for size in sizes:
        room -= size
        if room < 0:
            break
        count += 1
    return count


def _shorter(value: Any, most: int, depth: int = 0) -> Any:
    """A value of the same type in at most about `most` bytes."""
    if _size(value, most) <= most:
        return value
    if isinstance(value, str):
        return _shorter_text(value, most)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value[: max(most - len(MARK) - _HEAD_BYTES, 0)]) + MARK.encode()
    if isinstance(value, int):
        return _shorter_text(hex(value), most)
    if depth > _MAX_DEPTH:
        return MARK
    if isinstance(value, Mapping):
        return _shorter_mapping(value, most, depth + 1)
    if isinstance(value, (list, tuple)):
        return _shorter_list(value, most, depth + 1)
    return value


def _shorter_text(text: str, most: int) -> str:
    """Its beginning and a mark; of JSON all that is there, its own long texts shortened."""
    if text.lstrip()[:1] in ("{", "["):
        shorter = _shorter_json(text, most)
        if shorter is not None:
            return shorter
    kept = max(most - len(MARK) - _HEAD_BYTES, 0)
    if text.isascii():
        return text[:kept] + MARK
    return text[:kept].encode("utf-8", "replace")[:kept].decode("utf-8", "ignore") + MARK


def _shorter_json(text: str, most: int) -> str | None:
    """JSON that can be read, from JSON that can; None for what is none, or cannot be shorter."""
    try:
        found = msgspec.json.decode(text)
        room = most - most // 8
        while room > len(MARK):
            shorter = msgspec.json.encode(_shorter(found, room)).decode()
            if _size(shorter) <= most:
                return shorter
            room = room * most // _size(shorter) * 7 // 8  # it takes more as it is written
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        pass
    return None


def _shorter_mapping(value: Mapping[Any, Any], most: int, depth: int) -> dict[Any, Any]:
    kept = list(value)[: _how_many((_size(key) + _HEAD_BYTES for key in value), most // 2)]
    room = most - sum(map(_size, kept)) - _HEAD_BYTES
    return dict(zip(kept, _fitting([value[key] for key in kept], room, depth), strict=True))


def _shorter_list(value: Sequence[Any], most: int, depth: int) -> list[Any]:
    """All items, each as long as it can be; where they are too many the first ones, and a mark."""
    room = most - len(MARK) - 2 * _HEAD_BYTES
    kept = _how_many((min(_size(item, _SMALLEST_BYTES), _SMALLEST_BYTES) for item in value), room)
    items = _fitting(value[:kept], room, depth)
    return items if kept == len(value) else [*items, MARK]


def _fitting(values: Sequence[Any], room: int, depth: int) -> list[Any]:
    """The values, and those that are too long for `room` shortened."""
    sizes = [_size(value, room) for value in values]
    most = _level(sizes, room)
    return [
        value if size <= most else _shorter(value, most, depth)
        for value, size in zip(values, sizes, strict=True)
    ]
