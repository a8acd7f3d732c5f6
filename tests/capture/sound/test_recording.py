"""A call's recording, kept when the session ends."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from livekit.agents.voice.recorder_io import RecorderIO

from tests.audio import AUDIO, keep, record
from tracing.capture.sound.recording import (
    NotSaved,
    Recordings,
    recording_attributes,
    save_recording,
)
from tracing.dialects import media


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What LiveKit's recorder has written."""
    return record(tmp_path / "job")


@dataclass
class Recorder:
    """What is read of LiveKit's RecorderIO."""

    output_path: Path | None
    recording: bool = False
    recording_started_at: float | None = 1_700_000_000.5


class Session:
    """What is read of an AgentSession."""

    def __init__(self, recorder: Recorder | None) -> None:
        self._recorder_io = recorder


def test_recorder_is_read_as_livekit_made_it() -> None:
    """The fake has what the real one has."""
    real = ("output_path", "recording", "recording_started_at")
    assert [name for name in real if isinstance(getattr(RecorderIO, name), property)] == [*real]


def test_recording_is_kept_under_its_hash_for_its_owner_alone(source: Path, tmp_path: Path) -> None:
    """It outlives the job's own directory."""
    kept = keep(source, tmp_path / "recordings")
    source.unlink()
    digest = hashlib.sha256(AUDIO).hexdigest()
    path = tmp_path / "recordings" / f"{digest[:22]}.ogg"
    assert kept == {
        "recording.path": str(path),
        "recording.sha256": digest,
        "recording.bytes": len(AUDIO),
        "recording.content_type": "audio/ogg",
    }
    assert path.read_bytes() == AUDIO
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]


def test_recording_on_another_file_system_is_copied(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no link can be made, the bytes are copied while they are hashed."""

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    kept = keep(source, tmp_path / "recordings")
    assert Path(kept["recording.path"]).read_bytes() == AUDIO
    assert kept["recording.sha256"] == hashlib.sha256(AUDIO).hexdigest()


@pytest.mark.parametrize(
    ("name", "content", "seconds", "bounds", "why"),
    [
        ("audio.ogg", b"", 10, {}, "it is empty"),
        ("audio.xyz", b"x", 10, {}, "'.xyz' is no type that browsers play"),
        ("audio.ogg", b"xxx", 10, {"max_file_bytes": 2}, "3 bytes are more than 2"),
        ("audio.ogg", b"xxx", -1, {}, "there was no time"),
    ],
)
def test_recording_that_is_not_kept(
    tmp_path: Path, name: str, content: bytes, seconds: int, bounds: dict[str, int], why: str
) -> None:
    """It says why, and leaves nothing behind."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NotSaved, match=why):
        save_recording(
            tmp_path / name, tmp_path / "recordings", time.monotonic() + seconds, **bounds
        )
    assert not [*(tmp_path / "recordings").glob("*")]


def test_oldest_recordings_make_room(tmp_path: Path) -> None:
    """The directory is bounded."""
    paths = []
    for number in range(4):
        source = tmp_path / "audio.ogg"
        source.write_bytes(bytes([number]) * 100)
        paths.append(
            Path(keep(source, tmp_path / "recordings", max_directory_bytes=300)["recording.path"])
        )
        os.utime(paths[-1], (time.time() - 100 + number,) * 2)
        source.unlink()
    assert [path.exists() for path in paths] == [False, True, True, True]


@pytest.mark.parametrize(("days", "stays"), [(7, False), (30, True)])
def test_recordings_stay_as_long_as_they_may(tmp_path: Path, days: int, stays: bool) -> None:
    """A week while they wait to be uploaded; as long as the store has their calls otherwise."""
    directory = tmp_path / "recordings"
    kept = Path(keep(record(tmp_path / "first"), directory)["recording.path"])
    eight_days_ago = time.time() - 8 * 86400
    os.utime(kept, (eight_days_ago, eight_days_ago))
    later = record(tmp_path / "second")
    later.write_bytes(AUDIO + b"later")
    keep(later, directory, max_age_seconds=days * 86400.0)
    assert kept.exists() is stays


async def test_attributes_of_a_session_that_recorded(source: Path, tmp_path: Path) -> None:
    """With the time at which the recording began."""
    session = Session(Recorder(source))
    found = await recording_attributes(session, Recordings(tmp_path), withhold=False)
    assert found["recording.started_at"] == 1_700_000_000.5
    assert found["recording.bytes"] == len(AUDIO)
    assert Path(str(found["recording.path"])).parent == tmp_path / "recordings"


async def test_recording_that_is_not_uploaded_is_referred_to_by_nobody(
    source: Path, tmp_path: Path
) -> None:
    """Langfuse would show a player for what it never gets."""
    session, recordings = Session(Recorder(source)), Recordings(tmp_path, are_uploaded=False)
    found = await recording_attributes(session, recordings, withhold=False)
    assert Path(str(found["recording.path"])).read_bytes() == AUDIO
    assert media.metadata(found) == {}


@pytest.mark.parametrize(
    ("recorder", "withhold"),
    [
        (None, False),
        (Recorder(None), False),
        (Recorder(Path("audio.ogg")), True),
    ],
)
async def test_session_without_a_recording_to_upload(
    recorder: Recorder | None, withhold: bool, tmp_path: Path
) -> None:
    """Nothing recorded, or content withheld: nothing is touched or said."""
    Path("audio.ogg").write_bytes(AUDIO)
    directory = tmp_path / "tracing"
    assert (
        await recording_attributes(Session(recorder), Recordings(directory), withhold=withhold)
        == {}
    )
    assert not directory.exists()


async def test_recorder_that_closes_meanwhile_is_waited_for(source: Path, tmp_path: Path) -> None:
    """A session may be closed beside us; one that never closes costs the recording alone."""
    recorder = Recorder(source, recording=True)
    session = Session(recorder)
    never = await recording_attributes(
        session, Recordings(tmp_path), withhold=False, within_seconds=0.05
    )
    asyncio.get_running_loop().call_later(0.05, setattr, recorder, "recording", False)
    found = await recording_attributes(session, Recordings(tmp_path), withhold=False)
    assert (never, found["recording.bytes"]) == ({}, len(AUDIO))


async def test_job_end_waits_no_longer_than_its_bound(
    source: Path, tmp_path: Path, caplog: Any
) -> None:
    """A slow disk costs the recording, not the job; the loop runs on meanwhile."""

    async def tick() -> int:
        ticks = 0
        while True:
            await asyncio.sleep(0.001)
            ticks += 1
            counted[0] = ticks

    counted = [0]
    ticking = asyncio.create_task(tick())
    began = time.monotonic()
    source.write_bytes(AUDIO * 60)
    session = Session(Recorder(source))
    found = await recording_attributes(
        session,
        Recordings(tmp_path),
        withhold=False,
        within_seconds=0.1,
        chunk_bytes=2,  # more than a second of reading
    )
    took = time.monotonic() - began
    ticking.cancel()
    assert found == {}
    assert took < 10.0  # 0.1 s, on a machine that may be busy
    assert counted[0] > 0
    assert [record.getMessage() for record in caplog.records] == [
        f"the recording {source} is not kept: there was no time"
    ]
    assert list((tmp_path / "recordings").iterdir()) == []
