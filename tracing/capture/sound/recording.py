"""A session's audio recording, saved to be uploaded or kept, and as attributes of its call.

LiveKit writes it into a directory that goes with the job, so it is linked or copied to ours while
its hash is taken, in a thread and for a bounded time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from tracing import stamps
from tracing.config.langfuse import MAX_RECORDING_BYTES
from tracing.limits import MAX_AGE_SECONDS
from tracing.places import RECORDING_TYPES, RECORDINGS_NAME
from tracing.safe_text import get_logger
from tracing.span import AttributeValue
from tracing.spool.files import NO_LINK, make_private_directory

logger = get_logger(__name__)

WITHIN_SECONDS = 5.0
MAX_DIRECTORY_BYTES = 2**30
_CHUNK_BYTES = 2**20
_POLL_SECONDS = 0.02


class Recordings(NamedTuple):
    """Where sessions' audio is saved, and what for."""

    directory: Path
    """Of store, reports and recordings."""
    max_age_seconds: float = MAX_AGE_SECONDS
    """What is older goes when another is saved."""
    are_uploaded: bool = True
    """Else only the local store has them, and nobody else's span refers to them."""


class NotSaved(Exception):
    """Why there is no recording."""


async def recording_attributes(
    session: Any,
    recordings: Recordings,
    *,
    withhold: bool,
    within_seconds: float = WITHIN_SECONDS,
    chunk_bytes: int = _CHUNK_BYTES,
) -> dict[str, AttributeValue]:
    """The `recording.*` attributes of a session, for its call's root span.

    Waits until the recorder is closed. Empty where nothing was recorded, where content is
    withheld, and where the file is too large or could not be kept `within_seconds` in all, which
    is logged.
    """
    deadline, path = time.monotonic() + within_seconds, None
    try:
        recorder = None if withhold else await closed_recorder(session, deadline)
        if recorder is None:
            return {}
        path = Path(recorder.output_path)
        found = await asyncio.to_thread(
            save_recording,
            path,
            recordings.directory / RECORDINGS_NAME,
            deadline,
            max_age_seconds=recordings.max_age_seconds,
            chunk_bytes=chunk_bytes,
        )
    except (NotSaved, OSError) as error:
        logger.warning("the recording %s is not kept: %s", path or "of this call", error)
        return {}
    if started := getattr(recorder, "recording_started_at", None):
        found[stamps.RECORDING_STARTED_AT] = float(started)
    if not recordings.are_uploaded:
        del found[stamps.RECORDING_SHA256]  # by which Langfuse's dialect refers to it
    return found


async def closed_recorder(session: Any, deadline: float) -> Any:
    """LiveKit's recorder of a session, once it is closed; None where nothing was recorded.

    Raises NotSaved where it does not close before `deadline` (of `time.monotonic`).
    """
    recorder = getattr(session, "_recorder_io", None)
    if recorder is None or getattr(recorder, "output_path", None) is None:
        return None
    while recorder.recording:
        if time.monotonic() > deadline:
            raise NotSaved("its recorder did not close")
        await asyncio.sleep(_POLL_SECONDS)
    return recorder


def save_recording(
    source: Path,
    directory: Path,
    deadline: float,
    *,
    max_file_bytes: int = MAX_RECORDING_BYTES,
    max_directory_bytes: int = MAX_DIRECTORY_BYTES,
    max_age_seconds: float = MAX_AGE_SECONDS,
    chunk_bytes: int = _CHUNK_BYTES,
) -> dict[str, AttributeValue]:
    """Link or copy a recording into `directory` under its hash, and say what it is.

    Gives up at `deadline` (of `time.monotonic`), looked at after every `chunk_bytes`. Older
    recordings make room. Raises NotSaved or OSError.
    """
    size = source.stat().st_size
    kind = RECORDING_TYPES.get(source.suffix.lower())
    if kind is None or not size:
        why = "is no type that browsers play"
        raise NotSaved("it is empty" if kind else f"{source.suffix!r} {why}")
    if size > max_file_bytes:
        raise NotSaved(f"{size:,} bytes are more than {max_file_bytes:,}")
    make_private_directory(directory)
    _make_room(directory, max_directory_bytes - size, max_age_seconds)
    partial = directory / f"{os.getpid()}-{time.monotonic_ns()}.part"
    try:
        digest = _take(source, partial, deadline, chunk_bytes)
        path = directory / f"{digest[:22]}{source.suffix.lower()}"
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    return {
        stamps.RECORDING_PATH: str(path.absolute()),
        stamps.RECORDING_SHA256: digest,
        stamps.RECORDING_BYTES: size,
        stamps.RECORDING_TYPE: kind,
    }


def _take(source: Path, target: Path, deadline: float, chunk_bytes: int) -> str:
    """Link `source` where the file system can, else copy it; the result is its SHA-256 in hex."""
    with contextlib.suppress(OSError):
        os.link(source, target)
    digest, flags = hashlib.sha256(), os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK
    with contextlib.ExitStack() as opened:
        file = opened.enter_context(open(source, "rb"))
        copy = None
        if not target.exists():
            copy = opened.enter_context(open(os.open(target, flags, 0o600), "wb"))
        while chunk := file.read(chunk_bytes):
            if time.monotonic() > deadline:
                raise NotSaved("there was no time")
            digest.update(chunk)
            if copy is not None:
                copy.write(chunk)
    target.chmod(0o600)
    return digest.hexdigest()


def _make_room(directory: Path, limit_bytes: int, max_age_seconds: float) -> None:
    """Delete what is too old, and the oldest of the rest until it fits."""
    files = []
    for path in directory.iterdir():
        with contextlib.suppress(OSError):
            files.append((path.stat().st_mtime, path.stat().st_size, path))
    total, oldest = sum(size for _, size, _ in files), time.time() - max_age_seconds
    for modified, size, path in sorted(files):
        if total <= limit_bytes and modified >= oldest:
            return
        with contextlib.suppress(OSError):
            path.unlink()
            total -= size
