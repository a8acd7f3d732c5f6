"""LiveKit's reports of sessions, a file each beside the local store.

`reports/<trace id>-<span id of the session>.json`, for the user alone. The newest thousand of 30
days are kept, in 256 MiB at the most.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracing.safe_text import get_logger
from tracing.spool.files import check_own_file, make_private_directory, write_json

DIRECTORY_NAME = "reports"
MAX_REPORTS = 1000
MAX_BYTES = 256 * 2**20
MAX_REPORT_AGE_SECONDS = 30 * 86400.0

logger = get_logger(__name__)


def file_name(trace_id: bytes, span_id: bytes) -> str:
    """The name of a session's report."""
    return f"{trace_id.hex()}-{span_id.hex()}.json"


def write_report(
    path: Path,
    report: Mapping[str, Any],
    *,
    max_reports: int = MAX_REPORTS,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Write a report as a whole, and delete what goes beyond the bounds."""
    make_private_directory(path.parent)
    write_json(path, report)
    _delete_beyond_bounds(path.parent, max_reports, max_bytes)


def find_reports(directory: Path, trace_id: str) -> list[dict[str, Any]]:
    """The reports of a call's sessions; none where its process was killed."""
    found = []
    for path in sorted((directory / DIRECTORY_NAME).glob(f"{trace_id}-*.json")):
        try:
            check_own_file(path)
            report = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            logger.warning("left out %s, cannot read it: %r", path, error)
            continue
        if isinstance(report, dict):
            found.append(report)
    return found


def _delete_beyond_bounds(directory: Path, max_reports: int, max_bytes: int) -> None:
    """Delete the oldest; other processes do the same, so a file may be gone."""
    by_age = []
    for path in directory.glob("*.json"):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            by_age.append((status.st_mtime, status.st_size, path))
    used = 0
    for number, (written, size, path) in enumerate(sorted(by_age, reverse=True)):
        used += size
        is_old = written < time.time() - MAX_REPORT_AGE_SECONDS
        if number > 0 and (is_old or used > max_bytes or number >= max_reports):
            path.unlink(missing_ok=True)
