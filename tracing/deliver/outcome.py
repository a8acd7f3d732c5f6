"""What each backend has taken of a spool since a moment, what waits for it, and its own words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tracing.config.backends import Backend
from tracing.deliver.status import read_backends
from tracing.safe_text import safe
from tracing.spool.acks import DONE, Acks
from tracing.spool.losses import noun_of, read_losses
from tracing.spool.records import count_held
from tracing.spool.segments import segment_paths


class Outcome(NamedTuple):
    """How one backend stands to the spans of a spool."""

    backend: str
    taken: int | None
    """Spans that it has said yes to; None where nobody knows how many were written."""
    waiting: int
    """Spans on disk that it has not said yes to."""
    lost: dict[str, int]
    """Spans that it will never get, by reason and the server's own words."""
    words: str
    """Why it takes nothing now, in the server's words and with the mend; empty where it does."""

    def __str__(self) -> str:
        """As in "langfuse: took 12 spans; 3 spans wait: 401 from ...", on one line."""
        told = [] if self.taken is None else [f"took {_counted(self.taken)}"]
        told += [f"{_counted(number)} lost: {reason}" for reason, number in self.lost.items()]
        if self.waiting:
            verb = "waits" if self.waiting == 1 else "wait"
            told.append(f"{_counted(self.waiting)} {verb}{self.words and ': '}{self.words}")
        return safe(f"{self.backend}: {'; '.join(told)}")


class Outcomes:
    """Counts from the moment it is made."""

    def __init__(self, directory: Path, backends: Sequence[Backend]) -> None:
        self._directory = directory
        self._backends = [backend for backend in backends if not backend.beside]
        self._waited = {b.name: _count_waiting(directory, b.name) for b in self._backends}
        self._known_losses = len(read_losses(directory))

    def since(self, written: int | None = None) -> list[Outcome]:
        """How each backend stands now; `written` is how many spans went into the spool since."""
        return [self._outcome(backend, written) for backend in self._backends]

    def lost(self) -> dict[str, int]:
        """What was lost or changed since, by reason, whatever the reason counts."""
        counts: Counter[str] = Counter()
        for entry in self._entries():
            counts[str(entry["reason"])] += int(str(entry["number"]))
        return dict(counts)

    def _outcome(self, backend: Backend, written: int | None) -> Outcome:
        waiting = _count_waiting(self._directory, backend.name)
        lost: Counter[str] = Counter()
        words: dict[str, str] = {}
        for entry in self._entries():
            reason = str(entry["reason"])
            if entry.get("backend") in ("", backend.name) and noun_of(reason) == "span":
                lost[reason] += int(str(entry["number"]))
                words[reason] = f"{reason} ({entry['detail']})" if entry.get("detail") else reason
        taken = None
        if written is not None:
            taken = max(self._waited[backend.name] + written - waiting - lost.total(), 0)
        told = {words[reason]: number for reason, number in lost.items()}
        return Outcome(backend.name, taken, waiting, told, self._words(backend))

    def _entries(self) -> list[dict[str, object]]:
        return read_losses(self._directory)[self._known_losses :]

    def _words(self, backend: Backend) -> str:
        for state in read_backends(self._directory):
            if state["name"] == backend.name and state["state"] != "delivering":
                return f"{state['detail']}{backend.mend and f'. Mend: {backend.mend}'}"
        return ""


def _counted(spans: int) -> str:
    """A number of spans in words."""
    return f"{spans:,} span{'' if spans == 1 else 's'}"


def _count_waiting(directory: Path, backend: str) -> int:
    acks = Acks(directory, backend)
    offsets = ((path, acks.offset(path.name)) for path in segment_paths(directory))
    return sum(count_held(path, offset).spans for path, offset in offsets if offset != DONE)
