"""Spans that a backend rejects for good, kept as OTLP JSON lines so that they can be replayed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from tracing.otlp_json import dumps
from tracing.span import Span

MAX_FILE_BYTES = 16 * 2**20


def quarantine_path(directory: Path, backend: str) -> Path:
    """Where the rejected spans of one backend lie."""
    return directory / f"quarantine-{backend}.jsonl"


def quarantined_files(directory: Path) -> list[Path]:
    """The quarantine files of a spool's backends."""
    return sorted(directory.glob("quarantine-*.jsonl"))


def quarantine(directory: Path, backend: str, span: Span) -> None:
    """Write down one rejected span as a whole line; raises OSError where there is no room."""
    line = (dumps([span]) + "\n").encode()
    path = quarantine_path(directory, backend)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(fd).st_size
        if size >= MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, f"the quarantine is full at {MAX_FILE_BYTES // 2**20} MiB")
        if os.write(fd, line) != len(line):
            os.ftruncate(fd, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(fd)
