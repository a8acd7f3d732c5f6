"""What was lost, by reason: counted, appended to a file, said in the log once a minute."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tracing.limits import OncePerMinute
from tracing.safe_text import get_logger, safe

logger = get_logger(__name__)

FILE_NAME = "losses.jsonl"
_RESERVE_NAME = "losses.reserve"
_RESERVE_BYTES = 16 * 1024
_MAX_FILE_BYTES = 1024 * 1024
_MAX_DETAIL = 500
_MAX_LOOKED_AT = 2**14

WRITE_FAILED = "the spool could not be written"
SPOOL_DELETED = "the spool directory was deleted"
SPOOL_MOVED = "the spool directory was moved away"
DISK_HANGS = "the disk did not answer"
SPOOL_FULL = "the spool was full"
EXPIRED = "the spans were too old"
DAMAGED = "the record was damaged"
QUARANTINED = "the backend rejected the span"
PARTIALLY_REJECTED = "the backend accepted the request in part"
TRUNCATED = "an attribute was truncated"
MASK_FAILED = "the mask failed, so the value was withheld"
UNTRANSLATED = "the span could not be put into the backend's form"
INTERNAL_ERROR = "an internal error"
UNSTAMPED = "an internal error left a span without what its call knew"
LEFT_OUT = "the application said more of a call than is kept"
SCORE_REJECTED = "Langfuse rejected the score"
RECORDING_LOST = "the recording could not be uploaded"
NOT_JOINED = "LiveKit was given a provider that records nothing"
NOT_SET_UP = "setup_tracer was not called in the job's process"

LINES_TOO_FAST = "too many log lines in one second of a call"
LINES_TOO_MANY = "the log lines of a call had taken their room"
LINES_DELETED = "log lines were not delivered in time"
LINES_NOT_TAKEN = "the backend takes no log lines"
LINE_REJECTED = "the backend rejected the log line"

NOT_SPANS = frozenset({TRUNCATED, MASK_FAILED, UNSTAMPED, LEFT_OUT})
"""Reasons that count attributes, not spans."""

_NOUNS = {
    SCORE_REJECTED: "score",
    RECORDING_LOST: "recording",
    NOT_JOINED: "process",
    NOT_SET_UP: "process",
    **dict.fromkeys(
        (LINES_TOO_FAST, LINES_TOO_MANY, LINES_DELETED, LINES_NOT_TAKEN, LINE_REJECTED), "log line"
    ),
}


def noun_of(reason: str) -> str:
    """What a reason counts, in the singular."""
    return "attribute" if reason in NOT_SPANS else _NOUNS.get(reason, "span")


class Ledger:
    """The losses of one process, kept in memory and in the spool's own loss file.

    Counting costs nothing but an addition. `settle`, off the voice loop, writes what was
    counted since to the file, and says it once a minute at the most.
    """

    def __init__(
        self,
        directory: Path,
        *,
        say: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        max_file_bytes: int = _MAX_FILE_BYTES,
    ) -> None:
        self._path = directory / FILE_NAME
        self._say = say or (lambda text: logger.warning("%s", text))
        self._report = OncePerMinute(clock)
        self._max_file_bytes = max_file_bytes
        self.after_fork()

    def reserve(self) -> None:
        """Take room for the file, so that a disk that fills up later cannot hide its losses."""
        path = self._path.parent / _RESERVE_NAME
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(bytes(_RESERVE_BYTES))

    def after_fork(self) -> None:
        """In a forked child: what the parent counted is the parent's to write."""
        self._lock = threading.Lock()
        self._unwritten: Counter[tuple[str, str]] = Counter()
        self._unsaid: Counter[tuple[str, str]] = Counter()
        self._said_for_good: set[tuple[str, str]] = set()
        self._details: dict[tuple[str, str], str] = {}
        self.counts: Counter[str] = Counter()
        """What this process counted, by reason."""

    def count(
        self,
        reason: str,
        number: int = 1,
        *,
        backend: str = "",
        detail: str = "",
        once: bool = False,
    ) -> None:
        """Count `number` losses; `detail` is the system's or the server's own words.

        What would be the same news every minute is said `once`, and counted all the same.
        """
        if number <= 0:
            return
        with self._lock:
            self.counts[reason] += number
            self._unwritten[reason, backend] += number
            if (reason, backend) not in self._said_for_good:
                self._unsaid[reason, backend] += number
            if once:
                self._said_for_good.add((reason, backend))
            if detail:
                self._details[reason, backend] = detail

    def settle(self, *, finally_: bool = False) -> None:
        """Write what is not written and say what is not said; `finally_` does not wait."""
        if not self._unsaid and not self._unwritten:
            return
        with self._lock:
            unwritten, self._unwritten = self._unwritten, Counter()
            is_time = self._report.is_due() or finally_
            unsaid: Counter[tuple[str, str]] = Counter()
            if is_time:
                unsaid, self._unsaid = self._unsaid, unsaid
            details = {
                what: safe(text[:_MAX_LOOKED_AT])[:_MAX_DETAIL]
                for what, text in self._details.items()
            }
        for (reason, backend), number in unwritten.items():
            self._append(reason, number, backend, details.get((reason, backend), ""))
        for (reason, backend), number in unsaid.items():
            with contextlib.suppress(Exception):  # a log's handler may be anybody's
                self._say(sentence(reason, number, backend, details.get((reason, backend), "")))

    def _append(self, reason: str, number: int, backend: str, detail: str) -> None:
        entry = {
            "at": round(time.time(), 3),
            "pid": os.getpid(),
            "reason": reason,
            "number": number,
            "backend": backend,
            "detail": detail,
        }
        line = json.dumps(entry).encode() + b"\n"
        try:
            if not self._write(line):
                # A full disk: give up the room that was reserved for this.
                (self._path.parent / _RESERVE_NAME).unlink(missing_ok=True)
                self._write(line)
        except (OSError, ValueError):
            logger.debug("cannot write %s", self._path, exc_info=True)

    def _write(self, line: bytes) -> bool:
        """Whether the line is in the file, or the file is long enough without it."""
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(fd).st_size
            if size >= self._max_file_bytes:
                return True
            if os.write(fd, line) == len(line):
                return True
            os.ftruncate(fd, size)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        finally:
            os.close(fd)
        return False


def sentence(reason: str, number: int, backend: str = "", detail: str = "") -> str:
    """One loss in words: "dropped 512 spans: the spool was full at 256 MiB"."""
    verb, noun = "changed" if reason in NOT_SPANS else "dropped", noun_of(reason)
    text = f"{verb} {number} {noun}{'' if number == 1 else 's'}: {reason}"
    if backend:
        text += f" [{backend}]"
    return f"{text} ({detail})" if detail else text


def read_losses(directory: Path) -> list[dict[str, object]]:
    """Every entry of a spool's loss file, oldest first; a damaged line is left out."""
    try:
        lines = (directory / FILE_NAME).read_text(errors="replace").splitlines()
    except OSError:
        return []
    entries = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def count_losses(directory: Path) -> dict[str, int]:
    """The numbers of a spool's loss file, by reason."""
    counts: Counter[str] = Counter()
    for entry in read_losses(directory):
        number = entry.get("number")
        if isinstance(number, int):
            counts[str(entry.get("reason"))] += number
    return dict(counts)
