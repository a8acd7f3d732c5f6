"""Segments as version 2 of the format had them; tests/spool/formats/2.seg is one that it wrote."""

from __future__ import annotations

import os
import struct
import time
from typing import Any

import msgspec
from xxhash import xxh3_64_intdigest

_TRACE_ID = b"\x01" * 16


def old_segment(spans: int) -> bytes:
    """A finished segment with so many ended spans, each with an id of its own."""
    resource = {"service.name": "the last version"}
    header = (0, {"version": 2, "pid": 1, "host": "", "resource": resource})
    return b"".join((_frame(header), *(_frame(_end()) for _ in range(spans)), _frame((3,))))


def _end() -> tuple[Any, ...]:
    """An ended span: identity and times, what is shared, then its own, as that version had it."""
    now = time.time_ns()
    identity = (2, _TRACE_ID, os.urandom(8), b"", "llm_request", now - 1_000_000, now)
    return (
        *identity,
        b"\x80",
        {"gen_ai.operation.name": "chat"},
        (),
        (),
        0,
        "",
        1,
        "",
        0,
        0,
        0,
        "",
        "",
        {},
    )


def _frame(record: tuple[Any, ...]) -> bytes:
    payload = msgspec.msgpack.encode(record)
    return struct.pack("<4sIQ", b"\xf4SPN", len(payload), xxh3_64_intdigest(payload)) + payload
