"""What waits to be measured: a call's sound, and of its turns ids and numbers alone.

A job leaves both in its spool when it ends, and the drainer has it measured: so a job waits for
nothing, and what a killed process left is found again. The sound goes when it is measured. Each try
is counted in the file's name.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any

import msgspec

from tracing import stamps
from tracing.spool.files import NO_LINK, make_private_directory

DIRECTORY_NAME = "heard"
SOUNDS_NAME = "sounds"
"""Below it, the recordings."""
MAX_TURNS = 2000
"""Of a call, in a file."""
TOLD_BY = (
    *(stamps.TURN_AGENT_STARTED, stamps.TURN_AGENT_STOPPED, stamps.TURN_USER_STOPPED),
    *(stamps.TURN_LATENCY, stamps.TURN_BARGED_IN),
)
"""The stamps by which a turn is found in a recording."""
MAX_TRIES = 3

_MAX_BYTES = 4 * 2**20
_MAX_WAITING = 200
"""Calls; where more wait, whoever should measure them is not there."""
_STRAY_SECONDS = 3600.0
"""A sound that nothing waits for is put there by a job that ends, or was when it was killed."""


class WaitingTurn(msgspec.Struct, frozen=True):
    """A turn of the agent."""

    span_id: str
    """Of its span, in hex."""
    told: dict[str, float | bool]
    """Its stamps, as far as `TOLD_BY` names them."""


class Waiting(msgspec.Struct, frozen=True):
    """A call whose sound is to be measured."""

    trace_id: str
    """In hex."""
    sound: str
    """The name of its recording among the sounds."""
    began: float
    """When the recording begins, in seconds since the Unix epoch."""
    turns: list[WaitingTurn]
    runs: list[tuple[float, float]]
    """Where the recorder put the caller's frames, and where they belong; see `recorders_clock`."""
    shared: dict[str, Any]
    """What every span of the call carries."""
    resource: dict[str, Any]
    labels: dict[str, Any]
    """As in the header of a segment."""


def sounds(spool: Path) -> Path:
    """Where the recordings are that wait."""
    return spool / DIRECTORY_NAME / SOUNDS_NAME


def leave(spool: Path, waiting: Waiting) -> int:
    """Leave it to be measured: how many older ones were given up for it. Raises OSError."""
    directory = spool / DIRECTORY_NAME
    make_private_directory(directory)
    too_many = left(spool)[: 1 - _MAX_WAITING]
    for path in too_many:
        give_up(spool, path)
    new = directory / f"{waiting.trace_id}-{secrets.token_hex(4)}.0.new"
    with os.fdopen(
        os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, 0o600), "wb"
    ) as file:
        file.write(msgspec.json.encode(waiting))
    new.rename(new.with_suffix(".json"))
    return len(too_many)


def left(spool: Path) -> list[Path]:
    """What waits, the oldest first."""
    found = []
    for path in (spool / DIRECTORY_NAME).glob("*.json"):
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found)]


def take(path: Path) -> tuple[Path, bool]:
    """Count a try of what waits: its new path, and whether this was one too many."""
    name, _, tries = path.stem.rpartition(".")
    number = int(tries) + 1 if tries.isdecimal() else 1
    return path.rename(path.with_name(f"{name}.{number}.json")), number > MAX_TRIES


def read(path: Path) -> Waiting:
    """What was left there; raises OSError, or ValueError where it is none of ours."""
    with os.fdopen(os.open(path, os.O_RDONLY | NO_LINK), "rb") as file:
        return msgspec.json.decode(file.read(_MAX_BYTES), type=Waiting)


def give_up(spool: Path, path: Path) -> None:
    """Remove what waits there, with its sound."""
    with contextlib.suppress(OSError, ValueError):
        (sounds(spool) / Path(read(path).sound).name).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def remove_strays(spool: Path, now: float) -> None:
    """Remove the sounds that nothing waits for; `now` is in seconds since the Unix epoch."""
    for sound in sounds(spool).glob("*"):
        with contextlib.suppress(OSError):
            if now - sound.stat().st_mtime > _STRAY_SECONDS and not _is_awaited(spool, sound):
                sound.unlink()


def _is_awaited(spool: Path, sound: Path) -> bool:
    for path in left(spool):
        with contextlib.suppress(OSError, ValueError):
            if read(path).sound == sound.name:
                return True
    return False
