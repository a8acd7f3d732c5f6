"""How far each backend has said yes: one small file per backend, replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tracing.safe_text import get_logger
from tracing.spool.files import write_json

logger = get_logger(__name__)

DONE = -1
"""In place of an offset: the whole segment, and whatever was recovered from it."""

_DIRECTORY = "acks"


class Acks:
    """The acknowledged offset of every segment for one backend; bytes, or DONE."""

    def __init__(self, directory: Path, backend: str) -> None:
        self._path = directory / _DIRECTORY / f"{backend}.json"
        self._offsets = _load(self._path)

    def offset(self, segment: str) -> int:
        """Where the backend's next span begins; 0 for a segment it has seen nothing of."""
        return self._offsets.get(segment, 0)

    def acknowledge(self, offsets: dict[str, int]) -> None:
        """Remember `offsets` by segment name, on disk, before the next request."""
        self._offsets.update(offsets)
        self._save()

    def adopt(self, other: Acks) -> None:
        """Take over what the same backend acknowledged of another spool's segments."""
        self.acknowledge({**other._offsets, **self._offsets})

    def forget(self, keep: Iterable[str]) -> None:
        """Drop the offsets of segments that are gone."""
        kept = set(keep)
        if not self._offsets.keys() <= kept:
            self._offsets = {name: at for name, at in self._offsets.items() if name in kept}
            self._save()

    def _save(self) -> None:
        """Best effort: on a full disk the offsets live on in memory, and the next save has them."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_json(self._path, self._offsets)
        except OSError as error:
            logger.debug("cannot save %s: %s", self._path, error)


def settle_acks(directory: Path, backends: Iterable[str]) -> None:
    """Have one file for each of these backends and for no other.

    One without a file would not be waited for; one that is delivered to no more, for ever.
    """
    wanted = set(backends)
    for path in (directory / _DIRECTORY).glob("*.json"):
        if path.stem not in wanted:
            path.unlink(missing_ok=True)
    for name in wanted:
        Acks(directory, name).acknowledge({})


def acknowledged_offset(directory: Path, segment: str) -> int:
    """The offset up to which every backend of the spool has acknowledged a segment."""
    offsets = [
        _load(path).get(segment, 0) for path in sorted((directory / _DIRECTORY).glob("*.json"))
    ]
    if offsets and all(offset == DONE for offset in offsets):
        return 2**62
    return min((offset for offset in offsets if offset != DONE), default=0)


def _load(path: Path) -> dict[str, int]:
    """The offsets of a file; none where it is damaged: rather sent twice than never."""
    try:
        return {str(name): int(offset) for name, offset in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
