"""A comparison as a person sees it."""

from __future__ import annotations

import io

from rich.console import Console

from tests.described import REPLY, SLOW, replies, side
from tracing.read.compare import compare
from tracing.terminal.comparison import print_comparison


def test_a_comparison_is_shown_side_by_side() -> None:
    """The golden page of a comparison."""
    file = io.StringIO()
    a = side("preemptive_generation=false", *replies(0.9, 1.1, 1.2, 1.3), SLOW)
    b = side("preemptive_generation=true", *replies(0.5, 0.6, 0.7, 0.8), REPLY)
    print_comparison(compare(a, b), Console(file=file, width=100, highlight=False))
    shown = [line.rstrip() for line in file.getvalue().splitlines()]
    assert shown == GOLDEN_COMPARISON.strip("\n").splitlines()


GOLDEN_COMPARISON = """
A: preemptive_generation=false · 1 call, 5 turns
B: preemptive_generation=true · 1 call, 5 turns

                                      A        B     B - A
──────────────────────────────────────────────────────────
turns with a latency                  5        5         0
latency p50                      1.20 s   0.70 s   -0.50 s
latency p95                      1.30 s   0.80 s   -0.50 s
latency mean                     1.16 s   0.68 s   -0.48 s
within the budget                   20%     100%    +80 pp
  llm_first_token p50            1.10 s   0.60 s   -0.50 s
  turn_decision p50              0.30 s   0.30 s    0.00 s
  unaccounted p50                         0.10 s
barge-in rate                      100%
fallbacks per turn                 0.20
retried requests per turn          0.40
transcript confidence                       0.90
corrected transcripts per turn              0.20
input tokens per turn                48       28       -20
tool book failures                 100%
tool book p50                    2.00 s
tool get_weather failures                     0%
tool get_weather p50                      0.25 s

Latency: B is 0.50 s faster at the median, more than noise (n = 5 and 5 turns, p = 0.0079).
"""
