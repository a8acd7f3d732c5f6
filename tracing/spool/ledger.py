"""What was lost, by reason: counted, appended to a file, said in the log once a minute."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter
from pathlib import Path

logger = logging.getLogger(__name__)

FILE_NAME = "losses.jsonl"
_SAY_EVERY_SECONDS = 60.0
_MAX_FILE_BYTES = 1024 * 1024

WRITE_FAILED = "the spool could not be written"
SPOOL_DELETED = "the spool directory was deleted"
SPOOL_FULL = "the spool was full"
EXPIRED = "the spans were too old"
DAMAGED = "the record was damaged"
QUARANTINED = "the backend rejected the span"
PARTIALLY_REJECTED = "the backend accepted the request in part"
TRUNCATED = "an attribute was truncated"
MASK_FAILED = "the mask failed, so the value was withheld"
INTERNAL_ERROR = "an internal error"

NOT_SPANS = frozenset({TRUNCATED, MASK_FAILED})
"""Reasons that count attributes, not spans."""


class Ledger:
    """The losses of one process, kept in memory and in the spool's own loss file.

    Counting costs nothing but an addition; the file and the log are written by `settle`,
    off the voice loop, and at most once a minute where nobody asks.
    """

    def __init__(self, directory: Path, *, say: bool = True) -> None:
        self._path = directory / FILE_NAME
        self._say = say
        self._lock = threading.Lock()
        self._unsettled: Counter[tuple[str, str]] = Counter()
        self._details: dict[tuple[str, str], str] = {}
        self._said_at = float("-inf")
        self.counts: Counter[str] = Counter()
        """What this process counted, by reason."""

    def count(self, reason: str, number: int = 1, *, backend: str = "", detail: str = "") -> None:
        """Count `number` losses; `detail` is the system's or the server's own words."""
        if number <= 0:
            return
        with self._lock:
            self.counts[reason] += number
            self._unsettled[reason, backend] += number
            if detail:
                self._details[reason, backend] = detail

    def settle(self, *, now: bool = False) -> None:
        """Write and say what was counted since, unless that was done less than a minute ago."""
        if not self._unsettled:
            return
        if not now and time.monotonic() - self._said_at < _SAY_EVERY_SECONDS:
            return
        with self._lock:
            lost, self._unsettled = self._unsettled, Counter()
            details, self._details = self._details, {}
            self._said_at = time.monotonic()
        for (reason, backend), number in lost.items():
            detail = details.get((reason, backend), "")
            self._append(reason, number, backend, detail)
            if self._say:
                logger.warning("%s", sentence(reason, number, backend, detail))

    def _append(self, reason: str, number: int, backend: str, detail: str) -> None:
        entry = {
            "at": round(time.time(), 3),
            "pid": os.getpid(),
            "reason": reason,
            "number": number,
            "backend": backend,
            "detail": detail[:500],
        }
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                if os.fstat(fd).st_size < _MAX_FILE_BYTES:
                    os.write(fd, json.dumps(entry).encode() + b"\n")
            finally:
                os.close(fd)
        except OSError:
            logger.debug("cannot write %s", self._path, exc_info=True)


def sentence(reason: str, number: int, backend: str = "", detail: str = "") -> str:
    """One loss in words: "dropped 512 spans: the spool was full at 256 MiB"."""
    verb, noun = ("changed", "attribute") if reason in NOT_SPANS else ("dropped", "span")
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
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries
