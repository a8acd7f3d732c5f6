"""Where a spool's directory went that was moved away from under its agents.

The agents go on in a new directory under the old path, and leave notes in it; the drainer brings
back what lies at the other place.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_DIRECTORY = "moved"


def place_of(fd: int) -> Path | None:
    """Where an open file lies now, wherever it was opened; None where that cannot be told."""
    try:
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        return path if os.path.samestat(os.fstat(fd), path.stat()) else None
    except OSError:
        return None


def note_moved(directory: Path, place: Path) -> None:
    """Leave a note that what this spool held lies at another place; the same one for all agents."""
    notes = directory / _DIRECTORY
    notes.mkdir(mode=0o700, exist_ok=True)
    new = notes / f"{os.getpid()}.new"
    new.write_bytes(os.fsencode(place))
    new.rename(_note(directory, place))


def moved_places(directory: Path) -> list[Path]:
    """The places from which nothing was brought back yet."""
    try:
        notes = sorted((directory / _DIRECTORY).glob("*.place"))
        return [Path(os.fsdecode(note.read_bytes())) for note in notes]
    except OSError:
        return []


def forget_moved(directory: Path, place: Path) -> None:
    """Take a note away: nothing is left there."""
    _note(directory, place).unlink(missing_ok=True)


def _note(directory: Path, place: Path) -> Path:
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    return directory / _DIRECTORY / f"{name}.place"
