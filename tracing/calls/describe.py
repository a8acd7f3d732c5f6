"""A recorded call as one object: what the report prints as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracing import names, stamps
from tracing.account.restamp import last_heard_of
from tracing.account.said import Asked, Said, asked_by, is_of
from tracing.account.summary import Summary, from_attributes
from tracing.account.turns.latency import parts_of
from tracing.account.turns.turn import by_name, failures, tools
from tracing.calls.application import ABOUT_KEYS, about
from tracing.calls.tree import (
    Tree,
    agent_said,
    is_discarded,
    is_unfinished,
    known,
    unanswered,
    user_said,
)
from tracing.span import Attributes, Span


def describe(tree: Tree) -> dict[str, Any]:
    """One call as the report's JSON object.

    What is unknown is absent. The keys:

    - `trace_id`: 32 hex digits; `session_id`; `user_id`; `user_ids`, where there were several
      users; `agent`: its name, else its label.
    - `tags`, `metadata`, `outcome`, `outcome_reason`, `scores`: see `application.about`.
    - `started_at`: ISO 8601 in UTC; `duration_seconds`: until the last that was heard of it.
    - `summary`: the `call.*` attributes of `agent_session` without the prefix. `errors` (counts
      by stage), `options`, `vad` are objects; `usage` is a list of LiveKit's `*ModelUsage`.
    - `log`: how many `warnings` and `errors` were logged; absent while the job's root is open.
    - `turns`, in order, each with `number`, `kind`, `user_id` (where there were several),
      `user_text`, `agent_text`,
      `user_bot_latency_seconds` or `first_output_seconds`, `parts` (name to seconds; together
      the latency), `interrupted`, `barged_in`, `tools` (`name`, `is_error`,
      `duration_seconds` of one that ended, `is_unfinished` of one whose process ended first,
      and `error`, what the model was told), `errors` (`stage`, and `message` where a span has
      one), `error` (what failed for good), `is_open` (it goes on), `is_unfinished`
      (the process ended first), and the other `turn.*`
      attributes without the prefix, groups as objects (`stt`, `eou`). What the user said and no
      turn of the agent answers is one of kind `unanswered`, with `user_text` and
      `user_started_speaking_at` alone.
    """
    turns = tree.named(names.AGENT_TURN)
    sessions = tree.named(names.AGENT_SESSION)
    agent = names.first_text(tree.spans, names.AGENT_NAME)
    described = {
        **tree.identity,
        "agent": agent
        or names.first_text(sessions, names.AGENT_LABEL)
        or names.first_text(tree.spans, stamps.FIRST_AGENT),  # of a session that has not ended
        **about(tree.spans),
        "started_at": tree.started_at,
        "duration_seconds": (last_heard_of(tree.spans) - tree.start_time_unix_nano) / 1e9,
        "summary": _summary(sessions, turns, tree.named(names.JOB_ENTRYPOINT)),
        "log": _log_counts(tree.named(names.JOB_ENTRYPOINT)),
        "turns": _describe_turns(tree, turns, sessions),
    }
    return known(described)


def _log_counts(jobs: Sequence[Span]) -> dict[str, int] | None:
    """Over the jobs that say so; None where none does."""
    counts = [
        (job.attributes[stamps.CALL_LOG_WARNINGS], job.attributes.get(stamps.CALL_LOG_ERRORS))
        for job in jobs
        if stamps.CALL_LOG_WARNINGS in job.attributes
    ]
    known_counts = [(w, e) for w, e in counts if isinstance(w, int) and isinstance(e, int)]
    if not known_counts:
        return None
    warnings, errors = (sum(each) for each in zip(*known_counts, strict=True))
    return {"warnings": warnings, "errors": errors}


def _summary(
    sessions: Sequence[Span], turns: Sequence[Span], jobs: Sequence[Span]
) -> dict[str, Any]:
    """The session's summary, or that of all turns where sessions are several or none.

    The usage is that of the job too, which knows of what was used after a session.
    """
    summaries = [_without_words(from_attributes(session.attributes)) for session in sessions]
    whole = Summary()
    for turn in turns:
        whole.add_turn(turn.attributes)
    for summary in (*summaries, *(from_attributes(job.attributes) for job in jobs)):
        for used in summary.get("usage", ()):
            whole.add_usage(used)
    numbers = whole.numbers()
    if len(summaries) != 1:
        return numbers
    return {**summaries[0], **({"usage": numbers["usage"]} if "usage" in numbers else {})}


def _without_words(summary: dict[str, Any]) -> dict[str, Any]:
    """A session's numbers, without what the application said where that is the root."""
    return {key: value for key, value in summary.items() if key not in ABOUT_KEYS}


def _describe_turns(
    tree: Tree, turns: Sequence[Span], sessions: Sequence[Span]
) -> list[dict[str, Any]]:
    """The agent's turns by start, and between them what the user said in vain."""
    heard = user_said(tree.named(names.USER_TURN))
    asked = {turn.span_id: asked_by(turn) for turn in turns if not is_discarded(turn)}
    found = [
        (
            turn.start_time_unix_nano,
            {
                **_describe_turn(turn, tree.inside(turn), _user_text(turn, asked, heard)),
                **_whose(turn, tree.users),
            },
        )
        for turn in turns
    ]
    in_vain = [said for said in heard if not any(is_of(said, one) for one in asked.values())]
    for at, text in (*in_vain, *unanswered(sessions, heard)):
        said = {"kind": "unanswered", "user_text": text, "user_started_speaking_at": at / 1e9}
        found.append((at, said))
    described = [one for _, one in sorted(found, key=lambda one: one[0])]
    if described and described[-1]["kind"] == "unanswered" and any(map(is_unfinished, sessions)):
        described[-1]["is_unfinished"] = True
    return described


def _whose(turn: Span, users: Sequence[str]) -> dict[str, str]:
    """The user of a turn, where the call had several."""
    user = names.text(turn.attributes, stamps.USER_ID)
    return {"user_id": user} if user and len(users) > 1 else {}


def _describe_turn(turn: Span, inside: Sequence[Span], user_text: str | None) -> dict[str, Any]:
    attributes = turn.attributes
    described = _grouped(attributes)
    described.update(
        user_text=user_text,
        agent_text=_agent_text(turn, inside),
        parts=parts_of(attributes) or None,
        interrupted=described.pop("was_interrupted", None),
        refused_tools=None,
        is_open=turn.is_open or None,
        is_unfinished=is_unfinished(turn) or None,
        tools=_tools(inside, attributes.get(stamps.TURN_REFUSED_TOOLS)) or None,
        errors=_errors(turn, inside) or None,
    )
    return known(described)


def _agent_text(turn: Span, inside: Sequence[Span]) -> str | None:
    if is_discarded(turn):
        return None
    return " ".join(text for _, text in agent_said(turn, inside)) or None


def _grouped(attributes: Attributes) -> dict[str, Any]:
    """A turn's stamps without their prefix, `turn.stt.x` as `stt: {x}`."""
    found: dict[str, Any] = {}
    for key, value in attributes.items():
        if key.startswith(stamps.TURN) and not key.startswith(
            (stamps.TURN_PART, stamps.TURN_ERRORS)
        ):
            group, _, field = key[len(stamps.TURN) :].partition(".")
            if not field:
                found.setdefault(group, value)
            elif isinstance(fields := found.setdefault(group, {}), dict):
                fields[field] = value
    return found


def _user_text(turn: Span, asked: Mapping[bytes, Asked], heard: Sequence[Said]) -> str | None:
    """What the user said or typed: as the turn has it, else as it was heard.

    What several turns answer, such as two agents' of which one handed over, is that one's which
    has it as its input.
    """
    own = asked.get(turn.span_id)
    if own is None or own.text:
        return own.text if own else None
    others = [other for other in asked.values() if other.text]
    for said in heard:
        if is_of(said, own) and not any(is_of(said, other) for other in others):
            return said[1]
    return None


def _tools(inside: Sequence[Span], refused: object) -> list[dict[str, Any]]:
    called = [span for span in inside if span.name == names.FUNCTION_TOOL]
    described = tools(called, refused)
    for tool, span in zip(described, called, strict=False):
        if tool["is_error"]:
            tool["error"] = names.why_tool_failed(span.attributes)
        if span.is_open or is_unfinished(span):
            del tool["duration_seconds"]  # until the last record: it may have run on
        if is_unfinished(span):
            tool["is_unfinished"] = True
    return described


def _errors(turn: Span, inside: Sequence[Span]) -> list[dict[str, Any]]:
    """The failed attempts with their messages; of stages without spans only the stage."""
    found = []
    counts = {
        key[len(stamps.TURN_ERRORS) :]: value
        for key, value in turn.attributes.items()
        if key.startswith(stamps.TURN_ERRORS) and isinstance(value, int)
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
