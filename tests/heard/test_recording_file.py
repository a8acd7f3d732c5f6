"""Recordings as files: whole ones, others' formats, and what is broken or hostile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.heard.calls import both, written
from tests.heard.sounds import RATE, placed, tone
from tracing.heard.recording_file import NotMeasured, loudness_of, seconds_of
from tracing.heard.voice_activity import Stretch, voice_activity


def starts_and_ends(stretches: list[Stretch]) -> list[tuple[float, float]]:
    """To 10 ms."""
    return [(round(s.start, 2), round(s.end, 2)) for s in stretches]


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("audio.ogg", "libopus", RATE),
        ("audio.wav", "pcm_s16le", RATE),
        ("audio.wav", "pcm_s16le", 44_100),
        ("audio.wav", "pcm_s16le", 11_025),
        ("audio.flac", "flac", 48_000),
        ("audio.wav", "pcm_s16le", 8_000),
    ],
)
def test_sounds_are_where_they_were_recorded(
    tmp_path: Path, name: str, codec: str, rate: int
) -> None:
    """In either channel, whatever the format: a codec's delay is no delay of the call."""
    times = np.arange(10 * rate) / rate
    sine = 0.3 * np.sin(2 * np.pi * 440 * times)
    caller, agent = sine * ((times >= 2) & (times < 3)), sine * ((times >= 6) & (times < 7.5))
    path = written(tmp_path / name, np.stack([caller, agent]), codec=codec, rate=rate)
    found = [voice_activity(channel).stretches for channel in loudness_of(path)]
    for (stretch,), (start, end) in zip(found, [(2, 3), (6, 7.5)], strict=True):
        assert stretch.start == pytest.approx(start, abs=0.011)
        assert stretch.end == pytest.approx(end, abs=0.011)


def test_a_long_recording_in_two_parts_is_the_same(tmp_path: Path) -> None:
    """Four minutes: what is decoded in its middle is where it is when all is decoded at once."""
    marks = placed(*((at, tone(0.5)) for at in range(1, 250, 7)), seconds=255.0)
    path = written(tmp_path / "audio.ogg", np.stack([marks, marks[::-1]]))
    caller, agent = loudness_of(path)
    assert 255 * 200 <= len(caller.power) == len(agent.power) <= 256 * 200
    expected = [(at, at + 0.5) for at in range(1, 250, 7)]
    found = starts_and_ends(list(voice_activity(caller).stretches))
    assert found == [pytest.approx(one, abs=0.011) for one in expected]


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("this is no recording")


def _noise(path: Path) -> None:
    path.write_bytes(b"OggS" + np.random.default_rng(1).bytes(200_000))


def _mono(path: Path) -> None:
    written(path, both()[:1])


def _playlist(path: Path) -> None:
    path.write_text("#EXTM3U\n#EXTINF:10,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n")


def _concat(path: Path) -> None:
    path.write_text("ffconcat version 1.0\nfile /etc/hostname\n")


def _link(path: Path) -> None:
    written(path.with_name("elsewhere.ogg"), both())
    path.symlink_to(path.with_name("elsewhere.ogg"))


def _directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    "make",
    [_empty, _text, _noise, _mono, _playlist, _concat, _link, _directory, lambda path: None],
)
def test_what_cannot_be_measured_says_so(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """In a sentence, and nothing else happens; one that is one channel tells nobody's voice."""
    path = tmp_path / "audio.ogg"
    make(path)
    with pytest.raises(NotMeasured):
        loudness_of(path)


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
def test_a_truncated_recording_tells_what_it_has(tmp_path: Path, kept: float) -> None:
    """As of a process that was killed while it recorded."""
    path = written(tmp_path / "audio.ogg", both())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    caller, _ = loudness_of(path)
    assert 0 < caller.seconds <= 25


def test_damage_in_the_middle_costs_what_is_damaged(tmp_path: Path) -> None:
    """And no more than the rest."""
    path = written(tmp_path / "audio.ogg", both())
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 500] = bytes(500)
    path.write_bytes(data)
    assert loudness_of(path)[0].seconds > 5


def test_seconds_are_filled_up_with_silence(tmp_path: Path) -> None:
    """Both channels, as the waveform is drawn."""
    path = written(tmp_path / "audio.wav", both()[:, : RATE + 100], codec="pcm_s16le")
    shapes = [second.shape for second in seconds_of(path)]
    assert shapes == [(2, RATE), (2, RATE)]
