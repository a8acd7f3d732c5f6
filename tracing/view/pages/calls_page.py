"""The list of calls: filters from the address, sums of what is shown, a row for each call."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from tracing.account.summary import percentile
from tracing.calls.application import as_text
from tracing.calls.parts import ordered_groups
from tracing.calls.rows import FLAGS, chosen_options
from tracing.calls.why import differences
from tracing.read.selection import ChoiceError, parse_time
from tracing.view.charts import columns, histogram, percent, segments, ticks

PAGE = 100
"""Rows of one page."""

_MOST_SAID = 50
_SPANS = {"1h": "last hour", "24h": "last 24 h", "7d": "last 7 days", "30d": "last 30 days"}

Row = Mapping[str, Any]


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
        return (
            (but == "since" or not self.since or _started(row) >= parse_time(self.since))
            and (but == "agent" or not self.agent or fnmatchcase(row.get("agent", ""), self.agent))
            and (but == "model" or not self.model or _has_model(row, self.model))
            and (but == "option" or not self.option or _has_option(row, self.option))
            and (but == "where" or not self.said or self.said in _said_of(row))
            and all(flag in row["flags"] for flag in self.flags if but != flag)
            and (but == "latency" or self.latency is None or _has_latency(row, *self.latency))
        )


def _has_model(row: Row, wanted: str) -> bool:
    """Whether a model fits, named with or without its maker."""
    models = row.get("models") or ()
    return any(fnmatchcase(m, wanted) or fnmatchcase(m.rpartition("/")[2], wanted) for m in models)


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


def calls_page(
    rows: Sequence[Row], filters: Filters, found: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """The context of the page's template.

    `rows` are all calls, newest first; `found`: by trace id the lines in which the words that are
    searched for were said.
    """
    searched = [row for row in rows if not filters.query or row["trace_id"] in found]
    shown = _sorted([row for row in searched if filters.fits(row)], filters.sort)
    start = next((n for n, row in enumerate(shown, 1) if row["trace_id"] == filters.before), 0)
    page = shown[start : start + PAGE]
    budget = shown[0]["budget_seconds"] if shown else 1.0
    latencies = sorted(
        turn["latency"] for row in shown for turn in row["strip"] if "latency" in turn
    )
    return {
        "filters": filters,
        "total": len(rows),
        "shown": len(shown),
        "facets": _facets(searched, filters),
        "spans": _SPANS,
        "agents": sorted({row["agent"] for row in rows if row.get("agent")}),
        "models": sorted({model for row in rows for model in row.get("models") or ()}),
        "options": _options(rows),
        "said": _said_by_most(rows),
        "sums": _sums(shown, latencies, budget),
        "histogram": _histogram(latencies, budget),
        "where": _where(shown, budget),
        "days": [
            {"day": day, "rows": [_row(row, found) for row in of_day]}
            for day, of_day in groupby(page, _day(filters.sort))
        ],
        "next": page[-1]["trace_id"] if start + PAGE < len(shown) else "",
        "budget": budget,
        "chosen": [way for way in _chosen(filters) if way["name"] in ("query", "latency")],
        "in_the_way": _in_the_way(rows, filters, found) if not shown else [],
        "live": sum("open" in row["flags"] for row in rows),
    }


def _day(sort: str) -> Callable[[Row], str]:
    if sort:
        return lambda row: ""
    return lambda row: row["started_at"][:10] if "T" in row["started_at"] else ""


_SORTS: dict[str, Callable[[Row], float]] = {
    "p95": lambda row: (row.get("latency") or {}).get("p95_seconds", -1.0),
    "p50": lambda row: (row.get("latency") or {}).get("p50_seconds", -1.0),
    "turns": lambda row: row["turns"],
    "lasted": lambda row: row.get("duration_seconds", 0.0),
}


def _sorted(rows: list[Row], sort: str) -> list[Row]:
    key = _SORTS.get(sort.removeprefix("-"))
    return sorted(rows, key=key, reverse=sort.startswith("-")) if key else rows


def _facets(rows: Sequence[Row], filters: Filters) -> list[dict[str, Any]]:
    """The flags that would leave something, each with how many calls."""
    counts = Counter(flag for row in rows for flag in row["flags"] if filters.fits(row, but=flag))
    found = []
    for flag, label in FLAGS.items():
        if count := counts[flag]:
            on = flag in filters.flags
            flags = [f for f in filters.flags if f != flag] + ([] if on else [flag])
            address = filters.address(**{"is": flags})
            found.append({"label": label, "count": count, "on": on, "address": address})
    return found


def _options(rows: Sequence[Row]) -> list[str]:
    return [f"{name}:{value}" for name, value in differing_options(rows)]


def _said_by_most(rows: Sequence[Row]) -> list[str]:
    """What applications said of several calls, the most frequent, in alphabetical order."""
    counts = Counter(one for row in rows for one in row.get("said", ()))
    often = [one for one, count in counts.most_common(_MOST_SAID) if count > 1]
    return sorted(often)


def differing_options(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The options in which calls differ, each with every value that it has."""
    values: dict[str, set[str]] = {}
    for row in rows:
        for key, value in chosen_options(row.get("options")).items():
            values.setdefault(key, set()).add(as_text(value))
    return [
        (key, value)
        for key, found in sorted(values.items())
        if len(found) > 1
        for value in sorted(found)
    ]


def _sums(rows: Sequence[Row], latencies: Sequence[float], budget: float) -> list[dict[str, str]]:
    tools = sum(row.get("tool_calls", 0) for row in rows)
    failed = sum(row.get("tool_failures", 0) for row in rows)
    heard = sum(row.get("heard_turns", 0) for row in rows)
    barged = sum(row.get("barge_ins", 0) for row in rows)
    found = [_sum(f"{len(rows):,}", "call" if len(rows) == 1 else "calls")]
    found.append(_sum(f"{sum(row['turns'] for row in rows):,}", "turns"))
    if latencies:
        p95 = percentile(latencies, 0.95)
        over = p95 > budget
        found.append(_sum(f"{percentile(latencies, 0.5):.2f} s", "p50"))
        found.append(_sum(f"{'! ' if over else ''}{p95:.2f} s", "p95", "bad" if over else ""))
        within = bisect_right(latencies, budget) / len(latencies)
        found.append(_sum(f"{within:.0%}", f"within {budget:g} s"))
    if heard:
        found.append(_sum(f"{barged / heard:.0%}", "barge-in rate"))
    if tools:
        found.append(_sum(f"{failed} of {tools}", "tools failed"))
    return found


def _sum(value: str, term: str, tone: str = "") -> dict[str, str]:
    return {"value": value, "term": term, "tone": tone}


def _histogram(latencies: Sequence[float], budget: float) -> dict[str, Any] | None:
    if not latencies:
        return None
    found = histogram(latencies, budget)
    end = found["end"]
    marks = [("p50", percentile(latencies, 0.5)), ("p95", percentile(latencies, 0.95))]
    return {
        **found,
        "replies": len(latencies),
        "ticks": [{"x": percent(at, end), "text": f"{at:g}"} for at in ticks(end)],
        "budget_x": percent(budget, end),
        "marks": [
            {"x": percent(min(at, end), end), "text": f"{name} {at:.2f}"} for name, at in marks
        ],
    }


def _where(rows: Sequence[Row], budget: float) -> dict[str, Any] | None:
    """The mean parts of the replies within and over their budget, and what the latter add."""
    sides = {name: _added(rows, name) for name in ("within", "over")}
    mean = {
        name: _in_order({part: value / replies for part, value in sums.items()})
        for name, (replies, sums) in sides.items()
        if replies
    }
    if not mean:
        return None
    scale = max(max(sum(parts.values()) for parts in mean.values()), budget) * 1.05
    return {
        "bars": [
            {
                "name": name,
                "count": sides[name][0],
                "segments": segments(parts, scale),
                "mean": sum(parts.values()),
            }
            for name, parts in mean.items()
        ],
        "budget_x": percent(budget, scale),
        "more": differences(mean["within"], mean["over"]) if len(mean) == 2 else {},
    }


def _added(rows: Iterable[Row], side: str) -> tuple[int, dict[str, float]]:
    """How many replies all rows have on a side of the budget, and the sums of their parts."""
    replies, found = 0, dict[str, float]()
    for row in rows:
        if of_row := row["waits"].get(side):
            replies += of_row["replies"]
            for part, value in of_row["parts"].items():
                found[part] = found.get(part, 0.0) + value
    return replies, found


def _in_order(parts: Mapping[str, float]) -> dict[str, float]:
    order = {name: place for place, name in enumerate(ordered_groups())}
    return dict(sorted(parts.items(), key=lambda pair: order.get(pair[0], len(order))))


def _row(row: Row, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    latency = row.get("latency") or {}
    budget = row["budget_seconds"]
    p95 = latency.get("p95_seconds")
    return {
        **row,
        "p50": latency.get("p50_seconds"),
        "p95": p95,
        "within": latency.get("within_budget_share"),
        "over": p95 is not None and p95 > budget,
        "strip_chart": columns(row["strip"], 2 * budget),
        "bullet": None if p95 is None else _bullet(p95, budget),
        "hits": found.get(row["trace_id"], ()),
    }


def _bullet(p95: float, budget: float) -> dict[str, str]:
    scale = 2.5 * budget
    return {
        "within": percent(min(p95, budget), scale),
        "budget": percent(budget, scale),
        "over": percent(max(0.0, min(p95, scale) - budget), scale),
    }


def _chosen(filters: Filters) -> list[dict[str, str]]:
    """The filters that are set, each with the `address` without it."""
    ways: list[tuple[str, str, dict[str, Any]]] = []
    if filters.query:
        ways.append(("query", f"said “{filters.query}”", {"q": ""}))
    if filters.since:
        ways.append(("since", _SPANS.get(filters.since, f"since {filters.since}"), {"since": ""}))
    named = {
        "agent": filters.agent,
        "model": filters.model,
        "option": filters.option,
        "where": filters.said,
    }
    for name, value in named.items():
        if value:
            ways.append((name, f"{name} {value}", {name: ""}))
    if filters.latency:
        low, high = filters.latency
        ways.append(("latency", f"latency {low:g} to {high:g} s", {"latency": ""}))
    for flag in filters.flags:
        rest = [other for other in filters.flags if other != flag]
        ways.append((flag, FLAGS[flag], {"is": rest}))
    return [
        {"name": name, "label": label, "address": filters.address(**changed)}
        for name, label, changed in ways
    ]


def _in_the_way(
    rows: Sequence[Row], filters: Filters, found: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Which filters stand in the way, and how many calls each one's absence would give."""
    return [
        {
            **way,
            "count": sum(
                filters.fits(row, but=way["name"])
                for row in rows
                if way["name"] == "query" or not filters.query or row["trace_id"] in found
            ),
        }
        for way in _chosen(filters)
    ]
