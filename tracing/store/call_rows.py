"""What a list of calls shows of each, from its spans and cheap to keep up to date."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from fnmatch import fnmatchcase
from typing import NamedTuple

from tracing import names, stamps
from tracing.span import Span, is_believable

_MODELS = (names.REQUEST_MODEL, names.RESPONSE_MODEL)
_CALL_SPANS = frozenset(
    {names.AGENT_SESSION, names.JOB_ENTRYPOINT, names.AGENT_TURN, names.USER_TURN}
)


class CallSummary(NamedTuple):
    """One trace; what no span says is empty."""

    trace_id: str
    session_id: str = ""
    user_id: str = ""
    agent: str = ""
    """The agent's name, or the label of the first agent where it has no name."""
    models: tuple[str, ...] = ()
    """Every model asked for or answering, in alphabetical order."""
    started_unix_nano: int = 0
    """0 where no span has a start that can be believed."""
    ended_unix_nano: int = 0
    """The latest time that any span knows, also while the call lasts."""
    is_call: bool = False
    """Whether LiveKit's spans are in it; other code may trace into the same provider."""

    def matches(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        agent: str | None = None,
        model: str | None = None,
    ) -> bool:
        """Whether it started from `since` and before `until`, and fits the patterns.

        A pattern is as in `gpt-4o*`; models may be named with or without their maker.
        """
        return (
            nanos(since, 0) <= self.started_unix_nano < nanos(until, 2**63)
            and (agent is None or fnmatchcase(self.agent, agent))
            and (model is None or any(_fits(name, model) for name in self.models))
        )


def nanos(moment: datetime | None, default: int) -> int:
    """Nanoseconds since the Unix epoch."""
    return default if moment is None else int(moment.timestamp() * 1e9)


def summarize(spans: Iterable[Span]) -> list[CallSummary]:
    """The traces that the spans belong to, as far as these spans know them."""
    spans_by_trace: dict[bytes, list[Span]] = {}
    for span in spans:
        spans_by_trace.setdefault(span.trace_id, []).append(span)
    return [_summary(of_trace) for of_trace in spans_by_trace.values()]


def merge(one: CallSummary, other: CallSummary) -> CallSummary:
    """One summary of both; where they differ, the one that heard of the call last knows best."""
    earlier, later = sorted((one, other), key=lambda summary: summary.ended_unix_nano)
    return CallSummary(
        trace_id=later.trace_id,
        session_id=later.session_id or earlier.session_id,
        user_id=later.user_id or earlier.user_id,
        agent=later.agent or earlier.agent,
        models=tuple(sorted({*earlier.models, *later.models})),
        started_unix_nano=min(
            earlier.started_unix_nano or later.started_unix_nano,
            later.started_unix_nano or earlier.started_unix_nano,
        ),
        ended_unix_nano=later.ended_unix_nano,
        is_call=earlier.is_call or later.is_call,
    )


def _fits(model: str, pattern: str) -> bool:
    return fnmatchcase(model, pattern) or fnmatchcase(model.rpartition("/")[2], pattern)


def _summary(spans: list[Span]) -> CallSummary:
    # Identity becomes known while a call runs, and is on every span from then on.
    last_first = sorted(spans, key=_latest_time, reverse=True)
    starts = (span.start_time_unix_nano for span in spans)
    of_session = [span for span in last_first if span.name == names.AGENT_SESSION]
    return CallSummary(
        trace_id=spans[0].trace_id.hex(),
        session_id=_first(last_first, stamps.SESSION_ID),
        user_id=_first(last_first, stamps.USER_ID),
        agent=_first(last_first, names.AGENT_NAME) or _first(of_session, names.AGENT_LABEL),
        models=tuple(sorted({m for key in _MODELS for span in spans if (m := _text(span, key))})),
        started_unix_nano=min(filter(is_believable, starts), default=0),
        ended_unix_nano=max(map(_latest_time, spans)),
        is_call=any(span.name in _CALL_SPANS for span in spans)
        and not any(map(goes_on_elsewhere, spans)),
    )


def goes_on_elsewhere(span: Span) -> bool:
    """Whether it is what is left of a call that continues a trace from outside."""
    return stamps.CALL_CONTINUED_IN in span.attributes


def _latest_time(span: Span) -> int:
    times = (span.start_time_unix_nano, span.end_time_unix_nano)
    return max(filter(is_believable, times), default=0)


def _first(spans: list[Span], key: str) -> str:
    return next((found for span in spans if (found := _text(span, key))), "")


def _text(span: Span, key: str) -> str:
    value = span.attributes.get(key, "")
    return value if isinstance(value, str) else str(value)
