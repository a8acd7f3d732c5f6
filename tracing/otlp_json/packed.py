"""The text lines of a file as people have it: plain, gzip, zstd, or standard input (`-`)."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MAX_LINE_CHARS = 128 * 2**20
"""What one line may hold; a JSON object takes several times its length in memory."""

STANDARD_INPUT = Path("-")

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_LENGTH_BYTES = 4


class CutOff(Exception):
    """The file ends, or is damaged, in the midst of what was packed."""


class MissingLibrary(Exception):
    """A file is packed in a way that needs a package which is not installed."""


def read_lines(path: Path, max_chars: int = MAX_LINE_CHARS) -> Iterator[str]:
    """The lines of a file, one at a time; a line of more than `max_chars` comes cut.

    Raises OSError where it cannot be opened or read, CutOff behind the last whole piece of a
    packed file, MissingLibrary where none unpacks it.
    """
    with _open(path) as file:
        begin = file.peek(16)[:16]
        try:
            if begin.startswith(_GZIP):
                yield from _text_lines(gzip.GzipFile(fileobj=file), max_chars)
            elif begin.startswith(_ZSTD):
                yield from _stream(file, max_chars)
            elif begin[_LENGTH_BYTES:].startswith(_ZSTD):
                yield from _messages(file, max_chars)
            else:
                yield from _text_lines(file, max_chars)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise CutOff(str(error)) from error


@contextmanager
def _open(path: Path) -> Iterator[io.BufferedReader]:
    if path != STANDARD_INPUT:
        with path.open("rb") as file:
            yield file
    else:
        standard_input = sys.stdin.buffer
        assert isinstance(standard_input, io.BufferedReader)
        yield standard_input


def _text_lines(file: Any, max_chars: int) -> Iterator[str]:
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)
    encoding = "utf-16" if buffered.peek(2)[:2] in _UTF_16 else "utf-8"
    text = io.TextIOWrapper(buffered, encoding, errors="replace", newline="\n")
    try:
        while line := text.readline(max_chars + 1):
            yield line
    finally:
        text.detach()  # whoever opened the file closes it


def _stream(file: io.BufferedReader, max_chars: int) -> Iterator[str]:
    zstd = _zstd()
    try:
        yield from _text_lines(zstd.ZstdFile(file), max_chars)
    except zstd.ZstdError as error:
        raise CutOff(str(error)) from error


def _messages(file: io.BufferedReader, max_chars: int) -> Iterator[str]:
    """What the collector's file exporter compresses one by one, each behind its length."""
    while head := file.read(_LENGTH_BYTES):
        length = int.from_bytes(head, "big")
        packed = file.read(min(length, max_chars))
        if len(packed) < length:
            raise CutOff("the last message is not all there")
        yield _unpack(packed, max_chars + 1).decode("utf-8", "replace")


def _unpack(packed: bytes, max_bytes: int) -> bytes:
    zstd = _zstd()
    try:
        return bytes(zstd.ZstdDecompressor().decompress(packed, max_length=max_bytes))
    except zstd.ZstdError as error:
        raise CutOff(str(error)) from error


def _zstd() -> Any:
    """The standard library's zstd, or its copy for Pythons that do not have it yet."""
    for name in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise MissingLibrary(
        "compressed by zstd, which needs a package that is not installed: pip install"
        " backports.zstd, or unpack it first with `zstd -d`"
    )
