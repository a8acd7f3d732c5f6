"""Where a turn's time went: consecutive parts that add up to the measured latency.

Every instant between the user's last word and the agent's first sound belongs to the most
upstream stage that is still running then, because everything after it waits for it. An instant
in which no known stage runs is `unaccounted`. docs/latency.md has the definitions and a picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tracing import names, stamps
from tracing.account.turns.stages import Stage, Stages
from tracing.account.turns.turn import Turn, named
from tracing.span import Attributes, AttributeValue

UNACCOUNTED = "unaccounted"

_DECIDING = frozenset({"turn_decision", "on_user_turn_completed"})
_WORKING = frozenset({"llm_step", "llm_first_token", "tts_first_audio"})


def account(turn: Turn, kind: str, budget_seconds: float) -> dict[str, AttributeValue]:
    """A turn's latency, the parts that add up to it, and the overlap gained."""
    sound = turn.first_sound
    if sound is None:
        return {}
    word = _last_word(turn, kind, sound)
    start = min(turn.span.start_time_unix_nano if word is None else word, sound)
    found = list(Stages(turn, start, sound, kind=kind, after_speech=word is not None))
    stamped: dict[str, AttributeValue] = {
        stamps.TURN_PART + name: seconds for name, seconds in split(start, sound, found).items()
    }
    if word is None:
        stamped[stamps.TURN_FIRST_OUTPUT] = (sound - start) / 1e9
        return stamped
    latency = (sound - start) / 1e9 if turn.measured is None else turn.measured
    stamped[stamps.TURN_USER_STOPPED] = start / 1e9
    stamped[stamps.TURN_LATENCY] = latency
    stamped[stamps.TURN_OVER_BUDGET] = latency > budget_seconds
    overlap = _overlap(found)
    if overlap > 0:
        stamped[stamps.TURN_OVERLAP] = overlap
    return stamped


def split(start: int, end: int, stages: Sequence[Stage]) -> dict[str, float]:
    """Divide the time from `start` to `end` among stages given upstream first, in seconds.

    A stage that ran but held nothing up is 0.0. The parts are never negative, and add up to
    the whole.
    """
    end = max(start, end)
    cuts = {start, end}
    cuts.update([at for stage in stages for at in stage[1:] if start < at < end])
    nanos = {stage.name: 0 for stage in stages}
    for left, right in itertools.pairwise(sorted(cuts)):
        owner = UNACCOUNTED
        for name, begun, ended in stages:
            if begun <= left and right <= ended:
                owner = name
                break
        nanos[owner] = nanos.get(owner, 0) + right - left
    return {name: value / 1e9 for name, value in nanos.items()}


def parts_of(attributes: Attributes) -> dict[str, float]:
    """The parts of a stamped turn by name, in seconds."""
    prefix = stamps.TURN_PART
    return {
        key[len(prefix) :]: float(value)
        for key, value in attributes.items()
        if key.startswith(prefix) and isinstance(value, (int, float))
    }


def _last_word(turn: Turn, kind: str, sound: int) -> int | None:
    """When the user that this turn answers stopped speaking."""
    if turn.measured is not None:
        return turn.last_word
    if kind != "reply" or not named(turn.steps, names.REALTIME_INFERENCE):
        return None
    ends = [s.end_time_unix_nano for s in named(turn.user, names.USER_SPEAKING)]
    return max((end for end in ends if end <= sound), default=None)


def _overlap(found: Sequence[Stage]) -> float:
    """The seconds that the LLM and the TTS had worked before the turn was decided."""
    settled = max((s.end for s in found if s.name in _DECIDING), default=0)
    done = [min(s.end, settled) - s.start for s in found if s.name in _WORKING]
    return sum(seconds for seconds in done if seconds > 0) / 1e9
