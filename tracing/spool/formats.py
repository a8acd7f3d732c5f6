"""The formats of segments: how each version frames its records, and which one a file has.

A frame is a 4-byte mark, the payload's length (32 bits) and its checksum, little endian, and the
payload. From version 2 on the frame of a segment's header stays as it is, whatever follows it in
later versions: so a reader can always tell what it cannot read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from xxhash import xxh3_64_intdigest

HEADER = 0
"""The kind of the record that a segment begins with."""

MARK = b"\xf4SPN"
_MAX_PAYLOAD_BYTES = 64 * 1024 * 1024
_LONGEST_HEAD_BYTES = 16


@dataclass(frozen=True)
class Format:
    """One version: the head of its frames, and what checks their payloads."""

    version: int
    head: struct.Struct
    """Mark, length, checksum."""
    checksum: Callable[[bytes], int]

    def payload_at(self, data: bytes, offset: int) -> bytes | None:
        """The payload of the whole, undamaged frame that begins there; None where none does."""
        if len(data) - offset < self.head.size:
            return None
        mark, length, checksum = self.head.unpack_from(data, offset)
        if mark != MARK or length > _MAX_PAYLOAD_BYTES:
            return None
        begin = offset + self.head.size
        payload = data[begin : begin + length]
        return payload if len(payload) == length and self.checksum(payload) == checksum else None

    def next_payload(self, data: bytes, offset: int, is_whole: bool) -> tuple[bytes, int] | None:
        """The first whole, undamaged payload at or behind `offset`, and where it ends.

        Unless the data `is_whole`, the rest of a frame may be still to come.
        """
        while len(data) - offset >= self.head.size:
            payload = self.payload_at(data, offset)
            if payload is not None:
                return payload, offset + self.head.size + len(payload)
            if not is_whole and self._goes_on(data, offset):
                return None
            offset = data.find(MARK, offset + 1)
            if offset == -1:
                return None
        return None

    def holds_whole_frame(self, data: bytes, offset: int) -> bool:
        """Whether what lies there is no torn tail but a frame, written whole and damaged since."""
        if len(data) - offset < self.head.size:
            return False
        mark, length, _ = self.head.unpack_from(data, offset)
        return bool(mark != MARK or length <= len(data) - offset - self.head.size)

    def _goes_on(self, data: bytes, offset: int) -> bool:
        """Whether a frame begins there whose end lies behind the data."""
        mark, length, _ = self.head.unpack_from(data, offset)
        is_head = mark == MARK and length <= _MAX_PAYLOAD_BYTES
        return bool(is_head and offset + self.head.size + length > len(data))


_HEAD = struct.Struct("<4sIQ")
CURRENT = Format(3, _HEAD, xxh3_64_intdigest)
FORMATS = {format.version: format for format in (CURRENT, Format(2, _HEAD, xxh3_64_intdigest))}
"""What can be read, by version, the newest first. Version 3 has log lines among its records: a
reader of version 2 would take each for a damaged span."""


class _Header(msgspec.Struct, array_like=True):
    kind: int
    values: dict[str, object]


_decode_header = msgspec.msgpack.Decoder(_Header).decode


def segment_version(path: Path) -> int:
    """The version that a segment's header names; it may be one that FORMATS does not have.

    Where the header is damaged, the version in whose frames something can be read, else ours.
    Raises OSError where the file cannot be read: then nothing is known of it.
    """
    with path.open("rb") as file:
        first = file.read(_LONGEST_HEAD_BYTES)
        length = int.from_bytes(first[len(MARK) : len(MARK) + 4], "little")
        first += file.read(min(length, _MAX_PAYLOAD_BYTES))
        named = _named_version(first)
        if named is not None:
            return named
        data = first + file.read()
    readable = (v for v, format in FORMATS.items() if format.next_payload(data, 0, True))
    return next(readable, CURRENT.version)


def is_foreign(path: Path) -> bool:
    """Whether a segment is known to be in a format that FORMATS does not have."""
    try:
        return segment_version(path) not in FORMATS
    except OSError:
        return False


def _named_version(data: bytes) -> int | None:
    """The version in the header that the data begins with; None where none can be read."""
    for format in FORMATS.values():
        payload = format.payload_at(data, 0)
        if payload is None:
            continue
        try:
            header = _decode_header(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        version = header.values.get("version")
        if header.kind == HEADER and isinstance(version, int):
            return version
    return None
