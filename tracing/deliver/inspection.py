"""The state of the spools under a directory, read from their files alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracing.deliver import lease
from tracing.deliver.pace import PRODUCTION
from tracing.deliver.status import read_backends
from tracing.deliver.watch import stands_still
from tracing.spool.acks import acknowledged_offset
from tracing.spool.formats import FORMATS, is_foreign, segment_version
from tracing.spool.locks import is_locked
from tracing.spool.losses import NOT_SPANS, count_losses
from tracing.spool.quarantine import quarantined_files
from tracing.spool.records import END, count_held, read_records
from tracing.spool.segments import segment_paths


@dataclass(frozen=True)
class SpoolState:
    """One spool: what waits in it, who works on it, what it lost."""

    directory: Path
    waiting_spans: int
    """Ended spans that some backend has not taken."""
    oldest_unix_nano: int
    """When the first of them ended; 0 where none waits, or it cannot be told."""
    size_bytes: int
    writers: int
    """Living processes that write spans here."""
    drainer_pid: int | None
    silent_seconds: float
    """For how long the drainer has given no sign of life, where it stands still; else 0.0."""
    backends: tuple[dict[str, Any], ...]
    """What the drainer said last of each backend: name, url, state, since, detail."""
    lost: dict[str, int]
    """Spans by reason, since the spool was made."""
    changed: dict[str, int]
    """Attributes that were truncated or withheld, by reason."""
    unreadable: int
    """Segments in a format of another version, which are left as they are."""
    quarantined: tuple[Path, ...]
    """OTLP JSON files of spans that a backend rejected for good."""


def inspect_spools(tracing_directory: Path) -> list[SpoolState]:
    """Every spool under a TRACING_DIR, by name; empty where there is none."""
    parent = tracing_directory / "spool"
    if not parent.is_dir():
        return []
    return [_inspect(path) for path in sorted(parent.iterdir()) if path.is_dir()]


def _inspect(directory: Path) -> SpoolState:
    segments = segment_paths(directory)
    holder = lease.holder(directory)
    losses = count_losses(directory)
    return SpoolState(
        directory=directory,
        waiting_spans=sum(
            count_held(path, acknowledged_offset(directory, path.name)).spans for path in segments
        ),
        oldest_unix_nano=_oldest(directory, segments),
        size_bytes=sum(path.stat().st_size for path in segments if path.exists()),
        writers=sum(is_locked(path) for path in segments),
        drainer_pid=holder.pid if holder else None,
        silent_seconds=stands_still(directory, PRODUCTION) if holder else 0.0,
        backends=tuple(read_backends(directory)),
        lost={reason: n for reason, n in losses.items() if reason not in NOT_SPANS},
        changed={reason: n for reason, n in losses.items() if reason in NOT_SPANS},
        unreadable=sum(map(is_foreign, segments)),
        quarantined=tuple(quarantined_files(directory)),
    )


def _oldest(directory: Path, segments: Sequence[Path]) -> int:
    """When the first ended span that waits did end; 0 where there is none."""
    for path in segments:
        format, offset = (
            FORMATS.get(segment_version(path)),
            acknowledged_offset(directory, path.name),
        )
        if format is None or not count_held(path, offset).spans:
            continue
        for record in read_records(path.read_bytes(), offset, format=format):
            if record.kind == END and record.span is not None:
                return record.span.end_time_unix_nano
    return 0


def unreadable(directory: Path, segments: int) -> str:
    """What there is to say of segments that another version wrote."""
    files = "1 file" if segments == 1 else f"{segments:,} files"
    return (
        f"{files} of spans in {directory} were written by another version of this package, in a "
        "format that this one cannot read. They are left as they are: run the newer version"
    )
