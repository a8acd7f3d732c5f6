"""A session's audio recording, saved until it is uploaded, and as attributes of its call.

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
from typing import Any

from tracing import stamps
from tracing.config.langfuse import MAX_RECORDING_BYTES, RECORDINGS_NAME
from tracing.limits import MAX_AGE_SECONDS
from tracing.safe_text import get_logger
from tracing.span import AttributeValue
from tracing.spool.files import NO_LINK, make_private_directory

logger = get_logger(__name__)

WITHIN_SECONDS = 5.0
MAX_DIRECTORY_BYTES = 2**30
_CHUNK_BYTES = 2**20
_POLL_SECONDS = 0.02
_TYPES = {
    ".ogg": "audio/ogg",
    ".opus": "audio/opus",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".webm": "audio/webm",
}


class NotSaved(Exception):
    """Why there is no recording to upload."""


async def recording_attributes(
    session: Any,
    directory: Path,
    *,
    withhold: bool,
    within_seconds: float = WITHIN_SECONDS,
    chunk_bytes: int = _CHUNK_BYTES,
) -> dict[str, AttributeValue]:
    """The `recording.*` attributes of a session, for its call's root span.

    Waits until the recorder is closed. Empty where nothing was recorded, where content is
    withheld, and where the file is too large or could not be kept `within_seconds` in all, which
    is logged. `directory` is TRACING_DIR.
    """
    recorder = None if withhold else getattr(session, "_recorder_io", None)
    path = getattr(recorder, "output_path", None)
    if recorder is None or path is None:
        return {}
    deadline = time.monotonic() + within_seconds
    try:
        while recorder.recording:
            if time.monotonic() > deadline:
                raise NotSaved("its recorder did not close")
            await asyncio.sleep(_POLL_SECONDS)
        found = await asyncio.to_thread(
            save_recording,
            Path(path),
            directory / RECORDINGS_NAME,
            deadline,
            chunk_bytes=chunk_bytes,
        )
    except (NotSaved, OSError) as error:
        logger.warning("the recording %s is not uploaded: %s", path, error)
        return {}
    if started := getattr(recorder, "recording_started_at", None):
        found[stamps.RECORDING_STARTED_AT] = float(started)
    return found


def save_recording(
    source: Path,
    directory: Path,
    deadline: float,
    *,
    max_file_bytes: int = MAX_RECORDING_BYTES,
    max_directory_bytes: int = MAX_DIRECTORY_BYTES,
    chunk_bytes: int = _CHUNK_BYTES,
) -> dict[str, AttributeValue]:
    """Link or copy a recording into `directory` under its hash, and say what it is.

    Gives up at `deadline` (of `time.monotonic`), looked at after every `chunk_bytes`. Older
    recordings make room. Raises NotSaved or OSError.
    """
    size = source.stat().st_size
    kind = _TYPES.get(source.suffix.lower())
    if kind is None or not size:
        why = "is no type that Langfuse plays"
        raise NotSaved("it is empty" if kind else f"{source.suffix!r} {why}")
    if size > max_file_bytes:
        raise NotSaved(f"{size:,} bytes are more than {max_file_bytes:,}")
    make_private_directory(directory)
    _make_room(directory, max_directory_bytes - size)
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
    digest = hashlib.sha256()
    copy = (
        None
        if target.exists()
        else os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, 0o600)
    )
    try:
        with open(source, "rb") as file:
            while chunk := file.read(chunk_bytes):
                if time.monotonic() > deadline:
                    raise NotSaved("there was no time")
                digest.update(chunk)
                if copy is not None:
                    _write(copy, chunk)
    finally:
        if copy is not None:
            os.close(copy)
    target.chmod(0o600)
    return digest.hexdigest()


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _make_room(directory: Path, limit_bytes: int) -> None:
    """Delete what is too old, and the oldest of the rest until it fits."""
    files = []
    for path in directory.iterdir():
        with contextlib.suppress(OSError):
            files.append((path.stat().st_mtime, path.stat().st_size, path))
    total, oldest = sum(size for _, size, _ in files), time.time() - MAX_AGE_SECONDS
    for modified, size, path in sorted(files):
        if total <= limit_bytes and modified >= oldest:
            return
        with contextlib.suppress(OSError):
            path.unlink()
            total -= size
