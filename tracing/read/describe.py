"""A recorded call as one object: what the report prints as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracing import names, stamps
from tracing.account.restamp import last_heard_of
from tracing.account.said import said_by_user
from tracing.account.summary import Summary, from_attributes
from tracing.account.turns.latency import parts_of
from tracing.account.turns.turn import by_name, failures, tools
from tracing.read.tree import Tree, agent_said, known
from tracing.span import Attributes, Span


def describe(spans: Sequence[Span]) -> dict[str, Any]:
    """One call (the spans of one trace) as the report's JSON object.

    What is unknown is absent. The keys:

    - `trace_id`: 32 hex digits; `session_id`; `user_id`; `agent`: its name, else its label.
    - `started_at`: ISO 8601 in UTC; `duration_seconds`: until the last that was heard of it.
    - `summary`: the `call.*` attributes of `agent_session` without the prefix. `errors` (counts
      by stage), `options`, `vad` are objects; `usage` is a list of LiveKit's `*ModelUsage`.
    - `turns`, in order, each with `number`, `kind`, `user_text`, `agent_text`,
      `user_bot_latency_seconds` or `first_output_seconds`, `parts` (name to seconds; together
      the latency), `interrupted`, `barged_in`, `tools` (`name`, `duration_seconds`, `is_error`,
      and `error`, what the model was told), `errors` (`stage`, and `message` where a span has
      one), `error` (what failed for good), and the other `turn.*` attributes without the prefix,
      groups as objects (`stt`, `eou`).
    """
    tree = Tree(spans)
    turns, user_turns = tree.named(names.AGENT_TURN), tree.named(names.USER_TURN)
    sessions = tree.named(names.AGENT_SESSION)
    agent = names.first_text(tree.spans, names.AGENT_NAME)
    described = {
        **tree.identity,
        "agent": agent or names.first_text(sessions, names.AGENT_LABEL),
        "started_at": tree.started_at,
        "duration_seconds": (last_heard_of(tree.spans) - tree.start_time_unix_nano) / 1e9,
        "summary": _summary(sessions, turns),
        "turns": [_describe_turn(turn, tree.inside(turn), user_turns) for turn in turns],
    }
    return known(described)


def _summary(sessions: Sequence[Span], turns: Sequence[Span]) -> dict[str, Any]:
    """The session's summary, or that of all turns where sessions are several or none."""
    summaries = [from_attributes(session.attributes) for session in sessions]
    if len(summaries) == 1:
        return summaries[0]
    whole = Summary()
    for turn in turns:
        whole.add_turn(turn.attributes)
    for summary in summaries:
        for used in summary.get("usage", ()):
            whole.add_usage(used)
    return whole.numbers()


def _describe_turn(
    turn: Span, inside: Sequence[Span], user_turns: Sequence[Span]
) -> dict[str, Any]:
    attributes = turn.attributes
    described = _grouped(attributes)
    described.update(
        user_text=_user_text(turn, user_turns) or None,
        agent_text=" ".join(text for _, text in agent_said(turn, inside)) or None,
        parts=parts_of(attributes) or None,
        interrupted=described.pop("was_interrupted", None),
        tools=_tools(inside) or None,
        errors=_errors(turn, inside) or None,
    )
    return known(described)


def _grouped(attributes: Attributes) -> dict[str, Any]:
    """A turn's stamps without their prefix, `turn.stt.x` as `stt: {x}`."""
    found: dict[str, Any] = {}
    for key, value in attributes.items():
        if key.startswith(stamps.TURN) and not key.startswith(
            (stamps.TURN_PART, stamps.TURN_ERRORS)
        ):
            group, _, field = key[len(stamps.TURN) :].partition(".")
            if field:
                found.setdefault(group, {})[field] = value
            else:
                found[group] = value
    return found


def _user_text(turn: Span, user_turns: Sequence[Span]) -> str:
    """What the user said or typed: as the turn has it, else the transcript before it."""
    text = said_by_user(turn.attributes)
    if text or turn.attributes.get(stamps.TURN_KIND) != "reply":
        return text
    start = turn.start_time_unix_nano
    heard = [span for span in user_turns if span.start_time_unix_nano <= start]
    return said_by_user(heard[-1].attributes) if heard else ""


def _tools(inside: Sequence[Span]) -> list[dict[str, Any]]:
    called = [span for span in inside if span.name == names.FUNCTION_TOOL]
    described = tools(called)
    for tool, span in zip(described, called, strict=True):
        if tool["is_error"] and (output := names.first(span.attributes, names.TOOL_OUTPUT)):
            tool["error"] = output
    return described


def _errors(turn: Span, inside: Sequence[Span]) -> list[dict[str, Any]]:
    """The failed attempts with their messages; of stages without spans only the stage."""
    found = []
    counts = {
        key[len(stamps.TURN_ERRORS) :]: int(str(value))
        for key, value in turn.attributes.items()
        if key.startswith(stamps.TURN_ERRORS)
    }
    for stage, count in counts.items():
        failed = failures(by_name(inside), stage)
        found += [known({"stage": stage, "message": _message(span)}) for span in failed]
        found += [{"stage": stage}] * (count - len(failed))
    return found


def _message(span: Span) -> str | None:
    """Why a span failed."""
    for event in span.events:
        if message := names.text(event.attributes, names.EXCEPTION_MESSAGE):
            return message
    return span.status_message or names.text(span.attributes, names.ERROR_TYPE) or None
