"""A recording goes with its call, and no span makes another file be touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.calls import call
from tracing.store.recordings import find, name_of
from tracing.store.store import Store

NAME = "0123456789abcdef012345.ogg"


@pytest.fixture
def recording(path: Path) -> Path:
    """A recording beside the store."""
    found = path.parent / "recordings" / NAME
    found.parent.mkdir(parents=True)
    found.write_bytes(b"OggS")
    return found


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (f"/srv/.tracing/recordings/{NAME}", NAME),
        (f"/another/place/of/the/same/volume/{NAME}", NAME),
        ("/etc/passwd", ""),
        ("../../etc/passwd", ""),
        (f"{NAME}/..", ""),
        ("..", ""),
        ("0123456789abcdef012345.py", ""),
        (f"{NAME}\n", ""),
        (NAME.upper(), ""),
        (7, ""),
        (None, ""),
    ],
)
def test_only_the_name_of_a_recording_counts(told: object, name: str) -> None:
    """A span may be anybody's: it can name no directory, and no file that is no recording."""
    assert name_of({} if told is None else {"recording.path": told}) == name  # type: ignore[dict-item]


def test_what_is_no_plain_file_is_not_found(path: Path, recording: Path, tmp_path: Path) -> None:
    """Not a link, not a directory, not a recording in a directory that is a link."""
    directory = path.parent
    assert find(directory, NAME) == recording
    assert find(directory, "") is None
    assert find(directory, NAME.replace("0", "1")) is None
    elsewhere = tmp_path / "elsewhere"
    recording.rename(elsewhere)
    recording.symlink_to(elsewhere)
    assert find(directory, NAME) is None
    recording.unlink()
    recording.mkdir()
    assert find(directory, NAME) is None
    recording.rmdir()
    recording.parent.rmdir()
    elsewhere.rename(tmp_path / NAME)
    (directory / "recordings").symlink_to(tmp_path)
    assert find(directory, NAME) is None


@pytest.mark.parametrize("stays", [True, False])
def test_recording_is_deleted_with_its_call(path: Path, recording: Path, stays: bool) -> None:
    """Past its time, call and recording go together; until then both stay."""
    now = 1_000_000.0
    with Store(path, clock=lambda: now) as store:
        told = {"recording.path": str(recording)}
        store.add([call(1, attributes=told), call(2)])
        now += (29 if stays else 31) * 86400
        store.add([call(3)])
        assert len(list(store.calls())) == (3 if stays else 1)
    assert recording.exists() is stays


def test_deleting_a_call_touches_nothing_else(path: Path, recording: Path, tmp_path: Path) -> None:
    """What a span names outside, or by a link, is left as it is."""
    outside = tmp_path / NAME.replace("0", "1")
    outside.write_bytes(b"theirs")
    link = recording.parent / NAME.replace("0", "2")
    link.symlink_to(outside)
    now = 1_000_000.0
    with Store(path, clock=lambda: now) as store:
        store.add([call(1, attributes={"recording.path": str(outside)})])
        store.add([call(2, attributes={"recording.path": str(link)})])
        now += 31 * 86400
        store.add([call(3)])
        assert [found.trace_id for found in store.calls()] == [f"{3:032x}"]
    assert outside.read_bytes() == b"theirs"
    assert recording.exists()
