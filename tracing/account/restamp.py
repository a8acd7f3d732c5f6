"""Recorded spans, stamped after the fact as the call stamps live ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tracing import names, stamps
from tracing.account.call import Call
from tracing.account.summary import BUDGET_SECONDS
from tracing.span import STATUS_UNSET, Attributes, Span, is_believable


def restamp(spans: Sequence[Span], *, rebuild_inputs: bool = False) -> list[Span]:
    """The spans of one trace with the stamps that `Call` gives, in the order given.

    A span that is still open is stamped as if it ended when the trace was last heard of; one that
    recovery closed counts as that, and not as failed. What only events could know stays as it was
    recorded. One with a time that cannot be believed gets its other one.
    """
    told = last_heard_of(spans)
    timed = [with_believable_times(span, told) for span in spans]
    by_id = {span.span_id: span for span in timed}
    root = _outermost(timed)
    call = Call(
        session_id=names.first_text(spans, stamps.SESSION_ID)
        or names.first_text(spans, names.CONVERSATION_ID),  # of what was recorded without us
        user_id=names.first_text(spans, stamps.USER_ID),
        budget_seconds=_budget_of(spans),
        clock=None,
        open_span=by_id.get,
        rebuild_inputs=rebuild_inputs,
    )
    begun: set[bytes] = set()
    stamped: dict[bytes, Attributes] = {}

    def without_parent(span: Span) -> Span:
        return span._replace(parent_span_id=b"") if span.span_id == root else span

    def begin(span: Span | None) -> None:
        # A start can be back-dated to before its parent's.
        waiting = []
        while span is not None and span.span_id not in begun:
            begun.add(span.span_id)
            waiting.append(span)
            span = by_id.get(span.parent_span_id)
        for one in reversed(waiting):
            call.started(without_parent(one))

    for span, ends in moments_in_order(timed):
        if ends:
            stamped[span.span_id] = call.ended(as_unfinished(without_parent(span)))
        else:
            begin(span)
    identity = call.identity.attributes
    return [
        span._replace(attributes={**identity, **_kept(span), **stamped[span.span_id]})
        for span in timed
    ]


def _budget_of(spans: Sequence[Span]) -> float:
    """The budget that a session was given, which none of its times can tell."""
    found = (span.attributes.get(_BUDGET) for span in spans if span.name == names.AGENT_SESSION)
    return next((float(one) for one in found if isinstance(one, (int, float))), BUDGET_SECONDS)


def is_stamped(spans: Sequence[Span]) -> bool:
    """Whether a call has stamped these as they ended, so that `restamp` tells a reader no more.

    It has where all have ended at times that can be believed, and each has what only we write on
    spans of its name. A span that is open is stamped as if it ended; one that a dead process left,
    or that an earlier version stamped, misses some.
    """
    return any(span.name in _ALWAYS for span in spans) and all(map(_is_stamped, spans))


def _is_stamped(span: Span) -> bool:
    return (
        is_believable(span.start_time_unix_nano)
        and is_believable(span.end_time_unix_nano)
        and stamps.SESSION_ID in span.attributes
        and _ALWAYS.get(span.name, stamps.SESSION_ID) in span.attributes
    )


def as_unfinished(span: Span) -> Span:
    """The span as it was left, where recovery closed it as an error: its process died, and that
    is no failure of the model or the tool that it is of."""
    if stamps.RECOVERED_REASON not in span.attributes:
        return span
    return span._replace(status_code=STATUS_UNSET, status_message="")


_BUDGET = f"{stamps.CALL}budget_seconds"

_ALWAYS = {
    names.AGENT_SESSION: _BUDGET,
    names.AGENT_TURN: stamps.TURN_KIND,
    names.USER_TURN: stamps.TURN_NUMBER,
}
"""What is stamped on every span of these names."""


def _outermost(spans: Sequence[Span]) -> bytes:
    """The id of the call's root: it has no parent, or the first whose parent is not recorded."""
    recorded = {span.span_id for span in spans}
    tops = [span for span in spans if span.parent_span_id not in recorded]
    tops.sort(key=lambda span: (bool(span.parent_span_id), span.start_time_unix_nano))
    return tops[0].span_id if tops else b""


def with_believable_times(span: Span, otherwise: int) -> Span:
    """The span where its times can be believed, else as an instant: of its other time, if any."""
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    if is_believable(start) and (not end or is_believable(end)):
        return span
    known = next(filter(is_believable, (start, end, otherwise)), otherwise)
    return span._replace(start_time_unix_nano=known, end_time_unix_nano=known if end else 0)


def _kept(span: Span) -> Attributes:
    """What a span was recorded with, but for the parts of a latency, which are a whole."""
    if span.name != names.AGENT_TURN:
        return span.attributes
    found = span.attributes.items()
    return {key: value for key, value in found if not key.startswith(stamps.TURN_PART)}


def moments_in_order(spans: Sequence[Span]) -> Iterator[tuple[Span, bool]]:
    """Each span as it starts and, marked True, as it ends, in the order of time."""
    last = last_heard_of(spans)
    for moment in sorted((m for span in spans for m in _moments(span, last)), key=_order):
        yield moment.span, moment.ends


class _Moment(NamedTuple):
    time_unix_nano: int
    ends: bool
    span: Span


def _moments(span: Span, last: int) -> tuple[_Moment, _Moment]:
    end = span.end_time_unix_nano or last
    closed = span._replace(end_time_unix_nano=end)
    return _Moment(span.start_time_unix_nano, False, span), _Moment(end, True, closed)


def _order(moment: _Moment) -> tuple[int, bool, int]:
    """By time; of spans that end at once, what began last ends first, and the other way round."""
    span = moment.span
    other = span.start_time_unix_nano if moment.ends else span.end_time_unix_nano
    return moment.time_unix_nano, moment.ends, -other


def last_heard_of(spans: Iterable[Span]) -> int:
    """The latest time that any of the spans knows, in nanoseconds since the Unix epoch.

    0 where none knows one that can be believed.
    """
    times = (at for s in spans for at in (s.start_time_unix_nano, s.end_time_unix_nano))
    return max(filter(is_believable, times), default=0)


def first_heard_of(spans: Iterable[Span]) -> int:
    """The earliest start of any of the spans that can be believed; 0 without one."""
    return min(filter(is_believable, (span.start_time_unix_nano for span in spans)), default=0)
