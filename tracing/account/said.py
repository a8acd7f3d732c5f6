"""What was said: by the agent in the steps of a turn, and by the user, aloud or typed; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from tracing import names, stamps
from tracing.span import Attributes, Event

Said: TypeAlias = tuple[int, str]
"""A text, and the start of what said it, in nanoseconds since the Unix epoch."""

_OF_USER = ((stamps.TURN_USER_TEXT,), names.USER_TRANSCRIPT, names.USER_INPUT)


def said_by_agent(
    turn: Attributes, start: int, steps: Iterable[Said], events: Iterable[Event] = ()
) -> list[Said]:
    """The texts of a turn, each with the start of its step, or of the turn if it is all.

    `steps` are what the LLM made in each. Those that the turn's events say were discarded said
    nothing, and of the last one only the turn's attributes tell what was spoken.
    """
    kept = sorted(steps)
    for event in events:
        if event.name == names.EVENT_GENERATION_DISCARDED:
            begun = [step for step in kept if step[0] < event.time_unix_nano]
            if begun:
                kept.remove(begun[-1])
    before = [step for step in kept[:-1] if step[1]]
    last = str(names.first(turn, names.RESPONSE_TEXT) or "")
    return [*before, (kept[-1][0] if before else start, last)] if last else before


def said_by_user(*turns: Attributes) -> str:
    """What the user said or typed, by the first of these attributes of a turn that tell it."""
    for attributes in turns:
        for keys in _OF_USER:
            if text := names.first(attributes, keys):
                return str(text)
    return ""


def only_asked(asked: Iterable[Said], heard: Iterable[Said]) -> list[Said]:
    """The input of the agent's turns, in order, that was not heard: it was typed, as a rule.

    `heard` are the transcripts. One is part of one input, which may answer several of them; or
    a hook made the input shorter.
    """
    found, left = [], sorted(heard)
    for at, text in sorted(asked):
        told = [one for one in left if one[0] <= at and (one[1].strip() in text or text in one[1])]
        if told:
            left = [one for one in left if one not in told]
        else:
            found.append((at, text))
    return found
