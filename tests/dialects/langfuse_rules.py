"""What a Langfuse server makes of OTLP spans: its documented rules, as a small interpreter.

`V4` is what Cloud and self-hosted version 4 do (direct writes), `LEGACY` the tables of version
3. Only the rules that matter for LiveKit's spans and for ours are here. Prices are the ones
that Langfuse ships, for a handful of models; its tokenizer is replaced by four characters to
a token, because what matters is whether it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tracing.span import Span

from .langfuse_fields import (
    LEGACY,
    TYPES,
    V4,
    V4_WITH_PII,
    Server,
    claimed_tools,
    completion_start,
    cost_of,
    environment,
    level_of,
    metadata_of,
    model_of,
    name_of,
    observation_type,
    parsed,
    provided_cost,
    provided_usage,
    sides,
    usage_of,
)

__all__ = [
    "LEGACY",
    "V4",
    "V4_WITH_PII",
    "Server",
    "Shown",
    "Trace",
    "environment",
    "level_of",
    "name_of",
    "observation",
    "observation_type",
    "renders_as_chat",
    "show",
    "sides",
    "tool_calls",
]

GENERATION_LIKE = frozenset(TYPES) - {"span", "event"}


@dataclass
class Shown:
    """One observation as Langfuse stores it."""

    id: str
    parent: str
    name: str
    type: str
    level: str
    status_message: str | None
    input: Any
    output: Any
    model: str | None
    usage: dict[str, float]
    cost: dict[str, float]
    completion_start: datetime | None
    metadata: dict[str, str]
    span: Span = field(repr=False)

    @property
    def time_to_first_token(self) -> float | None:
        """Seconds from the start; negative if the clock was wrong."""
        if self.completion_start is None:
            return None
        start = self.span.start_time_unix_nano // 1_000_000 / 1e3
        return round(self.completion_start.timestamp() - start, 3)

    @property
    def total_cost(self) -> float:
        return self.cost.get("total", 0.0)

    @property
    def total_tokens(self) -> float:
        return self.usage.get("total", 0)


@dataclass
class Trace:
    """A trace as Langfuse shows it."""

    name: str | None
    session_id: str | None
    user_id: str | None
    tags: list[str]
    environment: str
    release: str | None
    version: str | None
    input: Any
    output: Any
    metadata: dict[str, str]
    observations: list[Shown]

    @property
    def level(self) -> str:
        """The worst that happened, as the list of traces flags it."""
        order = ["DEBUG", "DEFAULT", "WARNING", "ERROR"]
        return max((shown.level for shown in self.observations), key=order.index)

    @property
    def total_cost(self) -> float:
        return sum(shown.total_cost for shown in self.observations)

    @property
    def total_tokens(self) -> float:
        return sum(shown.total_tokens for shown in self.observations)

    def of_type(self, kind: str) -> list[Shown]:
        return [shown for shown in self.observations if shown.type == kind.upper()]

    def named(self, name: str) -> list[Shown]:
        return [shown for shown in self.observations if shown.name == name]


def show(spans: Sequence[Span], server: Server = V4) -> Trace:
    """Show the spans of one trace, in the order in which they arrive."""
    rows = {(span.span_id, span.start_time_unix_nano // 1_000_000): span for span in spans}
    spans = list(rows.values())
    observations = [observation(span, server) for span in spans]
    roots = [span for span in spans if not span.parent_span_id]
    root = next((o for o in observations if not o.parent), None)
    sides = (root.input, root.output) if root else (None, None)
    if server == LEGACY and roots:
        own = roots[0].attributes
        sides = tuple(
            own.get(f"langfuse.trace.{side}") or kept
            for side, kept in zip(("input", "output"), sides, strict=True)
        )
    return Trace(
        name=_last(spans, "langfuse.trace.name") or (roots[0].name if roots else None),
        session_id=_last(spans, *SESSION_KEYS),
        user_id=_last(spans, "langfuse.user.id", "user.id"),
        tags=_tags(spans),
        environment=environment(spans[-1]),
        release=_last(spans, "langfuse.release"),
        version=_last(spans, "langfuse.version", "service.version"),
        input=parsed(sides[0]),
        output=parsed(sides[1]),
        metadata=root.metadata if root else {},
        observations=observations,
    )


SESSION_KEYS = ("langfuse.session.id", "session.id", "gen_ai.conversation.id")


def _last(spans: Sequence[Span], *keys: str) -> Any:
    """The last non-empty value over spans, each read by precedence."""
    for span in reversed(spans):
        for key in keys:
            found = span.attributes.get(key) or span.resource.get(key, "") * (
                key == "service.version"
            )
            if found:
                return found
    return None


def _tags(spans: Sequence[Span]) -> list[str]:
    found = _last(spans, "langfuse.trace.tags", "langfuse.tags") or []
    return [*found] if isinstance(found, list) else str(found).split(",")


def observation(span: Span, server: Server = V4) -> Shown:
    """Show one span."""
    kind = observation_type(span)
    given_input, given_output = sides(span, server)
    metadata = metadata_of(span)
    given_input = claimed_tools(given_input, metadata)
    model = model_of(span)
    provided = provided_usage(span)
    costs = provided_cost(span)
    first = completion_start(span)
    if server == LEGACY and kind not in GENERATION_LIKE:
        model, provided, costs, first = None, {}, {}, None
    level = level_of(span)
    used = usage_of(provided, model, given_input, given_output, level, server, bool(costs))
    return Shown(
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=name_of(span),
        type=kind.upper(),
        level=level,
        status_message=str(
            span.attributes.get("langfuse.observation.status_message") or span.status_message or ""
        )
        or None,
        input=parsed(given_input),
        output=parsed(given_output),
        model=model,
        usage=used,
        cost=cost_of(costs, used, model),
        completion_start=first,
        metadata=metadata,
        span=span,
    )


def tool_calls(shown: Shown) -> list[str]:
    """The names of the tools that a model called, as the page lists them: OpenAI's shape only."""
    messages = shown.output if isinstance(shown.output, list) else [shown.output]
    return [
        call["function"]["name"]
        for message in messages
        if isinstance(message, dict)
        for call in message.get("tool_calls") or ()
    ]


def renders_as_chat(shown: Shown) -> bool:
    """Whether the page shows bubbles of a chat rather than raw JSON."""
    given = shown.input
    messages = given.get("messages") if isinstance(given, dict) else given
    return isinstance(messages, list) and all(
        isinstance(message, dict) and "role" in message and "parts" not in message
        for message in messages
    )
