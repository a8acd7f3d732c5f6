"""Spans as Langfuse shows a call: with the attributes that every version of it reads.

Langfuse guesses from names and attributes what a span is, and its guess changes from version
to version. The attributes called `langfuse.*` go before every guess, so these are what we write:
one generation per call to a model and a model name on nothing else, usage in buckets that add
up, input and output in OpenAI's shape, session and user on every span. Content goes where it
is shown and not into metadata as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache

from tracing import names, stamps
from tracing.dialects import media, observations, usage
from tracing.dialects.messages import dumps
from tracing.dialects.model_calls import COMPLETION_START
from tracing.dialects.observed import Observation
from tracing.span import Attributes, AttributeValue, Event, Span

MAX_LENGTH = 200
"""Characters of a session, a user, a tag, a release, a version and a trace name."""
MAX_ENVIRONMENT = 40
MAX_EVENTS = 200
ENVIRONMENT = "langfuse.environment"
_ENVIRONMENTS = (ENVIRONMENT, "deployment.environment.name", "deployment.environment")
_METADATA = "langfuse.observation.metadata."
_NO_NEWS = frozenset({"exception", names.EVENT_CHOICE, *names.EVENT_ROLES})
"""Events that are shown as the status, or as input and output."""


class LangfuseDialect:
    """Turns one span into what Langfuse shows as one observation; pure."""

    def __init__(
        self,
        *,
        trace_name: str | None = None,
        tags: Sequence[str] = (),
        environment: str | None = None,
        release: str | None = None,
        version: str | None = None,
        cost: usage.Prices | None = None,
    ) -> None:
        """Take what is the same for every span.

        `cost` are the user's own prices, US dollars per unit by model and bucket, for models
        that Langfuse does not price: `{"nova-3": {"seconds": 0.00007}}`.
        """
        given: dict[str, AttributeValue | None] = {
            "langfuse.trace.name": _cut(trace_name),
            "langfuse.trace.tags": [tag[:MAX_LENGTH] for tag in tags if tag],
            ENVIRONMENT: valid_environment(environment or ""),
            "langfuse.release": _cut(release),
            "langfuse.version": _cut(version),
        }
        self._given = _known(given)
        self._prices = {usage.model_name(model): prices for model, prices in (cost or {}).items()}

    def __call__(self, span: Span) -> Span | None:
        """The span as Langfuse should get it."""
        if span.is_open:
            # A call in progress: Langfuse needs an end, and gets the true one later.
            span = span._replace(end_time_unix_nano=span.start_time_unix_nano)
        if span.scope_name != names.SCOPE:
            own = span.attributes
            return span._replace(attributes={**self._identity(span), **_root(span), **own})
        span = observations.with_late_metrics(span)
        shown = observations.observation_of(span)
        attributes = {
            **_kept(span.attributes),
            **self._identity(span),
            **_root(span),
            **self._observed(shown),
            **_metadata(span, shown),
            **media.metadata(span.attributes),
            **_users_own(span.attributes),
        }
        return span._replace(name=shown.name, attributes=attributes, events=(), links=())

    def _identity(self, span: Span) -> dict[str, AttributeValue]:
        """Which call, which user, which deployment: on every span, for nothing is inherited."""
        attributes = span.attributes
        found: dict[str, AttributeValue | None] = {
            "langfuse.session.id": _cut(attributes.get(stamps.SESSION_ID)),
            "langfuse.user.id": _cut(attributes.get(stamps.USER_ID)),
            "langfuse.trace.name": _cut(_agent(span)),
            ENVIRONMENT: environment_of(span),
        }
        return {**_known(found), **self._given}

    def _observed(self, shown: Observation) -> dict[str, AttributeValue]:
        costs = usage.cost(shown.units, shown.priced_as, self._prices)
        details = usage.details(shown.units)
        return _known(
            {
                "langfuse.observation.type": shown.type,
                "langfuse.observation.level": shown.level,
                "langfuse.observation.status_message": shown.status_message,
                "langfuse.observation.input": shown.input,
                "langfuse.observation.output": shown.output,
                "langfuse.observation.model.name": shown.model,
                "langfuse.observation.usage_details": dumps(details) if details else None,
                "langfuse.observation.cost_details": dumps(costs) if costs else None,
                COMPLETION_START: _iso(shown.first_output_unix_nano),
            }
        )


def valid_environment(name: str) -> str:
    """The name as Langfuse takes it; it files what it does not take under "default", silently."""
    cleaned = re.sub(r"[^a-z0-9_-]", "-", name.strip().lower())
    while cleaned.startswith("langfuse"):
        cleaned = cleaned.removeprefix("langfuse").lstrip("-_")
    return cleaned[:MAX_ENVIRONMENT]


_cached_environment = lru_cache(maxsize=64)(valid_environment)


def environment_of(span: Span) -> str:
    """The environment that a span or its resource names, as Langfuse takes it; "" for none."""
    for source in (span.attributes, span.resource):
        for key in _ENVIRONMENTS:
            if source.get(key):
                return _cached_environment(str(source[key]))
    return ""


def _agent(span: Span) -> AttributeValue | None:
    """The name that the trace gets: the agent's, else the class of the one that took the call."""
    named = span.attributes.get(names.AGENT_NAME)
    return named or str(span.attributes.get(stamps.FIRST_AGENT, "")).rpartition(".")[2]


def _root(span: Span) -> dict[str, AttributeValue]:
    """The conversation as the trace's input and output, under the names of all versions."""
    recorded = span.attributes.get(stamps.CONVERSATION)
    if not isinstance(recorded, str):  # it is on the call's root, which may have a remote parent
        return {}
    try:
        said = json.loads(recorded)
        is_answered = bool(said) and said[-1]["role"] == "assistant"
    except (LookupError, TypeError, ValueError, RecursionError):
        said, is_answered = recorded, False
    sides = {"input": said[:-1] if is_answered else said, "output": said[-1] if is_answered else ""}
    return {
        f"langfuse.{whose}.{side}": dumps(value)
        for side, value in sides.items()
        if value
        for whose in ("observation", "trace")
    }


def _kept(attributes: Attributes) -> dict[str, AttributeValue]:
    return {key: value for key, value in attributes.items() if _is_kept(key)}


@lru_cache(maxsize=4096)
def _is_kept(key: str) -> bool:
    """Whether an attribute goes on as it is: not if it is content, or is shown elsewhere."""
    if key in _DROPPED or key in _NOT_SHOWN or key.startswith(_DROPPED_PREFIXES):
        return False
    return "pii" not in key.split(".")


_DROPPED = frozenset(
    {
        *names.CHAT_CTX,
        *names.USER_INPUT,
        *names.INSTRUCTIONS,
        *names.USER_TRANSCRIPT,
        *names.RESPONSE_TEXT,
        *names.TOOL_OUTPUT,
        *names.TOOL_ARGUMENTS,
        *names.FUNCTION_CALLS,
        *names.TTS_TEXT,
        names.REQUEST_MODEL,
        names.RESPONSE_MODEL,
        names.OPERATION,
        names.INPUT_MESSAGES,
        names.OUTPUT_MESSAGES,
        names.SYSTEM_INSTRUCTIONS,
        names.TOOL_DEFINITIONS,
        "gen_ai.tool.description",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
    }
)
_NOT_SHOWN = frozenset(
    {
        stamps.TURN_USER_TEXT,
        stamps.TURN_AGENT_TEXT,
        stamps.TURN_ERROR,
        stamps.CONVERSATION,
        stamps.IS_FALLBACK,
        stamps.IS_PROBE,
        stamps.IS_PREEMPTIVE,
        stamps.IS_REBUILT,
        stamps.ERROR_IS_BELOW,
        stamps.INFERENCE_PARENT,
        stamps.INFERENCE_START,
        stamps.INFERENCE_END,
    }
)
"""Stamps that are read here, and not for show."""
_DROPPED_PREFIXES = (
    *(stamps.TURN, stamps.CALL, stamps.RECORDING, "langfuse."),
    *(usage.USAGE, "gen_ai.prompt."),
)


def _metadata(span: Span, shown: Observation) -> dict[str, AttributeValue]:
    """What can be filtered by: what the span shows, what was stamped on it, and its events."""
    found = {_METADATA + key: value for key, value in shown.metadata.items() if value is not None}
    for key, value in span.attributes.items():
        if key.startswith((stamps.TURN, stamps.CALL)) and key not in _NOT_SHOWN:
            found[_METADATA + key.partition(".")[2].replace(".", "_")] = value
    happened = [_happened(span, event) for event in span.events if event.name not in _NO_NEWS]
    if happened:
        found[_METADATA + "events"] = dumps(happened[-MAX_EVENTS:])
    return found


def _happened(span: Span, event: Event) -> str:
    """An event in a line, for Langfuse stores none: seconds into the span, name, what it says."""
    seconds = (event.time_unix_nano - span.start_time_unix_nano) / 1e9
    says = " -> ".join(str(value) for key, value in event.attributes.items() if _is_kept(key))
    return f"{seconds:.3f} {event.name} {says}".rstrip()


def _users_own(attributes: Attributes) -> dict[str, AttributeValue]:
    """What somebody set for Langfuse goes before what we make of the span."""
    return {
        key: value
        for key, value in attributes.items()
        if key.startswith("langfuse.") and key != COMPLETION_START
    }


def _known(attributes: Mapping[str, AttributeValue | None]) -> dict[str, AttributeValue]:
    return {key: value for key, value in attributes.items() if value}


def _cut(value: AttributeValue | None) -> str:
    return str(value)[:MAX_LENGTH] if value else ""


def _iso(unix_nano: int) -> str:
    """An instant as Langfuse reads it; "" for 0."""
    if not unix_nano:
        return ""
    moment = datetime.fromtimestamp(unix_nano // 1_000_000 / 1e3, timezone.utc)
    return moment.isoformat(timespec="milliseconds")
