"""What the address of the list asks for, and which calls fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property, partial
from typing import Any
from urllib.parse import urlencode

from tracing.calls.application import as_text
from tracing.calls.rows import FLAGS
from tracing.read.selection import ChoiceError, parse_time

Row = Mapping[str, Any]
"""A call as `call_row` has it."""


@dataclass(frozen=True)
class Filters:
    """What the address asks for."""

    query: str = ""
    since: str = ""
    agent: str = ""
    model: str = ""
    option: str = ""
    said: str = ""
    """What the application said, as `NAME=VALUE`; or `user=`, who called."""
    flags: tuple[str, ...] = ()
    latency: tuple[float, float] | None = None
    sort: str = ""
    before: str = ""
    problems: tuple[str, ...] = field(default=())

    @classmethod
    def read(cls, address: Mapping[str, str], flags: Sequence[str]) -> Filters:
        """From the parts of an address; what cannot be understood is a problem, not an error."""
        problems = []
        since = address.get("since", "")
        try:
            parse_time(since) if since else None
        except ChoiceError as error:
            problems.append(str(error))
            since = ""
        return cls(
            query=address.get("q", "").strip(),
            since=since,
            agent=address.get("agent", ""),
            model=address.get("model", ""),
            option=address.get("option", ""),
            said=address.get("where", ""),
            flags=tuple(flag for flag in flags if flag in FLAGS),
            latency=_interval(address.get("latency", "")),
            sort=address.get("sort", ""),
            before=address.get("before", ""),
            problems=tuple(problems),
        )

    def address(self, **changed: Any) -> str:
        """The same filters as an address, with some changed; empty ones are left out."""
        found = {
            "q": self.query,
            "since": self.since,
            "agent": self.agent,
            "model": self.model,
            "option": self.option,
            "where": self.said,
            "is": self.flags,
            "latency": "..".join(f"{end:g}" for end in self.latency) if self.latency else "",
            "sort": self.sort,
            **changed,
        }
        return urlencode({key: value for key, value in found.items() if value}, doseq=True)

    def fits(self, row: Row, *, but: str = "") -> bool:
        """Whether a row is wanted; `but` names a filter that is left out."""
        return all(check(row) for name, check in self._checks if name != but)

    @cached_property
    def _checks(self) -> list[tuple[str, Callable[[Row], bool]]]:
        """What is asked of a row, by the filters that are set: a list has many rows."""
        since = parse_time(self.since) if self.since else None
        found: list[tuple[str, object, Callable[[Row], bool]]] = [
            ("since", since, lambda row: since is None or _started(row) >= since),
            ("agent", self.agent, lambda row: fnmatchcase(row.get("agent", ""), self.agent)),
            ("model", self.model, lambda row: _has_model(row, self.model)),
            ("option", self.option, lambda row: _has_option(row, self.option)),
            ("where", self.said, lambda row: self.said in _said_of(row)),
            ("latency", self.latency, lambda row: _has_latency(row, *self.latency or (0.0, 0.0))),
        ]
        flags = [(flag, partial(_has_flag, flag)) for flag in self.flags]
        return [*((name, check) for name, asked, check in found if asked), *flags]


def _has_model(row: Row, wanted: str) -> bool:
    """Whether a model fits, named with or without its maker."""
    models = row.get("models") or ()
    return any(fnmatchcase(m, wanted) or fnmatchcase(m.rpartition("/")[2], wanted) for m in models)


def _has_flag(flag: str, row: Row) -> bool:
    return flag in row["flags"]


def _interval(text: str) -> tuple[float, float] | None:
    low, dots, high = text.partition("..")
    try:
        return (float(low or 0), float(high or "inf")) if dots else None
    except ValueError:
        return None


def _started(row: Row) -> datetime:
    return datetime.fromisoformat(row["started_at"])


def _has_option(row: Row, wanted: str) -> bool:
    name, _, value = wanted.partition(":")
    return any(
        f".{key}".endswith((f".{name}", f".{name}.enabled")) and as_text(found) == value
        for key, found in (row.get("options") or {}).items()
    )


def _said_of(row: Row) -> list[str]:
    return [*row.get("said", ()), f"user={row.get('user_id', '')}"]


def _has_latency(row: Row, low: float, high: float) -> bool:
    return any(low <= turn.get("latency", -1) < high for turn in row["strip"])
