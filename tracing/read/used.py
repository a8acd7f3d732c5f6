"""What a model used, in words: the same in the report, the live table and the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracing.account.measured import json_list

_COUNTED = (
    ("input_tokens", "in"),
    ("input_cached_tokens", "cached"),
    ("output_tokens", "out"),
    ("characters_count", "characters"),
)


def used_as(used: Mapping[str, Any]) -> str:
    """The stage that a model served, and what for where it was asked beside the turns."""
    stage = str(used.get("type", "")).removesuffix("_usage").upper()
    purpose = str(used.get("purpose", "")).replace("_", " ")
    return f"{stage} ({purpose})" if purpose else stage


def amounts(used: Mapping[str, Any]) -> str:
    """What was used of a model, such as `1,200 in, 40 cached, 80 out`."""
    return ", ".join(_amounts(used))


def in_words(recorded: object) -> Iterator[tuple[str, str]]:
    """Of each model in a summary's usage, which is JSON: what it was, and what was used."""
    for used in json_list(recorded):
        if isinstance(used, dict):
            yield f"{used_as(used)} {used.get('model') or ''}".rstrip(), amounts(used)


def _amounts(used: Mapping[str, Any]) -> Iterator[str]:
    for key, word in _COUNTED:
        if (count := used.get(key)) and isinstance(count, (int, float)):
            yield f"{count:,} {word}"
    seconds = used.get("audio_duration")
    if seconds and isinstance(seconds, (int, float)):
        yield f"{seconds:,.1f} s"
