"""The turns of a call against its sound: what was heard of each, beside what the account says.

The account of a latency stays as it is. What is measured stands at its two ends: the tail between
the caller's last sound and the last word that LiveKit knows of, and the lead-in between the start
of the agent's speech and its first sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tracing import stamps
from tracing.heard.crosstalk import find_echo, without_echo
from tracing.heard.loudness import STEP_SECONDS, Loudness, decibels
from tracing.heard.voice_activity import CLOSE_SECONDS, Stretch, voice_activity
from tracing.span import Attributes, AttributeValue

SILENCE_SECONDS = 1.0
"""A silence within a reply that is longer is one that a caller wonders about."""

OVERLAP = "overlap: the caller sounded on when the agent began"
SOUND_ON = "the agent sounded already when its turn began"
NO_CALLER = "no sound of the caller was found before the reply"
NO_AGENT = "no sound of the agent was found"
AGAIN = "the caller was heard again before the reply"
CALLER_IN_NOISE = "noise hides the end of the caller's voice"
AGENT_IN_NOISE = "noise hides the start of the agent's voice"
NOT_RECORDED = "the recording does not reach there"
DOES_NOT_ADD_UP = "the account's own times differ"
REASONS = (
    *(OVERLAP, SOUND_ON, NO_CALLER, NO_AGENT, AGAIN),
    *(CALLER_IN_NOISE, AGENT_IN_NOISE, NOT_RECORDED, DOES_NOT_ADD_UP),
)
"""All that `stamps.TURN_HEARD_REASON` may say, with "; " between several."""

_FARTHEST_SECONDS = 2.0
"""How long before the last word the caller's last sound may be."""
_EARLY_SECONDS = 0.1
_SPEECH_SECONDS = 15.0
"""Of what the caller said last, so much tells the level."""


class Turn(NamedTuple):
    """What the account knows of a turn that was heard; seconds since the Unix epoch."""

    began: float
    """When the agent is said to speak."""
    stopped: float
    word: float | None
    """The user's last word; None where the turn answers nobody."""
    latency: float | None
    barged_in: bool

    @classmethod
    def of(cls, stamped: Attributes) -> Turn | None:
        """A turn by its stamps; None where nothing of it was heard."""
        began = _number(stamped, stamps.TURN_AGENT_STARTED)
        if began is None:
            return None
        stopped = _number(stamped, stamps.TURN_AGENT_STOPPED)
        latency = _number(stamped, stamps.TURN_LATENCY)
        word = _number(stamped, stamps.TURN_USER_STOPPED) if latency is not None else None
        barged_in = stamped.get(stamps.TURN_BARGED_IN) is True
        return cls(began, began if stopped is None else stopped, word, latency, barged_in)


class Sound:
    """Both channels of a call, on one clock, and where each sounds."""

    def __init__(self, caller: Loudness, agent: Loudness, began: float) -> None:
        """Measure both; `began` is when they begin, in seconds since the Unix epoch."""
        self.began = began
        self.seconds = max(caller.seconds, agent.seconds)
        self.caller, self.agent = caller, agent
        self.speaking, calling = voice_activity(agent), voice_activity(caller)
        self.echo = find_echo(caller, agent, self.speaking)
        if self.echo is not None:
            self.caller = without_echo(caller, agent, self.echo, calling.floor_db)
            calling = voice_activity(self.caller)
        self.calling = calling

    def heard(self, turn: Turn, after: float = 0.0) -> dict[str, AttributeValue]:
        """What was heard of a turn, as attributes; what cannot be known is absent.

        `after` is when the agent's turn before it stopped, in seconds since the Unix epoch.
        """
        began, stopped = turn.began - self.began, turn.stopped - self.began
        if began < 0 or began > self.seconds:
            return {stamps.TURN_HEARD_REASON: NOT_RECORDED}
        spoken = [s for s in self.speaking.stretches if began < s.end and s.start < stopped]
        if not spoken:
            return {stamps.TURN_HEARD_REASON: NO_AGENT}
        first, reasons = spoken[0], list(_reasons_of_start(spoken[0], began))
        found: dict[str, AttributeValue] = {}
        if SOUND_ON not in reasons:
            found[stamps.TURN_VOICE_LEAD_IN] = first.start - began
        if turn.word is not None:
            found.update(self._wait(turn, first, reasons))
        found.update(self._flow(turn, spoken, stopped))
        found.update(self._levels(turn, spoken, max(after - self.began, 0.0)))
        if reasons:
            found[stamps.TURN_HEARD_REASON] = "; ".join(reasons)
        return found

    def _wait(
        self, turn: Turn, first: Stretch, reasons: list[str]
    ) -> Iterator[tuple[str, AttributeValue]]:
        """The latency that was heard, and the tail of the caller's speech."""
        word = (turn.word or 0.0) - self.began
        before = [s for s in self.calling.stretches if s.start < min(word, first.start)]
        last = before[-1] if before else None
        if word < 0:
            reasons.append(NOT_RECORDED)
        elif last is None or word - last.end > _FARTHEST_SECONDS:
            reasons.append(NO_CALLER)
        elif last.end >= first.start:
            reasons.append(OVERLAP)
        else:
            if any(word <= s.start < first.start for s in self.calling.stretches):
                reasons.append(AGAIN)
            if last.end_doubt > CLOSE_SECONDS:
                reasons.append(CALLER_IN_NOISE)
            yield stamps.TURN_SPEECH_TAIL, word - last.end
            if SOUND_ON not in reasons:
                latency = first.start - last.end
                yield stamps.TURN_HEARD_LATENCY, latency
                told = (turn.latency or 0.0) + (word - last.end) + first.start
                if abs(latency - told + turn.began - self.began) > CLOSE_SECONDS:
                    reasons.append(DOES_NOT_ADD_UP)

    def _flow(
        self, turn: Turn, spoken: Sequence[Stretch], stopped: float
    ) -> Iterator[tuple[str, AttributeValue]]:
        """Silences, both at once, and what followed a barge-in."""
        gaps = [later.start - earlier.end for earlier, later in pairwise(spoken)]
        silences = [gap for gap in gaps if gap > SILENCE_SECONDS]
        if silences:
            yield stamps.TURN_HEARD_SILENCES, len(silences)
            yield stamps.TURN_HEARD_SILENCE, max(silences)
        yield stamps.TURN_HEARD_OVERLAP, _overlap(self.calling.stretches, spoken)
        into = [s for s in self.calling.stretches if spoken[0].start < s.start < spoken[-1].end]
        if turn.barged_in and into:
            yield stamps.TURN_WENT_ON, spoken[-1].end - into[-1].start

    def _levels(
        self, turn: Turn, spoken: Sequence[Stretch], after: float
    ) -> Iterator[tuple[str, AttributeValue]]:
        yield from _level(self.agent, spoken, stamps.TURN_AGENT_LEVEL, stamps.TURN_AGENT_CLIPPED)
        if turn.word is not None:
            word = turn.word - self.began
            since = max(after, word - _SPEECH_SECONDS)
            said = [s for s in self.calling.stretches if since < s.end and s.start < word]
            yield from _level(
                self.caller, said, stamps.TURN_CALLER_LEVEL, stamps.TURN_CALLER_CLIPPED
            )


def heard_of(sound: Sound, turns: Iterable[Attributes]) -> list[dict[str, AttributeValue]]:
    """What was heard of each turn, given by its stamps, in the order of their speech.

    Empty for one of which nothing was to be heard.
    """
    found, after = [], 0.0
    for stamped in turns:
        turn = Turn.of(stamped)
        found.append({} if turn is None else sound.heard(turn, after))
        after = after if turn is None else turn.stopped
    return found


def _reasons_of_start(first: Stretch, began: float) -> Iterator[str]:
    if first.start < began - _EARLY_SECONDS:
        yield SOUND_ON
    elif first.start_doubt > CLOSE_SECONDS:
        yield AGENT_IN_NOISE


def _overlap(one: Iterable[Stretch], other: Sequence[Stretch]) -> float:
    """How long both sound at once."""
    both = (min(a.end, b.end) - max(a.start, b.start) for a in one for b in other)
    return sum((seconds for seconds in both if seconds > 0), 0.0)


def _level(
    channel: Loudness, stretches: Iterable[Stretch], level: str, clipped: str
) -> Iterator[tuple[str, AttributeValue]]:
    """The mean power of stretches of a channel, and how long they were cut off."""
    steps = [slice(round(s.start / STEP_SECONDS), round(s.end / STEP_SECONDS)) for s in stretches]
    if steps:
        power = np.concatenate([channel.power[one] for one in steps])
        yield level, round(float(decibels(power.mean())), 1)
        yield clipped, sum(int(channel.clipped[one].sum()) for one in steps) * STEP_SECONDS


def _number(stamped: Attributes, key: str) -> float | None:
    value = stamped.get(key)
    return float(value) if isinstance(value, (int, float)) else None
