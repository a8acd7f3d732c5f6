"""What a backend says to spans with a 2xx: all taken, taken in part, or that it speaks no OTLP.

OTLP's answer is an `ExportTraceServiceResponse` in protobuf, or the one for log lines, which looks
the same; it is empty where all was taken. Some servers send it as JSON, and Langfuse sends JSON of
its own. A page of a proxy, of a sign-in or of a wrong address is neither, whatever its status.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tracing.deliver.senders.http import Answer

_PROTOBUF = frozenset(
    {"application/x-protobuf", "application/protobuf", "application/octet-stream", ""}
)

_REJECTED = ("rejectedSpans", "rejected_spans", "rejectedLogRecords", "rejected_log_records")


class PartialSuccess(NamedTuple):
    """What a backend says that it did not take of a request; a message alone is a warning."""

    rejected: int
    message: str


class NotOtlp(ValueError):
    """The answer is not one that a server which takes spans gives."""


def read_answer(answer: Answer) -> PartialSuccess | None:
    """What was not taken; None where all was. Raises NotOtlp for what is no such answer."""
    body, kind = answer.body, answer.content_type
    if not body.strip():
        return None
    try:
        if kind.endswith(("/json", "+json")) or body.lstrip().startswith(b"{"):
            found = _of_json(json.loads(body))
        elif kind in _PROTOBUF:
            found = _of_protobuf(body)
        else:
            raise NotOtlp
    except (ValueError, IndexError, RecursionError) as error:
        raise NotOtlp(f"no OTLP answer but {kind or 'what has no content type'}") from error
    return found if found.rejected or found.message else None


def _of_json(response: object) -> PartialSuccess:
    """The partial success of a response as JSON, in camelCase or as protobuf names it."""
    partial = _member(response, "partialSuccess", "partial_success")
    rejected = _member(partial, *_REJECTED)
    words = _member(partial, "errorMessage", "error_message")
    return PartialSuccess(int(rejected or 0), str(words or ""))


def _member(holder: object, *spellings: str) -> Any:
    if not isinstance(holder, Mapping):
        return None
    return next((holder[key] for key in spellings if key in holder), None)


def _of_protobuf(body: bytes) -> PartialSuccess:
    """The partial success of an `ExportTraceServiceResponse`."""
    fields = dict(_fields(body))
    partial = fields.get(1, b"")
    if set(fields) != {1} or not isinstance(partial, bytes):
        raise ValueError("not the fields of a response")
    told = dict(_fields(partial))
    rejected, words = told.get(1, 0), told.get(2, b"")
    if not isinstance(rejected, int) or not isinstance(words, bytes):
        raise ValueError("not the fields of a partial success")
    rejected -= 2**64 if rejected >= 2**63 else 0
    return PartialSuccess(rejected, words.decode("utf-8", "replace"))


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: number and value, whatever they mean."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        if wire_type == 2:
            length, at = _read_varint(data, at)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"unknown wire type {wire_type}")
        if at + length > len(data):
            raise ValueError("the message is cut off")
        yield number, data[at : at + length]
        at += length


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint is too long")
