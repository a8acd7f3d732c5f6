"""What was heard of turns, of made calls whose every sound is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.heard.calls import AGENT, BEGAN, CALLER, SECONDS, TURNS, both, turn
from tests.heard.sounds import RATE, Samples, channel, clip, ends, music, noise, placed, tone
from tracing.heard import turns
from tracing.heard.turns import Sound, heard_of

END_OF_SPEECH = 4.0 + ends(clip("hours"))[1]


def heard(samples: Samples, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is heard of turns in a call of these channels; without the prefix of its names."""
    sound = Sound(channel(samples[0]), channel(samples[1]), BEGAN)
    return [
        {key.removeprefix("turn."): value for key, value in found.items()}
        for found in heard_of(sound, told)
    ]


def test_each_turn_is_heard_as_it_was_made() -> None:
    """Tail, account and lead-in add up to what was heard; levels are those of the sounds."""
    greeting, answer, with_silence = heard(both(), TURNS)
    assert greeting == {
        "voice_lead_in_seconds": pytest.approx(0.05, abs=0.006),
        "heard_overlap_seconds": 0.0,
        "agent_level_dbfs": pytest.approx(-13.5, abs=0.5),
        "agent_clipped_seconds": 0.0,
    }
    assert answer["heard_latency_seconds"] == pytest.approx(7.0 - END_OF_SPEECH, abs=0.015)
    assert answer["speech_tail_seconds"] == pytest.approx(6.0 - END_OF_SPEECH, abs=0.015)
    assert with_silence["heard_latency_seconds"] == pytest.approx(1.0, abs=0.015)
    assert with_silence["heard_silences"] == 1
    assert with_silence["heard_longest_silence_seconds"] == pytest.approx(1.5, abs=0.015)
    assert with_silence["caller_level_dbfs"] == pytest.approx(-13.5, abs=0.5)
    for told, found in zip(TURNS[1:], (answer, with_silence), strict=True):
        parts = found["speech_tail_seconds"] + found["voice_lead_in_seconds"]
        account = told["turn.user_bot_latency_seconds"]
        assert found["heard_latency_seconds"] == pytest.approx(account + parts, abs=0.02)
        assert "heard_reason" not in found


_LONG = placed((4.0, tone(4.0)), seconds=SECONDS)
_AGAIN = placed(*CALLER, (6.3, tone(0.2)), seconds=SECONDS)
_SILENT = np.zeros(round(SECONDS * RATE))
_NOISY = placed(*CALLER, seconds=SECONDS) + noise(-38, SECONDS)
_MUSIC = placed(*CALLER, seconds=SECONDS) + music(-25, SECONDS)


@pytest.mark.parametrize(
    ("samples", "told", "reason", "is_known"),
    [
        (both(_LONG), TURNS[1], turns.OVERLAP, False),
        (both(_MUSIC), TURNS[1], turns.OVERLAP, False),
        (both(_SILENT), TURNS[1], turns.NO_CALLER, False),
        (both(agent=_SILENT), TURNS[1], turns.NO_AGENT, False),
        (both(_AGAIN), TURNS[1], turns.AGAIN, True),
        (both(_NOISY), TURNS[1], turns.CALLER_IN_NOISE, True),
        (both(), turn(8.0, 9.0, word=6.0), turns.SOUND_ON, False),
        (both(), turn(30.0, 31.0, word=29.0), turns.NOT_RECORDED, False),
        (both(), turn(-3.0, -2.0, word=-4.0), turns.NOT_RECORDED, False),
        (
            both(),
            {**TURNS[1], "turn.user_bot_latency_seconds": 0.5},
            turns.DOES_NOT_ADD_UP,
            True,
        ),
    ],
)
def test_what_cannot_be_told_has_a_reason(
    samples: Samples, told: dict[str, Any], reason: str, is_known: bool
) -> None:
    """In words, one of those that are listed; and no number is invented."""
    [found] = heard(samples, [told])
    assert found["heard_reason"] == reason
    assert reason in turns.REASONS
    assert ("heard_latency_seconds" in found) is is_known


def test_overlap_and_how_long_the_agent_went_on() -> None:
    """The caller speaks into a reply, which goes on for 0.7 s."""
    caller = placed((4.0, clip("hours")), (8.3, tone(2.0)), seconds=SECONDS)
    told = {**TURNS[1], "turn.barged_in": True}
    [found] = heard(both(caller), [told])
    assert found["heard_overlap_seconds"] == pytest.approx(0.7, abs=0.015)
    assert found["heard_after_barge_in_seconds"] == pytest.approx(0.7, abs=0.015)


def test_clipping_is_told_in_seconds() -> None:
    """Of either side."""
    loud = np.clip(placed(CALLER[1], seconds=SECONDS) * 20, -1, 1)
    [found] = heard(both(loud), [TURNS[2]])
    assert found["caller_clipped_seconds"] == pytest.approx(1.5, abs=0.05)
    assert found["agent_clipped_seconds"] == 0.0


VOICE = tuple((at, clip(name)) for at, name in ((1.0, "chef"), (7.0, "menu"), (14.5, "gift-card")))


@pytest.mark.parametrize(("gain", "delay"), [(-12.0, 0.3), (-20.0, 0.06), (-25.0, 0.12)])
def test_an_echo_of_the_agent_is_none_of_the_callers(gain: float, delay: float) -> None:
    """It is found by its delay and its gain; overlap and latency are as without it."""
    caller, agent = placed(*CALLER, seconds=SECONDS), placed(*VOICE, seconds=SECONDS)
    late = round(delay * RATE)
    echoed = caller + np.pad(agent, (late, 0))[: len(agent)] * 10 ** (gain / 20)
    sound = Sound(channel(echoed), channel(agent), BEGAN)
    assert sound.echo is not None
    assert sound.echo.delay_seconds == pytest.approx(delay, abs=0.011)
    assert sound.echo.gain_db == pytest.approx(gain, abs=2)
    told = [turn(0.95, 3.0), turn(6.97, 9.2, word=6.0), turn(14.45, 17.0, word=13.6)]
    with_echo, without = heard(np.stack([echoed, agent]), told), heard(both(agent=agent), told)
    for found, bare in zip(with_echo, without, strict=True):
        assert found["heard_overlap_seconds"] == pytest.approx(
            bare["heard_overlap_seconds"], abs=0.1
        )
        for key in ("heard_latency_seconds", "speech_tail_seconds"):
            assert found.get(key) == pytest.approx(bare.get(key), abs=0.02)


@pytest.mark.parametrize("caller", [_SILENT, placed(*CALLER, seconds=SECONDS), _NOISY])
def test_two_voices_are_no_echo(caller: Samples) -> None:
    """Nor is silence, nor noise."""
    agent = placed(*VOICE, seconds=SECONDS)
    assert Sound(channel(caller), channel(agent), BEGAN).echo is None


def test_turns_that_were_not_heard_are_left_empty() -> None:
    """A turn without sound of its own, between others; and an empty recording tells of none."""
    first, silent, last = heard(both(), [TURNS[0], {}, TURNS[1]])
    assert (silent, "heard_latency_seconds" in last) == ({}, True)
    assert heard(np.zeros((2, 0)), [TURNS[1]]) == [{"heard_reason": turns.NOT_RECORDED}]
    assert AGENT[0][0] > first["voice_lead_in_seconds"]
