"""Writers of segments, and what lies in the files."""

from __future__ import annotations

from pathlib import Path

from tests.fakes import make_span
from tracing.spool.losses import Ledger
from tracing.spool.records import END, end_frame, read_records
from tracing.spool.segments import SegmentWriter, segment_paths

RESOURCE = {"service.name": "test"}


def make_writer(directory: Path, ledger: Ledger, **options: object) -> SegmentWriter:
    """An open writer in `directory`."""
    directory.mkdir(mode=0o700, exist_ok=True)
    writer = SegmentWriter(directory, resource=RESOURCE, ledger=ledger, **options)  # type: ignore[arg-type]
    writer.open()
    return writer


def end_of(number: int, text: str = "") -> bytes:
    """The frame of one ended span."""
    span = make_span(number, attributes={"text": text})
    return end_frame(span, span.attributes)


def kinds_and_names(path: Path) -> list[tuple[int, str]]:
    """What a segment holds: record kinds, and spans' names."""
    records = read_records(path.read_bytes())
    return [(record.kind, record.span.name if record.span else "") for record in records]


def ended_names(directory: Path) -> list[str]:
    """The names of all ended spans in the spool, in the order of the segments."""
    return [name for path in segment_paths(directory) for name in ended_names_of(path)]


def ended_names_of(path: Path) -> list[str]:
    """The names of one segment's ended spans."""
    return [name for kind, name in kinds_and_names(path) if kind == END]
