"""What was said: by the agent in the steps of a turn, and by the user, aloud or typed; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from tracing import names, stamps
from tracing.account.turns.turn import are_same_words, discarded, number
from tracing.span import Attributes, Event, Span

Said: TypeAlias = tuple[int, str]
"""A text, and the start of what said it, in nanoseconds since the Unix epoch."""

_OF_USER = ((stamps.TURN_USER_TEXT,), names.USER_TRANSCRIPT, names.USER_INPUT)
_SAME_SPEECH_NANOS = 1_000_000_000
_SAME_START_NANOS = 1_000
"""Seconds since the epoch in a double are no more exact than that."""


class Asked(NamedTuple):
    """What a turn of the agent answers; times in nanoseconds since the Unix epoch."""

    at: int
    """When the turn began."""
    text: str
    """Its input; empty where it has none of its own."""
    since: int | None = None
    """When the user began to speak, where the turn answers speech."""


def said_by_agent(
    turn: Attributes,
    start: int,
    steps: Iterable[Said],
    events: Iterable[Event] = (),
    speaking: Sequence[int] = (),
) -> list[Said]:
    """The texts of a turn, each with the start of its step, or of the turn if it is all.

    `steps` are what the LLM made in each, `speaking` when the agent began to be heard. A step
    that was discarded, or in which nobody was heard, said nothing, and of the last one only the
    turn's attributes tell what was heard.
    """
    made = sorted(steps)
    given_up = discarded((at for at, _ in made), events)
    heard = _heard([step for step in made if step[0] not in given_up], speaking)
    before = [step for step in heard[:-1] if step[1]]
    last = str(names.first(turn, names.RESPONSE_TEXT) or "")
    return [*before, (heard[-1][0] if before else start, last)] if last else before


def when_spoken(said: Iterable[Said], speaking: Iterable[int]) -> list[Said]:
    """The same texts, each with the time from which it was heard, where that is known."""
    begun = sorted(speaking)
    return [(next((time for time in begun if time >= at), at), text) for at, text in said]


def _heard(steps: Sequence[Said], speaking: Sequence[int]) -> Sequence[Said]:
    """The steps during which the agent began to be heard; all, where nothing tells of it."""
    ends = [*(at for at, _ in steps[1:]), max(speaking, default=0) + 1]
    return [
        step
        for step, end in zip(steps, ends, strict=False)
        if not speaking or any(step[0] <= at < end for at in speaking)
    ]


def said_by_user(*turns: Attributes) -> str:
    """What the user said or typed, by the first of these attributes of a turn that tell it."""
    for attributes in turns:
        for keys in _OF_USER:
            if text := names.first(attributes, keys):
                return str(text)
    return ""


def asked_by(turn: Span) -> Asked:
    """What a stamped turn answers."""
    text = said_by_user(turn.attributes).strip()
    since = number(turn.attributes.get(stamps.TURN_USER_STARTED))
    return Asked(turn.start_time_unix_nano, text, None if since is None else round(since * 1e9))


def said_in_vain(session: Span) -> list[Said]:
    """What a session's events say that the user said and no turn answered."""
    found = (e for e in session.events if e.name == stamps.EVENT_UNANSWERED)
    texts = ((e.time_unix_nano, said_by_user(e.attributes).strip()) for e in found)
    return [(at, text) for at, text in texts if text]


def unheard(said: Iterable[Said], heard: Sequence[Said]) -> list[Said]:
    """What was said, without what the transcripts have as well."""
    return [
        (at, text)
        for at, text in said
        if not any(abs(at - begun) < _SAME_SPEECH_NANOS and text == one for begun, one in heard)
    ]


def only_asked(asked: Iterable[Asked], heard: Iterable[Said]) -> list[Said]:
    """The input of the agent's turns, in order, that was not heard: it was typed, as a rule.

    `heard` are the transcripts. One is part of one input, which may answer several of them; or
    a hook made the input another one.
    """
    found, turns, left = [], sorted(asked, key=_order), sorted(heard)
    known = {one for one in turns if any(_is_input(speech, one) for speech in left)}
    left = [speech for speech in left if not any(_began(speech, one) for one in known)]
    for one in turns:
        told = [speech for speech in left if is_of(speech, one)]
        left = [speech for speech in left if speech not in told]
        if one.text and not told and one not in known:
            found.append((min(one.at, one.since or one.at), one.text))
    return found


def is_of(speech: Said, asked: Asked) -> bool:
    """Whether a turn answers this speech."""
    at, text = speech
    if _began(speech, asked):
        return True
    return at <= asked.at and bool(asked.text) and are_same_words(text, asked.text)


def _is_input(speech: Said, asked: Asked) -> bool:
    """Whether this speech, and none that came during the turn, is what the turn began with."""
    if not asked.text or not _began(speech, asked):
        return False
    return speech[0] <= asked.at or are_same_words(speech[1], asked.text)


def _began(speech: Said, asked: Asked) -> bool:
    return asked.since is not None and abs(speech[0] - asked.since) < _SAME_START_NANOS


def _order(asked: Asked) -> tuple[int, str]:
    return asked.at, asked.text
