"""OTLP JSON -> spans, as any tool and any version of OTLP writes it.

Beside what OTLP/JSON asks for, all that proto3's JSON allows is understood: snake_case keys,
defaults left out or null, integers as numbers or texts, enums by name, base64 ids and bytes.
So are the names of older versions (`instrumentationLibrarySpans`), and what Tempo and Jaeger's
API put around it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

from tracing.limits import MAX_DEPTH
from tracing.otlp_json.text import whole
from tracing.span import Attributes, Event, Link, Span

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")

Refuse = Callable[[str, str], None]
"""Is told what could not be read: a noun such as `span`, and why."""

_STATUS_CODES = {"UNSET": 0, "OK": 1, "ERROR": 2}
_SPAN_KINDS = {
    name: number
    for number, name in enumerate(
        ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
    )
}
_GROUPS = ("resourceSpans", "batches")
"""What the groups are called: by OTLP, and by Tempo."""
_WRAPPERS = ("trace", "result")
"""What an object of OTLP is wrapped in: by Tempo's API, and by Jaeger's."""
_OTHER_SIGNALS = ("resourceLogs", "resourceMetrics", "resourceProfiles")
_FOREIGN = {
    "data": "looks like what Jaeger's page or /api/traces gives, which is not OTLP; its"
    " /api/v3/traces/TRACE_ID gives OTLP",
    "localEndpoint": "looks like Zipkin's format, which is not OTLP",
    "context": "looks like what the SDK's ConsoleSpanExporter prints, which is not OTLP",
}
"""By a key that tells it, what people take for OTLP JSON."""
_MISSHAPEN = (AttributeError, TypeError, ValueError, OverflowError, RecursionError)


class OtlpJsonError(ValueError):
    """What was to be read is not OTLP JSON."""


def refuse_all(noun: str, why: str) -> None:
    """Let nothing pass that cannot be read."""
    raise OtlpJsonError(why)


def decode(data: object, refuse: Refuse = refuse_all) -> list[Span]:
    """The spans of one `TracesData` object (or export request), or of a list of them.

    What cannot be read is handed to `refuse`: a span costs no other; without it, an
    OtlpJsonError is raised.
    """
    groups = chain.from_iterable(_each("object", _groups_of, [data], refuse))
    scopes = chain.from_iterable(_each("group of spans", _scopes_of, groups, refuse))
    spans = chain.from_iterable(_each("group of spans", _spans_of, scopes, refuse))
    return list(_each("span", _span, spans, refuse))


def _each(
    noun: str, read: Callable[[_Item], _Found], items: Iterable[_Item], refuse: Refuse
) -> Iterator[_Found]:
    """What `read` makes of each item that it can read."""
    for item in items:
        try:
            found = read(item)
        except OtlpJsonError as error:
            refuse(noun, str(error))
        except _MISSHAPEN as error:
            refuse(noun, f"not shaped like OTLP JSON: {error}")
        else:
            yield found


def _groups_of(data: object) -> list[Any]:
    """The `ResourceSpans` of an object; none where it holds other signals or nothing."""
    if isinstance(data, list) and data:
        return [group for item in data for group in _groups_of(item)]
    if not isinstance(data, Mapping):
        raise OtlpJsonError(f"expected an object with resourceSpans, got {_type_name(data)}")
    for key in _WRAPPERS:
        if isinstance(data.get(key), Mapping):
            return _groups_of(data[key])
    for key in _GROUPS:
        if _get(data, key) is not None:
            return _list(data, key)
    spellings = (form for key in (*_GROUPS, *_OTHER_SIGNALS) for form in (key, _snake(key)))
    if not data or any(form in data for form in spellings):
        return []
    known = (words for key, words in _FOREIGN.items() if data.get(key))
    keys = ", ".join(repr(key)[:40] for key in list(data)[:5])
    raise OtlpJsonError(next(known, f"no resourceSpans here, only {keys}"))


def _scopes_of(group: Mapping[str, Any]) -> list[tuple[Attributes, Any]]:
    """A group's `ScopeSpans`, each with the resource's attributes."""
    resource = _attributes(_get(group, "resource") or {})
    found = _list(group, "scopeSpans") or _list(group, "instrumentationLibrarySpans")
    return [(resource, of_scope) for of_scope in found]


def _spans_of(group: tuple[Attributes, Mapping[str, Any]]) -> list[tuple[Any, dict[str, Any]]]:
    """The spans of a scope, not yet read, each with where it comes from."""
    resource, of_scope = group
    scope = _get(of_scope, "scope") or _get(of_scope, "instrumentationLibrary") or {}
    origin = {
        "scope_name": _text(scope, "name"),
        "scope_version": _text(scope, "version"),
        "resource": resource,
    }
    return [(span, origin) for span in _list(of_scope, "spans")]


def _span(found: tuple[Mapping[str, Any], dict[str, Any]]) -> Span:
    span, origin = found
    status = _get(span, "status") or {}
    return Span(
        trace_id=_id(span, "traceId", 16),
        span_id=_id(span, "spanId", 8),
        parent_span_id=_id(span, "parentSpanId", 8, required=False),
        name=_text(span, "name"),
        start_time_unix_nano=_integer(span, "startTimeUnixNano", 64),
        end_time_unix_nano=_integer(span, "endTimeUnixNano", 64),
        attributes=_attributes(span),
        events=tuple(map(_event, _list(span, "events"))),
        links=tuple(map(_link, _list(span, "links"))),
        status_code=_enum(_get(status, "code"), _STATUS_CODES, "STATUS_CODE_", default=0),
        status_message=_text(status, "message"),
        kind=_enum(_get(span, "kind"), _SPAN_KINDS, "SPAN_KIND_", default=1),
        trace_state=_text(span, "traceState"),
        dropped_attributes_count=_integer(span, "droppedAttributesCount", 32),
        dropped_events_count=_integer(span, "droppedEventsCount", 32),
        dropped_links_count=_integer(span, "droppedLinksCount", 32),
        **origin,
    )


def _event(event: Mapping[str, Any]) -> Event:
    return Event(_text(event, "name"), _integer(event, "timeUnixNano", 64), _attributes(event))


def _link(link: Mapping[str, Any]) -> Link:
    return Link(_id(link, "traceId", 16), _id(link, "spanId", 8), _attributes(link))


def _attributes(holder: Mapping[str, Any]) -> Attributes:
    """The attributes that have a value; one without a value is as good as absent."""
    pairs = _list(holder, "attributes")
    decoded = ((_text(pair, "key"), _value(_get(pair, "value"))) for pair in pairs)
    return {key: value for key, value in decoded if value is not None}


def _value(value: Mapping[str, Any] | None, depth: int = 0) -> Any:
    """The value of an `AnyValue`; one call per level, so that the stack holds what is nested."""
    if not isinstance(value, (dict, type(None))):
        raise OtlpJsonError(f"{_type_name(value)} in place of an attribute's value")
    for kind, found in (value or {}).items():
        read = _VALUES.get(kind)
        if read is None or found is None:
            continue
        if read not in (list, dict):
            return read(found)
        if depth == MAX_DEPTH:
            return whole(json.dumps(value, ensure_ascii=False))
        if read is list:
            items = []
            for item in _list(found, "values"):
                items.append(_value(item, depth + 1))
            return items
        pairs = {}
        for pair in _list(found, "values"):
            pairs[_text(pair, "key")] = _value(_get(pair, "value"), depth + 1)
        return pairs
    return None


def _whole_number(value: Any) -> int:
    """An integer from a number or a text; proto3's JSON also takes 1e3 and 1.0 for one."""
    try:
        return int(value) if not isinstance(value, float) else _integral(value)
    except ValueError:
        return _integral(float(value))


def _integral(value: float) -> int:
    if not value.is_integer():
        raise ValueError(f"{value!r} is not an integer")
    return int(value)


def _int_value(value: Any) -> int | str:
    number = _whole_number(value)
    return number if -(2**63) <= number < 2**63 else str(number)


def _bool_value(value: Any) -> bool:
    return value is True or value == "true"


def _string_value(value: Any) -> str:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, (dict, list)):
        raise OtlpJsonError(f"{_type_name(value)} in place of a text")
    return str(value)


def _bytes_value(value: str) -> bytes:
    # Python ignores surplus padding, so this reads padded and unpadded values alike.
    return base64.b64decode(value.translate(_FROM_URL_SAFE) + "==")


_FROM_URL_SAFE = str.maketrans("-_", "+/")
_VALUES_BY_CAMEL_KEY: dict[str, Callable[[Any], Any]] = {
    "stringValue": _string_value,
    "boolValue": _bool_value,
    "intValue": _int_value,
    "doubleValue": float,
    "arrayValue": list,
    "kvlistValue": dict,
    "bytesValue": _bytes_value,
}
_SNAKE_KEYS = re.compile("[A-Z]")


@lru_cache(maxsize=64)
def _snake(key: str) -> str:
    return _SNAKE_KEYS.sub(lambda match: f"_{match[0].lower()}", key)


_VALUES = {
    **_VALUES_BY_CAMEL_KEY,
    **{_snake(key): read for key, read in _VALUES_BY_CAMEL_KEY.items()},
}
"""How each kind of AnyValue is read; lists and maps, which hold others, by their type."""


def _get(holder: Mapping[str, Any], key: str) -> Any:
    """The value of a camelCase key, or of its snake_case spelling."""
    try:
        found = holder.get(key)
    except AttributeError:
        raise OtlpJsonError(f"{_type_name(holder)} in place of an object with {key}") from None
    return holder.get(_snake(key)) if found is None else found


def _list(holder: Mapping[str, Any], key: str) -> list[Any]:
    """A repeated field; left out or null is empty."""
    found = _get(holder, key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise OtlpJsonError(f"{key} is {_type_name(found)}, not a list")
    return found


def _text(holder: Mapping[str, Any], key: str) -> str:
    found = _get(holder, key)
    return "" if found is None else _string_value(found)


def _id(holder: Mapping[str, Any], key: str, length: int, required: bool = True) -> bytes:
    """An id from hex, or from the base64 that protobuf's own JSON printer writes."""
    text = _text(holder, key)
    found = _id_bytes(text, length)
    if len(found) == length and any(found):
        return found
    if required or (text and len(found) != length):
        raise OtlpJsonError(f"{key} {text[:80]!r} is not {2 * length} hex digits")
    return b""


def _id_bytes(text: str, length: int) -> bytes:
    """The bytes of an id; some tools leave out leading zeros of the hex digits."""
    digits = text.removeprefix("0x")
    readings: tuple[Callable[[], bytes], ...] = (
        lambda: bytes.fromhex(digits) if len(digits) == 2 * length else b"",
        lambda: _bytes_value(text),
        lambda: bytes.fromhex(digits.zfill(2 * length)) if digits else b"",
    )
    for read in readings:
        try:
            found = read()
        except ValueError:
            continue
        if len(found) == length:
            return found
    return b""


def _integer(holder: Mapping[str, Any], key: str, bits: int) -> int:
    """A number that is not negative and fits into so many bits."""
    value = _get(holder, key)
    try:
        number = _whole_number(value or 0)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number < 2**bits:
        raise OtlpJsonError(f"{key} {str(value)[:80]!r} is not an integer of {bits} bits")
    return number


def _enum(value: object, numbers: Mapping[str, int], prefix: str, *, default: int) -> int:
    """The number of an enum's value, from the number or the name; unknown ones are the default."""
    text = str(value).upper().removeprefix(prefix)
    number = int(text) if text.isdecimal() and len(text) < 4 else numbers.get(text, default)
    return number if number in numbers.values() else default


def _type_name(data: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        type(None): "null",
        bool: "a boolean",
    }
    return names.get(type(data), "a number")
