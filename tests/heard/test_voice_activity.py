"""Where sounds begin and end, of made signals with known ends."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.heard.sounds import AT, Made, channel, clip, music, noise, placed, table, tone
from tracing.heard.loudness import Loudness
from tracing.heard.voice_activity import CLOSE_SECONDS, Activity, voice_activity

HALF_A_STEP = 0.0025
_MADE = list(table())


def found_in(made: Made) -> tuple[float, float, float, float]:
    """The errors of both ends, and the doubt in which each is."""
    stretches = voice_activity(channel(made.samples)).stretches
    first, last = stretches[0], stretches[-1]
    return first.start - made.start, last.end - made.end, first.start_doubt, last.end_doubt


@pytest.mark.parametrize("made", _MADE, ids=lambda made: made.name)
def test_an_end_is_found_within_20_ms_or_said_to_be_in_doubt(made: Made) -> None:
    """Each end on its own; prints its error."""
    start, end, start_doubt, end_doubt = found_in(made)
    sys.stdout.write(
        f"{made.name:36} start {start * 1e3:+4.0f} ms, doubt {start_doubt * 1e3:3.0f}"
        f"   end {end * 1e3:+4.0f} ms, doubt {end_doubt * 1e3:3.0f}\n"
    )
    for error, doubt in ((start, start_doubt), (end, end_doubt)):
        assert abs(error) <= CLOSE_SECONDS + HALF_A_STEP or doubt > CLOSE_SECONDS
    assert (abs(start), abs(end)) < (0.16, 0.16)


@pytest.mark.parametrize(
    ("background", "fewest", "most"),
    [
        ("", 0, 0),
        (", hum of 50 Hz at 30 dB", 0, 0),
        (", noise at 30 dB", 0, 2),
        (", noise at 20 dB", 9, 9),
        (", noise at 10 dB", 9, 9),
    ],
)
def test_noise_leaves_ends_in_doubt_and_quiet_does_not(
    background: str, fewest: int, most: int
) -> None:
    """Of the ends of nine sounds: what 30 dB leave to be told is told, what 20 dB do not is not."""
    rows = [made for made in _MADE if made.name.endswith(background)]
    rows = rows if background else [made for made in _MADE[:-1] if "," not in made.name]
    in_doubt = [made.name for made in rows if found_in(made)[3] > CLOSE_SECONDS]
    assert len(rows) == 9
    assert fewest <= len(in_doubt) <= most


def test_ends_at_30_db_are_close_whatever_is_said_of_them() -> None:
    """Doubt is what may be, not what is."""
    rows = [made for made in _MADE if made.name.endswith("noise at 30 dB")]
    errors = [abs(end) for made in rows for end in found_in(made)[:2]]
    assert max(errors) <= CLOSE_SECONDS + HALF_A_STEP


@pytest.mark.parametrize(
    "samples",
    [np.zeros(16_000), np.zeros(80), np.zeros(0), noise(-30), tone(12.0), placed((3, np.ones(5)))],
    ids=["silence", "a step", "nothing", "noise", "a tone all along", "a click"],
)
def test_where_nothing_stands_out_nothing_is_found(samples: np.ndarray) -> None:
    """Not the noise itself, nor what never stops."""
    assert list(voice_activity(channel(samples)).stretches) == []


def test_music_under_speech_leaves_no_end_to_be_found() -> None:
    """There is sound before the voice and after it: who reads this is told that it overlaps."""
    under = placed((AT, clip("goodbye"))) + music(-25)
    stretches = voice_activity(channel(under)).stretches
    assert stretches[0].start < 0.5
    assert stretches[-1].end > 11.5


def test_an_empty_channel_has_the_quietest_level() -> None:
    """No sample at all is no error."""
    empty = Loudness(np.zeros(0, np.float32), np.zeros(0, bool))
    assert voice_activity(empty) == Activity((), -75.0, -75.0)


def test_a_pause_within_a_word_ends_nothing() -> None:
    """Of 0.2 s it does."""
    short = voice_activity(channel(placed((1, tone(1.0)), (2.15, tone(1.0)))))
    long = voice_activity(channel(placed((1, tone(1.0)), (2.25, tone(1.0)))))
    assert (len(short.stretches), len(long.stretches)) == (1, 2)
