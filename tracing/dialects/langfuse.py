"""Spans as Langfuse shows a call: with the attributes that every version of it reads.

Langfuse guesses from names and attributes what a span is, and its guess changes from version
to version. The attributes called `langfuse.*` go before every guess, so these are what we write:
one generation per call to a model and a model name on nothing else, usage in buckets that add
up, input and output in OpenAI's shape, session and user on every span. Content goes where it
is shown and not into metadata as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache

from tracing import names, stamps
from tracing.dialects import conversation, foreign, lean, media, metadata, observations, usage
from tracing.dialects.messages import dumps
from tracing.dialects.model_calls import COMPLETION_START
from tracing.dialects.observed import Observation, span_id
from tracing.span import Attributes, AttributeValue, Span

MAX_LENGTH = 200
"""Characters of a session, a user, a tag, a release, a version and a trace name."""
MAX_ENVIRONMENT = 40
TRACE_NAME = "langfuse.trace.name"
ENVIRONMENT = "langfuse.environment"
_PROMPT = "langfuse.observation.prompt."
_TAGS = "langfuse.trace.tags"
_SERVICE, _UNNAMED = "service.name", "unknown_service"
_ENVIRONMENTS = (ENVIRONMENT, "deployment.environment.name", "deployment.environment")


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
        detail: str = "call",
    ) -> None:
        """Take what is the same for every span.

        `cost` are the user's own prices, US dollars per unit by model and bucket, for models
        that Langfuse does not price: `{"nova-3": {"seconds": 0.00007}}`. `detail` is `call`, what
        a person sees, each below the nearest that is sent, or `full`, every span.
        """
        given: dict[str, AttributeValue | None] = {
            TRACE_NAME: _cut(trace_name),
            _TAGS: [tag[:MAX_LENGTH] for tag in tags if tag],
            ENVIRONMENT: valid_environment(environment or ""),
            "langfuse.release": _cut(release),
            "langfuse.version": _cut(version),
        }
        self._given = _known(given)
        self._is_full = detail == "full"
        self._latest_resource: tuple[Attributes, str, Attributes] = ({}, "", {})
        self._prices = {usage.model_name(model): prices for model, prices in (cost or {}).items()}

    def __call__(self, span: Span) -> Span | None:
        """The span as Langfuse should get it."""
        if span.scope_name == stamps.HEARD_SCOPE and not self._is_full:
            return None  # its numbers are scores of the turn's observation
        if span.scope_name != names.SCOPE:
            return self._foreign(span)
        if span.is_open:
            # A call in progress: Langfuse needs an end, and gets the true one later.
            span = span._replace(end_time_unix_nano=span.start_time_unix_nano)
        span = observations.with_late_metrics(span)
        shown = observations.observation_of(span)
        if not (self._is_full or _is_seen(span, shown)):
            return None
        told = span if self._is_full else lean.told(span)
        attributes = {
            **metadata.kept(told.attributes),
            **self._identity(span),
            **conversation.sides(span),
            **self._observed(shown),
            **_prompt(span, shown),
            **metadata.of(told, shown),
            **media.metadata(span.attributes),
            **metadata.said(span.attributes),
            **metadata.users_own(span.attributes),
        }
        return self._placed(self._served(span))._replace(
            name=self._name(span, shown), attributes=attributes, events=(), links=()
        )

    def _foreign(self, span: Span) -> Span | None:
        """A span of another instrumentation, as its maker meant it; a trace of these is no call."""
        is_none = span.is_open or span.attributes.get(stamps.OUTSIDE_CALLS) is True
        if is_none and not self._is_full:
            return None
        if span.is_open:
            span = span._replace(end_time_unix_nano=span.start_time_unix_nano)
        own = metadata.unclaimed(foreign.counted_once(span.attributes))
        said = metadata.said(span.attributes)
        attributes = {**self._identity(span), **conversation.sides(span), **said, **own}
        return self._placed(span)._replace(attributes=attributes)

    def _served(self, span: Span) -> Span:
        """The span of a service that is named for the agent, where nobody named it.

        Spans of one resource keep one resource, by which they are sent together.
        """
        is_named = not str(span.resource.get(_SERVICE, _UNNAMED)).startswith(_UNNAMED)
        agent = "" if is_named else _cut(_agent(span))
        known, named, resource = self._latest_resource
        if known is not span.resource or named != agent:
            resource = span.resource if self._is_full else lean.resource(span.resource)
            resource = {**resource, _SERVICE: agent} if agent else resource
            self._latest_resource = span.resource, agent, resource
        return span._replace(resource=resource)

    def _placed(self, span: Span) -> Span:
        """The span below the nearest one that is sent."""
        parent = span_id(span.attributes.get(stamps.SHOWN_PARENT))
        return span if self._is_full or parent is None else span._replace(parent_span_id=parent)

    def _name(self, span: Span, shown: Observation) -> str:
        """Its name, without numbers to be filtered by; of the call's root, the page's title."""
        is_root = span.name == names.JOB_ENTRYPOINT or not span.parent_span_id
        if not is_root or shown.name != observations.CALL:
            return shown.name
        return str(self._given.get(TRACE_NAME) or f"{shown.name} {_cut(_agent(span))}".rstrip())

    def _identity(self, span: Span) -> dict[str, AttributeValue]:
        """Which call, which user, which deployment: on every span, for nothing is inherited."""
        attributes = span.attributes
        found: dict[str, AttributeValue | None] = {
            "langfuse.session.id": _cut(attributes.get(stamps.SESSION_ID)),
            "langfuse.user.id": _cut(attributes.get(stamps.USER_ID)),
            TRACE_NAME: _cut(_agent(span)),
            ENVIRONMENT: environment_of(span),
        }
        return {**_known(found), **self._given, **self._tags(attributes)}

    def _tags(self, attributes: Attributes) -> dict[str, AttributeValue]:
        """The trace's tags, where the application gave the call some: what is sent last counts."""
        said = attributes.get(stamps.CALL_TAGS)
        if not isinstance(said, (list, tuple)):
            return {}
        given = self._given.get(_TAGS)
        own = [str(tag)[:MAX_LENGTH] for tag in said if not str(tag).startswith("lk.")]
        tags = [*(given if isinstance(given, list) else ()), *own]
        return _known({_TAGS: [*dict.fromkeys(map(str, tags))]})

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


def _prompt(span: Span, shown: Observation) -> dict[str, AttributeValue]:
    """The prompt that a generation was asked with: Langfuse links no other."""
    name = names.text(span.attributes, stamps.PROMPT_NAME)
    if shown.type != "generation" or not name:
        return {}
    version = span.attributes.get(stamps.PROMPT_VERSION)
    return _known({f"{_PROMPT}name": name, f"{_PROMPT}version": version})


def _is_seen(span: Span, shown: Observation) -> bool:
    """Whether a person sees a span, what was logged in it, or one that may be below it."""
    is_inner = span.name in names.INNER or span.name == names.LLM_REQUEST
    is_hidden = shown.level == "DEBUG" and is_inner and span.parent_span_id
    return not is_hidden or any(event.name == stamps.EVENT_LOG for event in span.events)


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
