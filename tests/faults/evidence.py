"""What a row leaves behind: the ids that ended, what the backend holds, what was logged."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tracing.spool.losses import NOT_SPANS, read_losses

from .processes import Program
from .producer import RECORD
from .receiver import Receiver
from .row import Row

_LONG_SECONDS = 0.2
_COUNTED = re.compile(r"(?:dropped|dropping|lost|rejected) (\d+) spans?", re.IGNORECASE)


@dataclass
class Evidence:
    """Everything that a row leaves behind, for the checks."""

    row: Row
    contender: str
    folder: Path
    receiver: Receiver
    second: Receiver | None = None
    """The other backend, in the row with two."""
    ended: dict[bytes, int] = field(default_factory=dict)
    """End in nanoseconds by id, of the spans whose `end()` returned in time."""
    program: Program | None = None
    loop_frozen_seconds: float = 0.0
    drainer_mib: float = 0.0
    """The most memory that the drainer has taken."""
    never_ended: bool = False
    """Whether the program had to be killed, because it would not leave by itself."""
    drainer_kills: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    """How often the soak did what."""
    two_drainers_seconds: float = 0.0
    """For how long two drainers worked on one spool, in the soak."""
    longest_stall_seconds: float = 0.0
    """How long a span held its loop, in the soak; only what is long is told of."""
    more_ended: dict[bytes, int] = field(default_factory=dict)
    """Spans that were in the spool without the program's doing."""

    @property
    def spool(self) -> Path:
        """The directory that ours keeps its spans in."""
        return self.folder / "spool"

    @property
    def logs(self) -> str:
        """What all programs of the row logged."""
        paths = [*sorted(self.folder.rglob("log-*")), *sorted(self.folder.rglob("*.log"))]
        return "\n".join(path.read_text(errors="replace") for path in paths)

    @property
    def stalls(self) -> list[float]:
        """For how many seconds spans have held their loops, where that was very long."""
        return [round(seconds, 1) for _, seconds in self.held if seconds > _LONG_SECONDS]

    @property
    def held(self) -> list[tuple[float, float]]:
        """When, by the monotonic clock, and for how long spans have held their loops."""
        lines = [
            line
            for path in sorted(self.folder.rglob("said-*"))
            for line in path.read_text().splitlines()
            if '"stall"' in line
        ]
        stalls = [json.loads(line) for line in lines if line.endswith("}")]
        return [(stall["began"], stall["seconds"]) for stall in stalls]

    @property
    def counted(self) -> int:
        """How many spans were reported as lost, in the loss files or else in the logs."""
        files = [path.parent for path in self.folder.rglob("losses.jsonl")]
        losses = [entry for path in files for entry in read_losses(path)]
        in_files = sum(
            int(str(entry["number"])) for entry in losses if entry["reason"] not in NOT_SPANS
        )
        return max(in_files, sum(int(number) for number in _COUNTED.findall(self.logs)))

    @property
    def missing(self) -> set[bytes]:
        """The ids that ended and never arrived."""
        return self.ended.keys() - self.receiver.spans_by_id.keys()


def read_ended(path: Path) -> dict[bytes, int]:
    """End by id from a producer's file; a torn last record is left out."""
    data = path.read_bytes() if path.exists() else b""
    whole = len(data) - len(data) % RECORD.size
    return dict(RECORD.iter_unpack(data[:whole]))
