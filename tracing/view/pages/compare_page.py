"""Two calls or groups beside each other: did it get better, or is it noise?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracing.account.summary import percentile
from tracing.calls.parts import group_of, kind_of
from tracing.calls.totals import LATENCY, SHORTEST_PART_SECONDS
from tracing.read.compare import compare
from tracing.read.selection import Side
from tracing.view.charts import percent, scale_of, ticks
from tracing.view.pages.calls_page import differing_options
from tracing.view.render import ABSENT

_DOTS_A_SIDE = 60
"""Above this many replies a side its dots are in bins, and lower for it."""
_DOT_SECONDS = 0.03
_DOT_HEIGHT = 7

_OTHERS = (
    ("barge_in_rate", "barge-in rate", "{:.0%}"),
    ("mean_transcript_confidence", "transcript confidence", "{:.2f}"),
    ("transcript_corrections_per_turn", "corrected transcripts a turn", "{:.2f}"),
    ("false_interruptions_per_turn", "false interruptions a turn", "{:.2f}"),
    ("retries_per_turn", "retried requests a turn", "{:.2f}"),
    ("fallbacks_per_turn", "fallbacks a turn", "{:.2f}"),
    ("llm_input_tokens_per_turn", "input tokens a turn", "{:,.0f}"),
    ("llm_output_tokens_per_turn", "output tokens a turn", "{:,.0f}"),
)


def compare_page(a: Side, b: Side) -> dict[str, Any]:
    """The context of the page's template."""
    compared = compare(a, b)
    latencies = [[turn[LATENCY] for turn in side.turns if LATENCY in turn] for side in (a, b)]
    budget = (a.budgets or b.budgets or [1.0])[0]
    scale = scale_of([*latencies[0], *latencies[1]], budget)
    return {
        "a": _side("A", a, latencies[0], compared["a"]),
        "b": _side("B", b, latencies[1], compared["b"]),
        "headline": headline(compared),
        "explained": " ".join(_explained(compared)),
        "dots": _dots(latencies, scale, budget),
        "bridge": _bridge(compared["parts"]),
        "parts": _parts(compared["parts"]),
        "unshown": _unshown(a, b, compared["parts"]),
        "lines": _lines(compared["lines"], budget),
        "others": list(_other_measures(compared["a"], compared["b"])),
        "options": compared["options"],
        "budget": budget,
    }


def headline(compared: Mapping[str, Any]) -> str:
    """The answer in a sentence."""
    latency = next((row for row in compared["parts"] if row["name"] == "latency"), None)
    if latency is None:
        return "Nothing to compare: a side has no reply with a latency."
    apart, verdict = latency["difference"], latency["verdict"]
    if verdict == "alike":
        return "A and B are alike: their means differ by less than 10 ms."
    word = "slower" if apart > 0 else "faster"
    if verdict.endswith("more than noise") and "no more" not in verdict:
        return f"B is {abs(apart):.2f} s {word}, and that is more than noise."
    if verdict == "too few":
        return (
            f"B is {abs(apart):.2f} s {word}, but these are too few replies to tell it from noise."
        )
    return f"B is {abs(apart):.2f} s {word}, which noise alone may bring."


def _explained(compared: Mapping[str, Any]) -> Iterable[str]:
    test, lines = compared["test"], compared["lines"]
    p = _p(test.get("p"))
    if test.get("is_paired"):
        slower = sum(min(line["b"]) > max(line["a"]) for line in lines)
        faster = sum(max(line["b"]) < min(line["a"]) for line in lines)
        of_lines = f"{max(slower, faster)} of {len(lines)} lines were"
        word = "slower" if slower >= faster else "faster"
        yield "The same script ran on both sides, so each line is compared with itself:"
        yield f"{of_lines} {word} in every call (rank sum within lines{p})."
        if "unpaired_p" in test:
            yield (
                f"Unpaired, all {test['turns_a']} against {test['turns_b']} replies, it would be"
                f" p = {test['unpaired_p']:.2g}."
            )
    else:
        yield f"{test['turns_a']} against {test['turns_b']} replies (rank sum{p})."
    latency = next((row for row in compared["parts"] if row["name"] == "latency"), None)
    if latency and "closest" in latency:
        yield (
            f"The closest two calls differ by {latency['closest']:+.2f} s, the farthest by"
            f" {latency['farthest']:+.2f} s."
        )
    calls = compared["a"]["calls"], compared["b"]["calls"]
    yield f"{calls[0]} and {calls[1]} calls: what the turns of one call share, no test sees."


def _p(p: float | None) -> str:
    return "" if p is None else ", p < 0.0001" if p < 0.0001 else f", p = {p:.2g}"


def _side(
    letter: str, side: Side, latencies: Sequence[float], numbers: Mapping[str, Any]
) -> dict[str, Any]:
    ordered = sorted(latencies)
    latency = numbers.get("latency", {})
    return {
        "letter": letter,
        "selector": side.selector,
        "calls": side.calls,
        "replies": len(ordered),
        "within": latency.get("within_budget_share"),
        "p50": percentile(ordered, 0.5) if ordered else None,
        "p95": percentile(ordered, 0.95) if ordered else None,
    }


def _dots(latencies: Sequence[Sequence[float]], scale: float, budget: float) -> dict[str, Any]:
    """A dot for each reply, A above the line and B below; many of them lie closer together."""
    most = max(map(len, latencies), default=0)
    height = _DOT_HEIGHT if most <= _DOTS_A_SIDE else max(0.4, _DOT_HEIGHT * _DOTS_A_SIDE / most)
    found: list[dict[str, Any]] = []
    for side, values in enumerate(latencies):
        stacked: dict[int, int] = {}
        for value in sorted(values):
            bin_ = round(value / _DOT_SECONDS)
            stacked[bin_] = stacked.get(bin_, 0) + 1
            away = 6 + height * (stacked[bin_] - 1)
            found.append(
                {
                    "side": "ab"[side],
                    "x": percent(bin_ * _DOT_SECONDS, scale),
                    "y": f"{74 - away if side == 0 else 74 + away:.1f}",
                }
            )
    return {
        "dots": found,
        "marks": list(_marks(latencies, scale)),
        "ticks": [{"x": percent(at, scale), "text": f"{at:g}"} for at in ticks(scale, 6)],
        "budget_x": percent(budget, scale),
    }


def _marks(latencies: Sequence[Sequence[float]], scale: float) -> Iterable[dict[str, str]]:
    """The percentiles of both sides: those of A above, those of B below."""
    for values, (y1, y2, y) in zip(
        latencies, (("24", "74", "24"), ("74", "124", "130")), strict=True
    ):
        for name, share in (("p50", 0.5), ("p95", 0.95)) if values else ():
            at = percentile(sorted(values), share)
            side = ("-4", "end") if at > 0.8 * scale else ("4", "start")
            place = {"x": percent(at, scale), "y1": y1, "y2": y2, "y": y}
            yield {**place, "dx": side[0], "anchor": side[1], "text": f"{name} {at:.2f}"}


def _bridge(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """From A's mean to B's: the parts that changed, then all others; it adds up."""
    whole = next((row for row in parts if row["name"] == "latency"), None)
    if whole is None:
        return []
    changed = [
        row
        for row in parts
        if row["name"] != "latency" and abs(row["difference"]) >= SHORTEST_PART_SECONDS * 2
    ]
    changed.sort(key=lambda row: -abs(row["difference"]))
    steps = [(row["name"], row["difference"]) for row in changed[:4]]
    rest = whole["difference"] - sum(step for _, step in steps)
    places, at = [whole["mean_a"], whole["mean_b"]], whole["mean_a"]
    for _, step in (*steps, ("", rest)):
        at += step
        places.append(at)
    low, high = min(places), max(places)
    start = max(0.0, low - 2 * (high - low) - 0.05)
    width = (high - start) * 1.35

    def box(name: str, begin: float, end: float, text: str, kind: str) -> dict[str, str]:
        left, right = sorted((begin, end))
        return {
            "name": name,
            "kind": kind,
            "x": percent(left - start, width),
            "width": percent(right - left, width),
            "after": percent(right - start, width),
            "text": text,
        }

    found = [box("A", start, whole["mean_a"], f"A {whole['mean_a']:.2f} s", "side-a")]
    at = whole["mean_a"]
    for name, step in (*steps, ("all other parts", rest)):
        kind = f"p-{kind_of(name).key}" if name != "all other parts" else "p-una"
        found.append(box(name, at, at + step, f"{step:+.2f} {name}", kind))
        at += step
    return [*found, box("B", start, whole["mean_b"], f"B {whole['mean_b']:.2f} s", "side-b")]


def _parts(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Both bars of each part on one scale, and the difference with its whiskers on another."""
    of_parts = [row for row in parts if row["name"] != "latency"]
    scale = max([row[key] for row in of_parts for key in ("mean_a", "mean_b")], default=1.0)
    reach = max(
        [
            abs(row[key])
            for row in parts
            for key in ("difference", "closest", "farthest")
            if key in row
        ],
        default=0.01,
    )
    reach = max(reach, 0.01) * 1.1
    return [_part(row, scale, reach) for row in parts]


def _part(row: Mapping[str, Any], scale: float, reach: float) -> dict[str, Any]:
    apart = row["difference"]
    is_told = row["verdict"].endswith("more than noise") and "no more" not in row["verdict"]
    return {
        **row,
        "kind": "" if row["name"] == "latency" else kind_of(row["name"]).key,
        "width_a": percent(row["mean_a"], scale),
        "width_b": percent(row["mean_b"], scale),
        "apart_x": percent(reach + min(0.0, apart), 2 * reach),
        "apart_width": percent(abs(apart), 2 * reach),
        "from": percent(reach + row.get("closest", apart), 2 * reach),
        "to": percent(reach + row.get("farthest", apart), 2 * reach),
        "tone": ("worse" if apart > 0 else "better") if is_told else "alike",
        "reach": reach,
        "word": row["verdict"].partition(",")[0] if is_told else "",
    }


def _unshown(a: Side, b: Side, parts: Sequence[Mapping[str, Any]]) -> int:
    there = {group_of(name) for side in (a, b) for t in side.turns for name in t.get("parts", {})}
    return len(there - {row["name"] for row in parts})


def _lines(lines: Sequence[Mapping[str, Any]], budget: float) -> dict[str, Any] | None:
    if not lines:
        return None
    every = [value for line in lines for side in ("a", "b") for value in line[side]]
    low, high = max(0.0, min(every) - 0.1), max(every) + 0.1
    whole = high - low
    return {
        "low": low,
        "high": high,
        "budget_x": percent(budget - low, whole) if low < budget < high else "",
        "rows": [
            {
                **line,
                "x_a": percent(line["mean_a"] - low, whole),
                "x_b": percent(line["mean_b"] - low, whole),
                "single_a": [percent(value - low, whole) for value in line["a"]],
                "single_b": [percent(value - low, whole) for value in line["b"]],
                "said": _overlap(line),
            }
            for line in lines
        ],
    }


def _overlap(line: Mapping[str, Any]) -> str:
    if min(line["b"]) > max(line["a"]):
        return "all of B slower"
    if max(line["b"]) < min(line["a"]):
        return "all of B faster"
    return "they overlap"


def _other_measures(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterable[dict[str, str]]:
    for key, label, shape in _OTHERS:
        if key in a or key in b:
            yield {
                "label": label,
                "a": shape.format(a[key]) if key in a else ABSENT,
                "b": shape.format(b[key]) if key in b else ABSENT,
            }
    for name in sorted({*a.get("tools", {}), *b.get("tools", {})}):
        sides = [side.get("tools", {}).get(name) for side in (a, b)]
        shown = [f"{s['failures']} of {s['calls']}" if s else ABSENT for s in sides]
        yield {"label": f"{name} failed", "a": shown[0], "b": shown[1]}


def side_choices(rows: Sequence[Mapping[str, Any]], most: int = 50) -> list[dict[str, str]]:
    """What may be compared: the options in which calls differ, then the latest calls."""
    groups = [
        {"value": f"{name.removesuffix('.enabled')}={value}", "label": "group"}
        for name, value in differing_options(rows)
    ]
    calls = [
        {"value": row["trace_id"][:12], "label": f"{row.get('agent', '')} {row['started_at'][:16]}"}
        for row in rows[:most]
    ]
    return [*groups, *calls]
