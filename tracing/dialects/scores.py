"""What Langfuse charts: numbers and labels of turns and calls, read off their spans.

`SCORES` names every one of them. A score's id comes from what it is about and its name, so that
a span delivered twice, or a call replayed, sets the same score again and makes no second one.
"""

from __future__ import annotations

import json
import math
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, Literal, NamedTuple

from tracing import names, stamps
from tracing.dialects.langfuse import ENVIRONMENT, environment_of, valid_environment
from tracing.dialects.observed import to_the_millionth
from tracing.span import Attributes, AttributeValue, Span
from tracing.stamps import CALL

DataType = Literal["NUMERIC", "BOOLEAN", "CATEGORICAL"]
Chosen = Literal["default", "all"]

MAX_COMMENT = 1000
MAX_NAME = 200
_IDS = uuid.UUID("8c8f9b0e-6d0c-5d0f-9a55-0d7f5c1b2a31")


class Score(NamedTuple):
    """One score of a turn (an observation) or of a call (a trace)."""

    name: str
    value: float | str
    data_type: DataType
    comment: str = ""
    said_at: float = 0.0
    """When the application gave it, in seconds since the Unix epoch; 0 for a measurement."""


class Row(NamedTuple):
    """One line of the table: where a score comes from."""

    score: str
    """Its name in Langfuse; `*` stands for what is read with it."""
    span: str
    attribute: str
    data_type: DataType
    is_default: bool
    """Whether it is sent unless scores are off; the others are sent with `scores="all"`."""
    read: Callable[[Row, Span], Iterator[Score]]


def _value(row: Row, span: Span) -> Iterator[Score]:
    """The attribute as it is."""
    value = span.attributes.get(row.attribute)
    if value is not None:
        yield Score(row.score, _number(value), row.data_type)


def _each(row: Row, span: Span) -> Iterator[Score]:
    """Every attribute with the row's attribute as its prefix."""
    for key, value in span.attributes.items():
        if key.startswith(row.attribute):
            name = row.score.replace("*", key[len(row.attribute) :])
            yield Score(name, _number(value), row.data_type)


def _tool_failures(row: Row, span: Span) -> Iterator[Score]:
    """A count that is absent where it is zero: said for every call that used a tool."""
    if span.attributes.get(CALL + "tool_calls"):
        yield Score(row.score, _number(span.attributes.get(row.attribute, 0)), row.data_type)


def _judged(row: Row, span: Span) -> Iterator[Score]:
    """The verdict of one of LiveKit's LLM judges, which leaves a span."""
    judge, verdict = _texts(span, names.EVALUATION_NAME, row.attribute)
    [comment] = _texts(span, names.EVALUATION_EXPLANATION)
    if judge and verdict:
        yield Score(row.score.replace("*", judge), verdict, row.data_type, comment)


def _evaluations(row: Row, span: Span) -> Iterator[Score]:
    """The verdicts of all judges, those that ask no LLM included."""
    [text] = _texts(span, row.attribute)
    try:
        judged = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return
    for found in judged if isinstance(judged, list) else ():
        if not isinstance(found, dict):
            continue
        judge, verdict = found.get("name"), found.get("verdict")
        if judge and verdict:
            comment = str(found.get("reasoning") or "")
            yield Score(row.score.replace("*", judge), str(verdict), row.data_type, comment)


def _outcome(row: Row, span: Span) -> Iterator[Score]:
    """Whether the call reached its goal, as the agent's code said."""
    outcome, reason = _texts(span, row.attribute, stamps.CALL_OUTCOME_REASON)
    if outcome:
        yield Score(row.score, outcome, row.data_type, reason)


def _tags(row: Row, span: Span) -> Iterator[Score]:
    """`language:es` as the label `es` of `tag.language`; a tag without a value as `true`."""
    tags = span.attributes.get(row.attribute)
    for tag in tags if isinstance(tags, list) else ():
        name, _, value = str(tag).partition(":")
        if not name.startswith(("lk.success", "lk.fail", "lk.judge.")):  # said by other rows
            yield Score(row.score.replace("*", name), value or "true", row.data_type)


_TURN, _CALL, _JOB = names.AGENT_TURN, names.AGENT_SESSION, names.JOB_ENTRYPOINT
_JUDGE, _HEARD = names.JUDGE_EVALUATION, stamps.HEARD

SCORES: tuple[Row, ...] = (
    Row("turn_latency_seconds", _TURN, stamps.TURN_LATENCY, "NUMERIC", True, _value),
    Row("turn_heard_latency", _TURN, stamps.TURN_HEARD_LATENCY, "NUMERIC", True, _value),
    Row("turn_heard_latency", _HEARD, stamps.TURN_HEARD_LATENCY, "NUMERIC", True, _value),
    Row("turn_speech_tail", _TURN, stamps.TURN_SPEECH_TAIL, "NUMERIC", False, _value),
    Row("turn_speech_tail", _HEARD, stamps.TURN_SPEECH_TAIL, "NUMERIC", False, _value),
    Row("turn_voice_lead_in", _TURN, stamps.TURN_VOICE_LEAD_IN, "NUMERIC", False, _value),
    Row("turn_voice_lead_in", _HEARD, stamps.TURN_VOICE_LEAD_IN, "NUMERIC", False, _value),
    Row("turn_first_output_seconds", _TURN, stamps.TURN_FIRST_OUTPUT, "NUMERIC", False, _value),
    Row("turn_part_seconds.*", _TURN, stamps.TURN_PART, "NUMERIC", False, _each),
    Row("turn_over_budget", _TURN, stamps.TURN_OVER_BUDGET, "BOOLEAN", False, _value),
    Row("turn_barged_in", _TURN, stamps.TURN_BARGED_IN, "BOOLEAN", False, _value),
    Row(
        "call_within_budget_share",
        _CALL,
        CALL + "within_budget_share",
        "NUMERIC",
        True,
        _value,
    ),
    Row("call_interruption_rate", _CALL, CALL + "barge_in_rate", "NUMERIC", True, _value),
    Row("call_tool_failures", _CALL, CALL + "tool_failures", "NUMERIC", True, _tool_failures),
    Row(
        "call_latency_p50_seconds",
        _CALL,
        CALL + "latency_p50_seconds",
        "NUMERIC",
        False,
        _value,
    ),
    Row(
        "call_latency_p95_seconds",
        _CALL,
        CALL + "latency_p95_seconds",
        "NUMERIC",
        False,
        _value,
    ),
    Row("call_turns", _CALL, CALL + "turns", "NUMERIC", False, _value),
    Row("call_errors.*", _CALL, stamps.CALL_ERRORS, "NUMERIC", False, _each),
    Row("judge.*", _JUDGE, names.EVALUATION_LABEL, "CATEGORICAL", True, _judged),
    Row("judge.*", _JOB, stamps.CALL_EVALUATIONS, "CATEGORICAL", True, _evaluations),
    Row("outcome", _JOB, stamps.CALL_OUTCOME, "CATEGORICAL", True, _outcome),
    Row("outcome", _CALL, stamps.CALL_OUTCOME, "CATEGORICAL", True, _outcome),
    Row("tag.*", _JOB, stamps.CALL_TAGS, "CATEGORICAL", False, _tags),
)
"""Every score. Those of `agent_turn`, and of what was heard of one, are its observation's, the
others the whole trace's."""


def scores_of(span: Span, chosen: Chosen = "default") -> list[Score]:
    """The scores that a span tells, by the table; numbers that are none are left out.

    What the application gave is on the call's root, whatever span that is.
    """
    rows = (r for r in SCORES if r.span == span.name and (r.is_default or chosen == "all"))
    found = [score for row in rows for score in row.read(row, span)] + given(span.attributes)
    return [s for s in found if isinstance(s.value, str) or math.isfinite(s.value)]


def scores_dialect(environment: str | None = None) -> Callable[[Span], Span | None]:
    """The dialect of the scores' delivery: spans of the table, in the trace's environment."""
    label = valid_environment(environment or "")

    def scored_only(span: Span) -> Span | None:
        is_known = span.name in _SCORED and (span.name == _HEARD) == _is_heard(span)
        if not is_known and stamps.CALL_SCORES not in span.attributes:
            return None
        if not label:
            return span
        return span._replace(attributes={ENVIRONMENT: label, **span.attributes})

    return scored_only


def _is_heard(span: Span) -> bool:
    """Whether it is ours that tells of the turn above it, and no other span of that name."""
    return span.scope_name == stamps.HEARD_SCOPE


def _about(span: Span) -> bytes:
    """The observation that a span's scores are of; empty for the whole trace."""
    if span.name == _HEARD:
        return span.parent_span_id
    return span.span_id if span.name == _TURN else b""


_SCORED = frozenset(row.span for row in SCORES)


def documents_of(span: Span, *, chosen: Chosen = "default") -> list[dict[str, Any]]:
    """A span's scores as the bodies of `POST /api/public/scores`."""
    common: dict[str, Any] = {"traceId": span.trace_id.hex()}
    if about := _about(span):
        common["observationId"] = about.hex()
    if where := environment_of(span):
        common["environment"] = where
    times: Counter[str] = Counter()
    found = []
    for score in scores_of(span, chosen):
        times[score.name] += 1
        found.append(_document(score, span, common, times[score.name]))
    return found


def given(attributes: Attributes) -> list[Score]:
    """What the application gave, `current_call().score`: numbers, booleans, categories."""
    text = names.text(attributes, stamps.CALL_SCORES)
    try:
        listed = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return []
    found = (_given(one) for one in listed if isinstance(one, dict)) if listed else ()
    return [score for score in found if score is not None]


def _given(said: Mapping[str, Any]) -> Score | None:
    name, value, at = said.get("name"), said.get("value"), said.get("time")
    if not isinstance(name, str) or not isinstance(at, float):
        return None
    if not isinstance(value, (bool, int, float, str)):
        return None
    number = int(value) if isinstance(value, bool) else value
    return Score(name, number, _TYPES[type(value)], str(said.get("comment") or ""), at)


_TYPES: Mapping[type, DataType] = {
    bool: "BOOLEAN",
    int: "NUMERIC",
    float: "NUMERIC",
    str: "CATEGORICAL",
}


def _timestamp(seconds: float) -> str:
    """A time since the Unix epoch as Langfuse takes it."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _document(score: Score, span: Span, common: Mapping[str, Any], time: int) -> dict[str, Any]:
    """A score as a body; `time` counts those that the application gave under one name."""
    name = score.name[:MAX_NAME]
    # A verdict comes by the judge's span and by the job's: both set one score of the trace.
    about = b"" if span.name in (_JUDGE, _JOB) else _about(span) or span.span_id
    again = f" {time}" if score.said_at and time > 1 else ""
    score_id = uuid.uuid5(_IDS, f"{span.trace_id.hex()} {about.hex()} {name}{again}")
    document = {
        "id": str(score_id),
        **common,
        "timestamp": _timestamp(score.said_at or span.end_time_unix_nano / 1e9),
        "name": name,
        "value": score.value,
        "dataType": score.data_type,
    }
    if score.comment:
        document["comment"] = score.comment[:MAX_COMMENT]
    return document


def _number(value: AttributeValue) -> float:
    """A measurement; what is none becomes one that is left out."""
    if isinstance(value, (bool, int, float)):
        return int(value) if isinstance(value, bool) else to_the_millionth(value)
    return math.nan


def _texts(span: Span, *keys: str) -> list[str]:
    return [names.text(span.attributes, key) for key in keys]
