"""A span as a row of the store, legible to a person with `sqlite3`.

Ids are hex, times nanoseconds since the epoch, attributes plain JSON objects. JSON has neither
bytes nor NaN and the infinities; those are written `{"$bytes": BASE64}` and `{"$double": "nan"}`.
A map of one key that begins with `$` gets another `$` before it, so that it is not taken for one.
"""

from __future__ import annotations

import base64
import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from tracing.limits import MAX_DEPTH
from tracing.span import Attributes, Event, Link, Span

COLUMNS = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "attributes",
    "events",
    "links",
    "status_code",
    "status_message",
    "kind",
    "trace_state",
    "dropped_attributes_count",
    "dropped_events_count",
    "dropped_links_count",
    "scope_name",
    "scope_version",
    "resource",
)
"""The columns of a row: the fields of `Span`, in its order."""

_MAX_INTEGER = 2**63 - 1
_BYTES, _DOUBLE = "$bytes", "$double"
_TOO_DEEP = "[nested too deeply]"
_PLAIN = (str, int, float, bool)
"""The types of most values, in which nothing is nested."""
_decode = msgspec.json.decode  # in a third of the time of the standard library's


def to_row(span: Span) -> tuple[str | int, ...]:
    """The row of a span; takes whatever a span may hold, so that none can block the others."""
    return (
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        clean_text(span.name),
        integer(span.start_time_unix_nano),
        integer(span.end_time_unix_nano),
        _attributes_json(span.attributes),
        _json([_event_object(event) for event in span.events]) if span.events else "[]",
        _json([_link_object(link) for link in span.links]) if span.links else "[]",
        integer(span.status_code),
        clean_text(span.status_message),
        integer(span.kind),
        clean_text(span.trace_state),
        integer(span.dropped_attributes_count),
        integer(span.dropped_events_count),
        integer(span.dropped_links_count),
        clean_text(span.scope_name),
        clean_text(span.scope_version),
        _attributes_json(span.resource),
    )


class _Row(NamedTuple):
    """What `to_row` writes: the types of the columns."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    start_time_unix_nano: int
    end_time_unix_nano: int
    attributes: str
    events: str
    links: str
    status_code: int
    status_message: str
    kind: int
    trace_state: str
    dropped_attributes_count: int
    dropped_events_count: int
    dropped_links_count: int
    scope_name: str
    scope_version: str
    resource: str


def from_row(row: Sequence[Any]) -> Span:
    """The span of a row; raises for one that `to_row` has not written."""
    checked = msgspec.convert(row, _Row)
    return Span(
        _id(checked.trace_id, 16),
        _id(checked.span_id, 8),
        _id(checked.parent_span_id, 8) if checked.parent_span_id else b"",
        checked.name,
        checked.start_time_unix_nano,
        checked.end_time_unix_nano,
        _attributes(_decode(checked.attributes)),
        tuple(_event(event) for event in _list(checked.events)),
        tuple(_link(link) for link in _list(checked.links)),
        *checked[9:-1],
        _resource(checked.resource),
    )


def spans_of(db: sqlite3.Connection, trace_id: str) -> list[Span]:
    """The spans of a call in the order in which they started."""
    rows = db.execute(
        f"SELECT {', '.join(COLUMNS)} FROM spans WHERE trace_id = ?"
        " ORDER BY start_time_unix_nano, rowid",
        (trace_id,),
    ).fetchall()
    return [from_row(row) for row in rows]


def to_json(value: object) -> str:
    """Any value as `from_json` gives it back."""
    return _json(_nested(value))


def from_json(text: str) -> dict[str, Any]:
    """An object that `to_json` wrote; raises for anything else."""
    found = _decode(text)
    if '"$' in text:
        found = _restore(found)
    if not isinstance(found, dict):
        raise TypeError(f"an object was expected, not {type(found).__name__}")
    return found


def _list(text: str) -> list[Any]:
    return [] if text == "[]" else list(_decode(text))


@lru_cache(16)
def _resource(text: str) -> Attributes:
    """The same for all spans of a process."""
    return _attributes(_decode(text))


def _id(text: str, length: int) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != length:
        raise ValueError(f"{text!r} is no id of {length} bytes")
    return found


def integer(value: int) -> int:
    """The nearest integer that SQLite takes."""
    return max(-_MAX_INTEGER, min(value, _MAX_INTEGER))


def _event_object(event: Event) -> dict[str, Any]:
    return {
        "name": event.name,
        "time_unix_nano": event.time_unix_nano,
        "attributes": _attributes_object(event.attributes),
    }


def _event(event: Mapping[str, Any]) -> Event:
    return Event(str(event["name"]), int(event["time_unix_nano"]), _attributes(event["attributes"]))


def _link_object(link: Link) -> dict[str, Any]:
    return {
        "trace_id": link.trace_id.hex(),
        "span_id": link.span_id.hex(),
        "attributes": _attributes_object(link.attributes),
    }


def _link(link: Mapping[str, Any]) -> Link:
    return Link(
        _id(link["trace_id"], 16),
        _id(link["span_id"], 8),
        _attributes(link["attributes"]),
    )


def _attributes_json(attributes: Attributes) -> str:
    return _json(_attributes_object(attributes)) if attributes else "{}"


def _attributes_object(attributes: Attributes) -> dict[str, Any]:
    return {
        key: value if type(value) in _PLAIN else _nested(value) for key, value in attributes.items()
    }


def _nested(value: Any, depth: int = 0) -> Any:
    """A list or a map in which no map can be taken for bytes or a number."""
    if depth > MAX_DEPTH:
        return _TOO_DEEP
    if isinstance(value, (dict, Mapping)):
        pairs = {
            str(key): item if type(item) in _PLAIN else _nested(item, depth + 1)
            for key, item in value.items()
        }
        is_like_ours = len(pairs) == 1 and next(iter(pairs)).startswith("$")
        return {f"${key}": item for key, item in pairs.items()} if is_like_ours else pairs
    if isinstance(value, (list, tuple)):
        return [_nested(item, depth + 1) for item in value]
    return value


def _attributes(loaded: Mapping[str, Any]) -> Attributes:
    return {
        key: _restore(value) if isinstance(value, (dict, list)) else value
        for key, value in loaded.items()
    }


def _restore(value: Any) -> Any:
    if isinstance(value, list):
        return [_restore(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(key, inner)] = value.items()
        if key == _BYTES:
            return base64.b64decode(inner)
        if key == _DOUBLE:
            return float(inner)
        if key.startswith("$$"):
            return {key[1:]: _restore(inner)}
    return {key: _restore(item) for key, item in value.items()}


def _json(value: object) -> str:
    try:
        text = _encode(value)
    except ValueError:
        text = _encode(_finite(value))
    return clean_text(text)


def _bytes_object(value: object) -> object:
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode("ascii")}
    return str(value)


# Bytes are the encoder's unknown type, at no cost to the rest; NaN it can only refuse.
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_bytes_object
).encode


def _finite(value: Any) -> Any:
    """A copy in which NaN and the infinities are objects that JSON can carry."""
    if isinstance(value, float) and not math.isfinite(value):
        return {_DOUBLE: str(value)}
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def clean_text(value: str) -> str:
    """Text that SQLite takes: half a surrogate pair becomes a question mark."""
    if value.isascii():
        return value
    return value.encode("utf-8", "replace").decode("utf-8")
