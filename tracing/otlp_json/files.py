"""The spans of OTLP JSON files: a value per line or over many lines, and what is cut in them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tracing.otlp_json.decoding import OtlpJsonError, decode
from tracing.otlp_json.packed import MAX_LINE_CHARS, CutOff, MissingLibrary, read_lines
from tracing.span import Span

_MOST_CUTS = 100
"""How many pieces that are no JSON are passed over in values that stand over many lines."""
_TOO_LONG = (
    f"more than {MAX_LINE_CHARS >> 20} MiB in one object; this and what follows is not read:"
    " write an object per line, as with jq -c '.resourceSpans[] | {resourceSpans: [.]}'"
)
_REST = "the rest of the file"
_BLANK = "\ufeff \t\r\n"
_NOT_BLANK = re.compile(f"[^{_BLANK}]")
_DECODER = json.JSONDecoder()


class LeftOut:
    """What could not be read of one file: counted by its noun, the first in words."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first = ""

    def add(self, noun: str, words: str) -> None:
        """Count one more."""
        self.counts[noun] += 1
        self.first = self.first or words

    def __str__(self) -> str:
        """As in "2 lines, 1 span; the first: line 3: not JSON: ..."."""
        counted = (_counted(noun, n) for noun, n in self.counts.items())
        return f"{', '.join(counted)}; the first: {self.first}"


def read_spans(path: Path, left_out: LeftOut | None = None) -> Iterator[Span]:
    """The spans of a file that holds OTLP JSON, one value per line or over many; `-` is stdin.

    What cannot be read is added to `left_out` and costs no more than itself. Without it, and
    where nothing of a file can be read, an OtlpJsonError names file, line and what is wrong.
    """
    return _File(path, left_out).spans()


class _File:
    """One file as it is read; the first thing amiss ends it where nothing may be left out."""

    def __init__(self, path: Path, left_out: LeftOut | None) -> None:
        self._path = path
        self._is_strict = left_out is None
        self._left_out = LeftOut() if left_out is None else left_out

    def spans(self) -> Iterator[Span]:
        """All spans that can be read."""
        found = 0
        try:
            for line, value in self._values():
                spans = decode(value, partial(self._refuse, line))
                found += len(spans)
                yield from spans
        except OSError as error:
            raise OtlpJsonError(f"{self._path}: {error.strerror or error}") from error
        if self._left_out.counts and not found:
            raise OtlpJsonError(f"{self._path}, {self._left_out.first}")

    def _refuse(self, line: int, noun: str, why: str) -> None:
        words = f"line {line}: {why}"
        if self._is_strict:
            raise OtlpJsonError(f"{self._path}, {words}")
        self._left_out.add(noun, words)

    def _values(self) -> Iterator[tuple[int, object]]:
        """The JSON values with the line each begins in."""
        lines, is_first = self._lines(), True
        for number, line in lines:
            text = line.strip(_BLANK)
            if not text:
                continue
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                if _holds_more(error, text):
                    yield from self._document(number, text, iter(()))
                    continue
                if is_first and _goes_on(error, text):
                    yield from self._document(number, line, lines)
                    return
                self._refuse(number, "line", _words(error, text))
            else:
                is_first = False
                yield number, value

    def _lines(self) -> Iterator[tuple[int, str]]:
        """The lines with their numbers, as far as they can be unpacked and are bounded."""
        number = 0
        try:
            for number, line in enumerate(read_lines(self._path), 1):
                if len(line) > MAX_LINE_CHARS:
                    self._refuse(number, _REST, _TOO_LONG)
                    return
                yield number, line
        except CutOff as error:
            self._refuse(number + 1, _REST, f"damaged or cut off: {error}")
        except MissingLibrary as error:
            raise OtlpJsonError(f"{self._path}: {error}") from None

    def _document(
        self, first: int, line: str, more: Iterator[tuple[int, str]]
    ) -> Iterator[tuple[int, object]]:
        """The values behind each other in a text; behind one that is cut the next is looked for."""
        text = self._joined(line, more)
        at = known = 0
        number, cuts = first, 0
        while (begin := _NOT_BLANK.search(text, at)) and cuts < _MOST_CUTS:
            number += text.count("\n", known, begin.start())
            known = begin.start()
            try:
                value, at = _DECODER.raw_decode(text, known)
            except (ValueError, RecursionError) as error:
                self._refuse(_line_of(error, first, number), "piece", _words(error, text))
                resumes = text.find("\n{", known)
                at = len(text) if resumes == -1 else resumes
                cuts += 1
            else:
                yield number, value

    def _joined(self, line: str, more: Iterator[tuple[int, str]]) -> str:
        """A document as one text, within bounds."""
        lines, size = [line], len(line)
        for number, line in more:
            size += len(line)
            if size > MAX_LINE_CHARS:
                self._refuse(number, _REST, _TOO_LONG)
                break
            lines.append(line)
        return "".join(lines)


def _holds_more(error: Exception, text: str) -> bool:
    """Whether a line begins with a whole object or list, and something is behind it."""
    is_extra = isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"
    return is_extra and text.startswith(("{", "["))


def _goes_on(error: Exception, text: str) -> bool:
    """Whether a line is the beginning of a value over many lines."""
    return isinstance(error, json.JSONDecodeError) and error.pos >= len(text)


def _line_of(error: Exception, first: int, number: int) -> int:
    """Where an error lies in a text that begins in line `first`, its value in line `number`."""
    return first + error.lineno - 1 if isinstance(error, json.JSONDecodeError) else number


def _words(error: Exception, text: str) -> str:
    if not text[:1].isprintable() or "\ufffd" in text[:4]:
        return "not JSON: not text"
    if isinstance(error, RecursionError):
        return "not JSON: nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at column {error.colno}"
    return f"not JSON: {error}"


def _counted(noun: str, count: int) -> str:
    if noun == _REST:
        return noun
    first, _, rest = noun.partition(" ")
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {first}s {rest}".rstrip()
