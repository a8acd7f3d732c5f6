"""A line in which words were found, as it stands below its call in the list."""

from __future__ import annotations

from typing import Any

from tracing.calls.transcribe import Line

_CHARACTERS = 60
"""So much of the line is shown before and after what was found."""


def hit(line: Line, query: str) -> dict[str, Any]:
    """`number`, `at`, and the text as `before`, `match` and `after`: the whole phrase, where the
    line has it, else its first word."""
    words, folded = query.casefold().split(), line.text.casefold()
    phrase = " ".join(words)
    match = phrase if phrase in folded else words[0]
    at = folded.find(match)
    end = at + len(match)
    return {
        "number": line.number,
        "at": line.at_seconds,
        "before": line.text[:at][-_CHARACTERS:],
        "match": line.text[at:end],
        "after": line.text[end:][:_CHARACTERS],
    }
