"""The list of calls: filters from the address, sums of what is shown, a row for each call."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from tracing.account.summary import percentile
from tracing.calls.application import as_text
from tracing.calls.parts import ordered_groups
from tracing.calls.rows import FLAGS, chosen_options
from tracing.calls.transcribe import Line
from tracing.calls.why import differences
from tracing.view.charts import columns, histogram, percent, segments, ticks
from tracing.view.pages.filters import Filters, Row
from tracing.view.pages.hits import hit

PAGE = 100
"""Rows of one page."""

_MOST_SAID = 50
_WORDS_SHARE = 0.18
"""Of the width of the histogram, of the words of a mark on a telephone."""
_SPANS = {"1h": "last hour", "24h": "last 24 h", "7d": "last 7 days", "30d": "last 30 days"}


def calls_page(
    rows: Sequence[Row], filters: Filters, found: Mapping[str, Sequence[Line]]
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
        "facets": _facets(searched, shown, filters),
        "spans": _SPANS,
        "agents": sorted({row["agent"] for row in rows if row.get("agent")}),
        "models": sorted({model for row in rows for model in row.get("models") or ()}),
        "options": _options(rows),
        "said": _said_by_most(rows),
        "sums": _sums(shown, latencies, budget),
        "histogram": _histogram(latencies, budget),
        "where": _where(shown, budget),
        "days": [
            {"day": day, "rows": [_row(row, found, filters.query) for row in of_day]}
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


def _facets(rows: Sequence[Row], shown: Sequence[Row], filters: Filters) -> list[dict[str, Any]]:
    """The flags that would leave something, each with how many calls."""
    flags_of = (
        ((f for f in row["flags"] if filters.fits(row, but=f)) for row in rows)
        if filters.flags
        else (row["flags"] for row in shown)
    )
    counts = Counter(flag for flags in flags_of for flag in flags)
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
    return {
        **found,
        "replies": len(latencies),
        "ticks": [{"x": percent(at, end), "text": f"{at:g}"} for at in ticks(end)],
        "budget_x": percent(budget, end),
        "marks": list(_marks(latencies, end)),
    }


def _marks(latencies: Sequence[float], end: float) -> Iterator[dict[str, str]]:
    """The lines of p50 and p95; the words of one before it, of the other after it."""
    median, late = (percentile(latencies, share) for share in (0.5, 0.95))
    at, late_at = min(median / end, 1.0), min(late / end, 1.0)
    is_before = at >= _WORDS_SHARE
    yield {
        "x": percent(at, 1),
        "words_x": percent(at, 1),
        "anchor": "end" if is_before else "start",
        "text": f"p50 {median:.2f}",
    }
    yield {
        "x": percent(late_at, 1),
        "words_x": percent(late_at if is_before else max(late_at, at + _WORDS_SHARE), 1),
        "anchor": "end" if late_at > 1 - _WORDS_SHARE else "start",
        "text": f"p95 {late:.2f}",
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
    replies, found = 0, defaultdict[str, float](float)
    for row in rows:
        if of_row := row["waits"].get(side):
            replies += of_row["replies"]
            for part, value in of_row["parts"].items():
                found[part] += value
    return replies, found


def _in_order(parts: Mapping[str, float]) -> dict[str, float]:
    order = {name: place for place, name in enumerate(ordered_groups())}
    return dict(sorted(parts.items(), key=lambda pair: order.get(pair[0], len(order))))


def _row(row: Row, found: Mapping[str, Sequence[Line]], query: str) -> dict[str, Any]:
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
        "hits": [hit(line, query) for line in found.get(row["trace_id"], ())],
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
