"""What is said of every trace in Langfuse's dialect: its name, tags, environment, prices, and how
much of it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, TypeVar

from tracing.config.environment import Environment, shown, unquoted

MAX_TAG_LENGTH = 200

Detail = Literal["call", "full"]
Prices = Mapping[str, Mapping[str, float]]
_Labelled = TypeVar("_Labelled", bound="TraceLabels")


@dataclass(frozen=True, kw_only=True)
class TraceLabels:
    """The labels of traces, for Langfuse and for a collector that forwards to it."""

    trace_name: str | None = None
    """Name of every trace; else the agent's name."""
    tags: Sequence[str] = ()
    """Tags of every trace, up to 200 characters each; else none."""
    environment: str | None = None
    """Langfuse environment, such as production; else LANGFUSE_TRACING_ENVIRONMENT, none."""
    release: str | None = None
    """Release of your agent; else LANGFUSE_RELEASE, none."""
    version: str | None = None
    """Version of your own, such as a prompt's; else none."""
    cost: Prices = field(default_factory=dict)
    """Prices of your own, US dollars per unit by model and bucket, for what Langfuse does not
    price: `{"nova-3": {"seconds": 0.00007}}`; else none."""

    detail: Detail | None = None
    """`call`: what a person sees, and what failed; `full`: every span; else
    TRACING_LANGFUSE_DETAIL, call."""

    def labels(self) -> dict[str, Any]:
        """The options of Langfuse's dialect; JSON."""
        return {
            "trace_name": self.trace_name,
            "tags": list(self.tags),
            "environment": self.environment,
            "release": self.release,
            "version": self.version,
            "cost": self.cost,
            "detail": self.detail or "call",
        }


def read_labels(asked: TraceLabels, env: Environment) -> dict[str, Any]:
    """The fields of `TraceLabels` in force: as they were asked for, else from variables."""
    return {
        "trace_name": env.check_text("trace_name=", asked.trace_name) or None,
        "tags": _checked_tags(asked.tags or (), env),
        "environment": env.check_text("environment=", asked.environment)
        or env.text("LANGFUSE_TRACING_ENVIRONMENT")
        or None,
        "release": env.check_text("release=", asked.release)
        or env.text("LANGFUSE_RELEASE")
        or None,
        "version": env.check_text("version=", asked.version) or None,
        "cost": _checked_cost(asked.cost or {}, env.problems),
        "detail": _read_detail(asked.detail, env),
    }


def _read_detail(given: object, env: Environment) -> str:
    source = "TRACING_LANGFUSE_DETAIL" if given is None else "detail="
    text = env.text(source) if given is None else env.check_text(source, given)
    detail = unquoted(text).lower() or "call"
    if detail not in ("call", "full"):
        env.problems.append(f"{source} is {shown(text)}: give call or full")
    return detail


def _checked_tags(tags: object, env: Environment) -> tuple[str, ...]:
    found = env.check_texts("tags=", tags)
    for tag in found:
        if len(tag) > MAX_TAG_LENGTH:
            env.problems.append(
                f"tags= holds one of {len(tag)} characters, and Langfuse drops what is longer "
                f"than {MAX_TAG_LENGTH}: shorten it"
            )
    return found


def _checked_cost(cost: Any, problems: list[str]) -> Prices:
    try:
        found = {
            str(model): {str(bucket): float(price) for bucket, price in prices.items()}
            for model, prices in cost.items()
        }
        if not all(0 <= price < inf for prices in found.values() for price in prices.values()):
            raise ValueError(cost)
    except (AttributeError, TypeError, ValueError):
        found = {}
        problems.append(
            f"cost is {cost!r}: give US dollars per unit by model and bucket, "
            "such as {'nova-3': {'seconds': 0.00007}}"
        )
    return found
