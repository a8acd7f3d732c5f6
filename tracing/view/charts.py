"""The geometry of the charts: seconds in, percent of a width out; pure.

A strict content security policy forbids `style=`, so every place and width is an attribute of an
SVG element, in percent, which needs no script to follow the window.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tracing.calls.parts import kind_of

FIT_WIDTHS = (240, 340, 440, 560, 700, 900, 1200, 2400, 5000)
"""The widths of a chart, in pixels, from which labels of class `m1` to `m9` are shown."""

SEEN_SECONDS = 0.0005
"""What is shorter is not drawn."""
_CHARACTER_PIXELS = 5.9
_PADDING_PIXELS = 9
_STEPS = (0.1, 0.2, 0.25, 0.5, 1, 2, 2.5, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


def percent(value: float, whole: float) -> str:
    """A share of a whole as an SVG length, `12.3456%`."""
    share = 100 * value / whole if whole > 0 else 0.0
    if not -1000.0 <= share <= 1000.0:
        share = 0.0 if math.isnan(share) else math.copysign(1000.0, share)
    return f"{share:.4f}".rstrip("0").rstrip(".") + "%"


def fits(label: str, share: float) -> int:
    """The first of `FIT_WIDTHS`, from 1, at which a label fits its share of it; 0 for none."""
    need = len(label) * _CHARACTER_PIXELS + _PADDING_PIXELS
    if share <= 0:
        return 0
    return next((n for n, width in enumerate(FIT_WIDTHS, 1) if width * share >= need), 0)


def short(seconds: float) -> str:
    """Seconds in a bar: `.26`, `1.30`."""
    return f"{seconds:.2f}".removeprefix("0")


def stripes(parts: Mapping[str, float], scale: float, *, at: float = 0.0) -> list[dict[str, str]]:
    """A wait's parts end to end: `kind`, `x`, `width`."""
    found = []
    for name, seconds in parts.items():
        if seconds >= SEEN_SECONDS:
            place = {"x": percent(at, scale), "width": percent(seconds, scale)}
            found.append({"kind": kind_of(name).key, **place})
        at += seconds
    return found


def segments(parts: Mapping[str, float], scale: float, *, at: float = 0.0) -> list[dict[str, Any]]:
    """The same with a `title`, and with the labels that may fit in."""
    seen = [(name, seconds) for name, seconds in parts.items() if seconds >= SEEN_SECONDS]
    return [
        {**stripe, **_labels(name, seconds, seconds / scale)}
        for stripe, (name, seconds) in zip(stripes(parts, scale, at=at), seen, strict=True)
    ]


def _labels(name: str, seconds: float, share: float) -> dict[str, Any]:
    kind, number = kind_of(name), short(seconds)
    failed = kind.key == "tool" and name.endswith("✕")
    number = f"✕ {number}" if failed else number
    label = f"{kind.label.removesuffix(' ✕')} {number}"
    long_from, short_from = fits(label, share), fits(number, share)
    return {
        "title": f"{name} {seconds:.3f} s",
        "long": label if long_from else "",
        "long_from": long_from,
        "short": number if short_from and short_from != long_from else "",
        "short_from": short_from,
        "failed": failed,
    }


def scale_of(seconds: Iterable[float], least: float = 1.0) -> float:
    """The end of a common axis: a round number after the longest, at least `least`."""
    longest = max([*seconds, least])
    step = 0.25 if longest <= 2.5 else 0.5 if longest <= 5 else 1.0 if longest <= 20 else 10.0
    return math.ceil(longest / step - 1e-9) * step


def ticks(end: float, most: int = 8) -> list[float]:
    """Round numbers from 0 to the end of an axis, `most` at most."""
    step = next((step for step in _STEPS if end / step <= most), math.ceil(end / most))
    return [n * step for n in range(int(end / step + 1e-9) + 1)]


def clock(seconds: float, *, tenths: bool = False) -> str:
    """A place in a call: `0:20`, `1:02:05`, with tenths `0:20.9`."""
    whole = round(seconds * 10) / 10 if tenths else math.floor(seconds + 1e-9)
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    last = f"{rest:04.1f}" if tenths else f"{int(rest):02d}"
    return f"{int(hours)}:{int(minutes):02d}:{last}" if hours else f"{int(minutes)}:{last}"


def columns(strip: Sequence[Mapping[str, Any]], scale: float, most: int = 100) -> dict[str, Any]:
    """A strip of a call's turns, a column each; above `most` each is the worst of its turns."""
    size = max(1, math.ceil(len(strip) / most))
    groups = [strip[at : at + size] for at in range(0, len(strip), size)]
    width = 100 / max(len(groups), 30)
    return {
        "columns": [
            _column(max(group, key=_height), index * width, width, scale)
            | {
                "failed": any(turn.get("failed") for turn in group),
                "barged_in": any(turn.get("barged_in") for turn in group),
            }
            for index, group in enumerate(groups)
        ]
    }


def _height(turn: Mapping[str, Any]) -> float:
    return float(turn.get("latency", turn.get("first_output", 0.0)))


def _column(turn: Mapping[str, Any], x: float, width: float, scale: float) -> dict[str, Any]:
    height = 18 * min(1.0, _height(turn) / scale)
    return {
        "x": f"{x:.2f}%",
        "width": f"{width * 0.8:.2f}%",
        "mark_x": f"{x + width * 0.4:.2f}%",
        "y": f"{22 - height:.1f}",
        "height": f"{height:.1f}",
        "hollow": "latency" not in turn,
        "over": bool(turn.get("over")),
    }


def histogram(
    latencies: Sequence[float], budget: float, bin_seconds: float = 0.05
) -> dict[str, Any]:
    """Latencies in bins of 50 ms: `bars` (`x`, `width`, `y`, `height`, `over`), `end` in seconds.

    What lies beyond five budgets, or half again the 99th percentile, is in the last bin.
    """
    ordered = sorted(latencies)
    end = max(2 * budget, min(ordered[int(0.99 * (len(ordered) - 1))] * 1.5, 5 * budget))
    bins = math.ceil(end / bin_seconds)
    edges = [bisect_left(ordered, index * bin_seconds) for index in range(bins)]
    counts = [after - before for before, after in pairwise([*edges, len(ordered)])]
    tallest = max(counts)
    bars = [
        {
            "x": percent(index, bins),
            "width": percent(0.92, bins),
            "height": f"{70 * count / tallest:.1f}",
            "y": f"{92 - 70 * count / tallest:.1f}",
            "over": index * bin_seconds >= budget - 1e-9,
            "from": index * bin_seconds,
            "count": count,
        }
        for index, count in enumerate(counts)
        if count
    ]
    return {"bars": bars, "end": bins * bin_seconds}
