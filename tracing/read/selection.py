"""One side of a comparison: a call, a time range, or the calls or turns with an attribute."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tracing.calls.application import as_text
from tracing.calls.totals import budget_of, counted_turns
from tracing.read.sources import Source, described
from tracing.store.call_rows import CallSummary

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SHORTEST_PREFIX = 4


class ChoiceError(ValueError):
    """A selector or a time that cannot be understood, or that nothing matches."""


class Side(NamedTuple):
    """The turns chosen by a selector, each with its call's latency budget."""

    selector: str
    calls: int
    turns: list[Mapping[str, Any]]
    budgets: list[float]
    by_call: list[list[Mapping[str, Any]]]
    """The same turns, call by call."""
    options: list[Mapping[str, Any]]
    """What each call's session ran with."""


def parse_time(text: str, now: datetime | None = None) -> datetime:
    """A moment: `2026-10-01`, `2026-10-01T12:30` (local unless it says), or `2h` for that ago."""
    ago = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    try:
        if ago:
            past = timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            return (now or datetime.now().astimezone()) - past
        # Python 3.10 does not know the Z.
        return datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text)).astimezone()
    except (ValueError, OverflowError):
        raise ChoiceError(
            f"{text!r} is no time: write 2026-10-01, 2026-10-01T12:30, or 30m, 2h, 7d for that ago"
        ) from None


def choose(selector: str, source: Source, calls: Sequence[CallSummary]) -> Side:
    """What a selector means among calls.

    A session id or the beginning of a trace id; `START..END`, either of which may be left out;
    or `NAME=VALUE`, which chooses turns where turns have such a key, else the calls of which any
    span, the resource or the described call has it. The beginning of a dotted name may be left
    out (`preemptive_generation=true`), as of metadata (`plan=gold`); `tag=vip` is a tag, and
    `user=ann` a user.
    """
    chosen = _by_id(selector, calls)
    if chosen:
        found = side_of(selector, list(described(source, chosen)))
    elif ".." in selector and "=" not in selector:
        since, until = (parse_time(end) if end else None for end in selector.split("..", 1))
        in_range = [call for call in calls if call.matches(since=since, until=until)]
        found = side_of(selector, list(described(source, in_range)))
    elif "=" in selector:
        found = side_of(selector, _chosen(selector, source, calls))
    else:
        found = side_of(selector, [])
    if not found.calls:
        raise ChoiceError(
            f"nothing matches {selector!r}: give a session id, the beginning of a trace id,"
            " START..END, or NAME=VALUE"
        )
    return found


def matching(
    selectors: Sequence[str], source: Source, calls: Sequence[CallSummary]
) -> list[CallSummary]:
    """The calls of which all the selectors, each `NAME=VALUE`, choose something."""
    for selector in selectors:
        if "=" not in selector:
            raise ChoiceError(f"{selector!r} is no NAME=VALUE, such as tag=vip or outcome=success")
        kept = {call["trace_id"] for call in _chosen(selector, source, calls)}
        calls = [call for call in calls if call.trace_id in kept]
    return list(calls)


def choose_call(selector: str | None, calls: Sequence[CallSummary]) -> CallSummary:
    """The call with this session id, or whose trace id begins so; without one the latest.

    `calls` are newest first.
    """
    found = list(calls[:1]) if selector is None else _by_id(selector, calls)
    if not found:
        what = "there is no call" if selector is None else f"no call is {selector!r}"
        raise ChoiceError(f"{what}: give a session id, or the beginning of a trace id")
    return found[0]


def _by_id(selector: str, calls: Sequence[CallSummary]) -> list[CallSummary]:
    of_session = [call for call in calls if call.session_id == selector]
    if of_session or len(selector) < _SHORTEST_PREFIX:
        return of_session
    of_trace = [call for call in calls if call.trace_id.startswith(selector.lower())]
    if len(of_trace) > 1:
        raise ChoiceError(f"{len(of_trace)} traces begin with {selector!r}: give more of the id")
    return of_trace


def _chosen(selector: str, source: Source, calls: Sequence[CallSummary]) -> list[Mapping[str, Any]]:
    """The described calls that `NAME=VALUE` chooses, with those of their turns that it does."""
    name, _, value = selector.partition("=")
    name, chosen = _SHORT.get(name, name), list[Mapping[str, Any]]()
    for call in described(source, calls):
        turns = counted_turns([call])
        if any(name in turn for turn in turns):
            fitting = [turn for turn in turns if _is(turn.get(name), value)]
            if fitting:
                chosen.append({**call, "turns": fitting})
        elif any(_is(found, value) for found in _values(name, source, call)):
            chosen.append(call)
    return chosen


def _values(name: str, source: Source, call: Mapping[str, Any]) -> Iterator[object]:
    """Every value under a name, in a call's spans, their resources and its description."""
    yield from (value for key, value in call.items() if _is_named(key, name))
    spans = source.spans(call["trace_id"])
    for attributes in (span.attributes for span in spans):
        yield from (value for key, value in attributes.items() if _is_named(key, name))
    for resource in {id(span.resource): span.resource for span in spans}.values():
        yield from (value for key, value in resource.items() if _is_named(key, name))


def _is_named(key: str, name: str) -> bool:
    """Whether a key is this name, or ends in it; an option's `.enabled` goes without saying."""
    return f".{key}".endswith((f".{name}", f".{name}.enabled"))


_SHORT = {"tag": "tags", "user": "user_id"}


def _is(found: object, value: str) -> bool:
    """Whether something found is a value, or a list with it."""
    is_in = isinstance(found, (list, tuple)) and any(as_text(one) == value for one in found)
    return is_in or as_text(found) == value


def side_of(selector: str, calls: Sequence[Mapping[str, Any]]) -> Side:
    """Described calls as a side, under the name of what chose them."""
    by_call = [counted_turns([call]) for call in calls]
    return Side(
        selector,
        len(calls),
        [turn for turns in by_call for turn in turns],
        [budget_of(call) for call, turns in zip(calls, by_call, strict=True) for _ in turns],
        by_call,
        [call.get("summary", {}).get("options", {}) for call in calls],
    )
