"""The recording of a call, a file beside the store: found by name, and deleted with its call.

A span may be anybody's, and a replayed file too. So of the path that it names only the name
counts, and only one that `capture.sound.recording` gives: no span makes another file of the
machine's be opened.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import stat
from collections.abc import Iterable
from pathlib import Path, PurePath

from tracing import stamps
from tracing.places import RECORDING_TYPES, RECORDINGS_NAME
from tracing.span import Attributes

_NAME = re.compile(rf"[0-9a-f]{{22}}(?:{'|'.join(map(re.escape, RECORDING_TYPES))})")


def name_of(attributes: Attributes) -> str:
    """The name of the recording's file that a span's attributes tell of; "" where they do not."""
    path = attributes.get(stamps.RECORDING_PATH)
    name = PurePath(path).name if isinstance(path, str) else ""
    return name if _NAME.fullmatch(name) else ""


def find(directory: Path, name: str) -> Path | None:
    """A recording beside the store in `directory`; None where it is gone, or is no plain file."""
    path = directory / RECORDINGS_NAME / name
    try:
        is_ours = stat.S_ISDIR(path.parent.lstat().st_mode) and stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return None
    return path if name and is_ours else None


def names_of(database: sqlite3.Connection, trace_id: str) -> list[str]:
    """The names of the recordings that the spans of a call tell of."""
    rows = database.execute(
        f"""SELECT json_extract(attributes, '$."{stamps.RECORDING_PATH}"') FROM spans
        WHERE trace_id = ? AND instr(attributes, '"{stamps.RECORDING_PATH}"')
        AND json_valid(attributes)""",
        (trace_id,),
    )
    return [name for (path,) in rows if (name := name_of({stamps.RECORDING_PATH: path}))]


def delete(directory: Path, names: Iterable[str]) -> None:
    """Delete these recordings beside the store in `directory`; who can, can also write there."""
    for name in names:
        path = find(directory, name)
        with contextlib.suppress(OSError):
            if path is not None:
                path.unlink()
