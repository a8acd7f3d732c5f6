"""One turn in a drawer: its parts as a staircase, and everything that led to its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracing.calls.parts import base_of, kind_of
from tracing.calls.totals import LATENCY, budget_of
from tracing.calls.tree import Tree
from tracing.calls.turn_detail import turn_detail
from tracing.calls.why import excess, medians
from tracing.view.charts import SEEN_SECONDS, percent, segments
from tracing.view.pages.call_page import chips


def turn_page(
    call: Mapping[str, Any], tree: Tree, turn_number: int, at: float | None
) -> dict[str, Any] | None:
    """The context of `turn.html`; None where the call has no such turn.

    `at` is when its wait began, in seconds since the start of the call.
    """
    turns = [turn for turn in call.get("turns", ()) if turn.get("kind") != "discarded"]
    numbers = [turn.get("number") for turn in turns]
    detail = turn_detail(tree, turn_number)
    if turn_number not in numbers or detail is None:
        return None
    index = numbers.index(turn_number)
    turn, budget = turns[index], budget_of(call)
    latency = turn.get(LATENCY)
    waited = float(latency if latency is not None else turn.get("first_output_seconds", 0.0))
    return {
        "turn": turn,
        "number": turn_number,
        "at": at,
        "latency": latency,
        "over": latency is not None and latency > budget,
        "excess": None if latency is None else latency - budget,
        "waited": waited,
        "previous": numbers[index - 1] if index else None,
        "next": numbers[index + 1] if index + 1 < len(numbers) else None,
        "chips": list(chips(turn)),
        "budget_x": percent(budget, max(waited, budget)),
        "stairs": _stairs(turn, turns, waited, max(waited, budget), at),
        "held_nothing": [n for n, s in turn.get("parts", {}).items() if s < SEEN_SECONDS],
        "detail": detail,
        "step_facts": [_step_facts(step) for step in detail["steps"]],
        "tree": list(map(_on_scale(detail["tree"]), detail["tree"])),
    }


def _stairs(
    turn: Mapping[str, Any],
    turns: Sequence[Mapping[str, Any]],
    waited: float,
    scale: float,
    began: float | None,
) -> list[dict[str, Any]]:
    """Each part that took time, where it began, and how it compares with the call's median."""
    usual = medians(turns) if LATENCY in turn else {}
    more = excess(turn.get("parts", {}), usual)
    found, at = list[dict[str, Any]](), 0.0
    for name, seconds in turn.get("parts", {}).items():
        if seconds >= SEEN_SECONDS:
            found.append(
                {
                    "name": name,
                    "meaning": kind_of(name).meaning,
                    "seconds": seconds,
                    "share": seconds / waited if waited else 0.0,
                    "more": more.get(base_of(name)) if usual else None,
                    "segment": segments({name: seconds}, scale, at=at)[0],
                    "from": None if began is None else f"{began + at:.3f}",
                    "until": None if began is None else f"{began + at + seconds:.3f}",
                }
            )
        at += seconds
    return found


def _step_facts(step: Mapping[str, Any]) -> str:
    """The line beside a model's step."""
    if step["kind"] != "llm":
        return ""
    tokens = step.get("input_tokens")
    facts = [
        str(step.get("model", "")),
        "" if tokens is None else f"{tokens:,.0f} in" + _cached(step),
        f"{step['output_tokens']:,.0f} out" if "output_tokens" in step else "",
        f"first token {step['first_token']:.2f} s" if "first_token" in step else "",
        "began early" if step.get("is_preemptive") else "",
        f"{step['attempts']} attempts" if step.get("attempts", 1) > 1 else "",
    ]
    return " · ".join(fact for fact in facts if fact)


def _cached(step: Mapping[str, Any]) -> str:
    return f" ({step['cached_tokens']:,.0f} cached)" if step.get("cached_tokens") else ""


def _on_scale(tree: Sequence[Mapping[str, Any]]) -> Any:
    begun = min((span["at"] for span in tree), default=0.0)
    end = max((span["at"] + (span["seconds"] or 0.0) for span in tree), default=1.0)
    whole = max(end - begun, 1e-9)

    def scaled(span: Mapping[str, Any]) -> dict[str, Any]:
        seconds = end - span["at"] if span["seconds"] is None else span["seconds"]
        return {
            **span,
            "x": percent(span["at"] - begun, whole),
            "width": percent(max(seconds, whole / 200), whole),
        }

    return scaled
