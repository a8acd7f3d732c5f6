"""One backend's own thread in the drainer: read, translate, send, acknowledge."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tracing.config.backends import LOG_LINES, Backend
from tracing.config.tenants import secrets_of, tenant_of
from tracing.deliver.labelled import LabelledDialect
from tracing.deliver.pace import PRODUCTION, Pace
from tracing.deliver.reading.segment_reader import SegmentReader
from tracing.deliver.senders.sender import (
    KeepsOpen,
    Sender,
    Translate,
    Unavailable,
    UsesSpareTime,
    make_sender,
)
from tracing.deliver.senders.tally import Carried, Tally
from tracing.deliver.status import BackendStatus, post_notice
from tracing.safe_text import get_logger, keep_secret
from tracing.spool import losses
from tracing.spool.acks import DONE, Acks
from tracing.spool.formats import is_foreign
from tracing.spool.losses import Ledger
from tracing.spool.segments import segment_paths, size_of

logger = get_logger(__name__)

_BATCH_BYTES = 2**20
_BATCH_SPANS = 512


class _Batch:
    """Spans, or log lines, of one or more segments, and how far each was read for them."""

    def __init__(self) -> None:
        self.parts: list[tuple[SegmentReader, Sequence[Carried]]] = []
        self.size = 0
        """How many there are in all parts."""
        self.readers: list[SegmentReader] = []
        self.finished: list[SegmentReader] = []

    @property
    def has_moved(self) -> bool:
        """Whether anything was read for it, be it nothing that is sent."""
        return any(reader.position > max(reader.acknowledged, 0) for reader in self.readers)

    def add(self, reader: SegmentReader, found: Sequence[Carried]) -> None:
        """Take what was read of a segment."""
        if found:
            self.parts.append((reader, found))
            self.size += len(found)


class Delivery(threading.Thread):
    """Delivers a spool to one backend until told to stop; other backends go their own pace."""

    def __init__(
        self,
        directory: Path,
        backend: Backend,
        ledger: Ledger,
        *,
        pace: Pace = PRODUCTION,
    ) -> None:
        super().__init__(name=f"tracing-{backend.name}", daemon=True)
        keep_secret(secrets_of(backend))
        self.status = BackendStatus(
            backend.name, backend.url, beside=backend.beside, tenant=tenant_of(backend)
        )
        self.done: frozenset[str] = frozenset()
        """The segments that this backend needs no more."""
        self.unreadable: frozenset[str] = frozenset()
        """The segments in a format of another version, which are left as they are."""
        self.stopping = threading.Event()
        self.hurry = threading.Event()
        self._directory = directory
        self._backend = backend
        self._carries_lines = backend.carries == LOG_LINES
        self._ledger = ledger
        self._tally = Tally(directory, backend.name, ledger)
        self._pace = pace
        self._acks = Acks(directory, backend.name)
        self._readers: dict[str, SegmentReader] = {}
        self._sender: Sender | None = None
        self._dialect: LabelledDialect
        """Made with the sender, where an error of theirs is this backend's alone."""
        self._down_since = 0.0
        self._said = False
        self.progressed_at = time.monotonic()

    def run(self) -> None:
        """Deliver batch after batch; an error of ours is logged and the batch tried again."""
        while not self.stopping.is_set():
            try:
                self._try_step()
            except Exception:  # what says so can fail itself: a log's handler may be anybody's
                self.stopping.wait(self._pace.longest_pause_seconds)
        if isinstance(self._sender, KeepsOpen):
            with contextlib.suppress(Exception):  # every batch was answered by now
                self._sender.close()

    def _try_step(self) -> None:
        try:
            self._step()
        except Unavailable as error:
            self._pause(error)
        except Exception as error:
            with contextlib.suppress(Exception):
                logger.exception("delivery to %s failed", self._backend.name)
            self._pause(Unavailable(f"internal error: {error!r}"))

    @property
    def is_idle(self) -> bool:
        """Whether every segment is delivered as far as it is written by now."""
        if self.status.state != "delivering":
            return False
        paths = [p for p in segment_paths(self._directory) if p.name not in self.unreadable]
        offsets = ((path, self._acks.offset(path.name)) for path in paths)
        return all(offset == DONE or offset >= size_of(path) for path, offset in offsets)

    def _step(self) -> None:
        self._follow_directory()
        if not self._await_batch():
            if isinstance(self._sender, UsesSpareTime):
                self._sender.use_spare_time()
            self.stopping.wait(self._pace.poll_seconds)
            return
        batch = self._collect()
        if batch.parts:
            self._send(batch)
        elif self._backend.settle_seconds and not batch.finished and not batch.has_moved:
            self.stopping.wait(self._pace.poll_seconds)  # for a call to have its names
            return
        self._acknowledge(batch)

    def _follow_directory(self) -> None:
        paths = segment_paths(self._directory)
        names = {path.name for path in paths}
        self._acks.forget(names)
        self._readers = {n: reader for n, reader in self._readers.items() if n in names}
        for path in paths:
            offset = self._acks.offset(path.name)
            if offset != DONE and path.name not in self._readers.keys() | self.unreadable:
                self._begin(path, offset)
        self.done = frozenset(n for n in names if self._acks.offset(n) == DONE)

    def _begin(self, path: Path, offset: int) -> None:
        """Read a segment from now on, if it is in a format that can be read."""
        if is_foreign(path):
            self.unreadable |= {path.name}
            return
        with contextlib.suppress(OSError):  # gone meanwhile, or to be tried again
            self._readers[path.name] = SegmentReader(
                path,
                offset,
                self._backend.open_spans,
                settle_seconds=self._backend.settle_seconds,
                lines=self._carries_lines,
            )

    def _await_batch(self) -> bool:
        """Whether there is something to do; lets a batch grow for a while."""
        began = time.monotonic()
        while not self.stopping.is_set():
            for reader in self._readers.values():
                reader.rewind()
            waiting = {r: r.unread_bytes() for r in self._readers.values()}
            self.status.pending_bytes = pending = sum(waiting.values())
            if any(not reader.is_being_written() for reader in self._readers.values()):
                return True
            if pending >= _BATCH_BYTES or (pending and self.hurry.is_set()):
                return True
            if not pending:
                self.hurry.clear()
                return False
            if time.monotonic() - began >= self._pace.linger_seconds:
                return True
            self.stopping.wait(self._pace.poll_seconds)
        return False

    def _collect(self) -> _Batch:
        batch, room = _Batch(), _BATCH_BYTES
        for reader in self._readers.values():
            alive = reader.is_being_written()  # asked before reading: then nothing is missed
            before = reader.position
            batch.add(reader, self._read(reader, room, _BATCH_SPANS - batch.size))
            room -= reader.position - before
            batch.readers.append(reader)
            if not alive and reader.position == before and not reader.is_gone:
                batch.add(reader, reader.recovered() if not self._carries_lines else [])
                batch.finished.append(reader)
            if room <= 0 or batch.size >= _BATCH_SPANS:
                break
        return batch

    def _read(self, reader: SegmentReader, limit_bytes: int, limit: int) -> Sequence[Carried]:
        if self._carries_lines:
            return reader.read_lines(limit_bytes, limit)
        return reader.read(limit_bytes, limit)

    def _send(self, batch: _Batch) -> None:
        if self._sender is None:
            self._dialect = LabelledDialect(self._backend)
            self._sender = make_sender(self._backend, self._tally)
        translated = [
            found
            for reader, carried in batch.parts
            for found in self._translated(carried, self._dialect.of(reader.labels))
        ]
        self.status.asking_since = time.time()
        try:
            self._deliver(self._sender, translated)
        finally:
            self.status.asking_since = 0.0
        self.status.delivered_spans += len(translated)

    def _deliver(self, sender: Sender, spans: list[Carried]) -> None:
        """Deliver the spans, but those on which the sender itself fails, which are counted.

        Where it fails on every one, that is no span's fault: the error is raised, and all wait.
        """
        parts, failed, passed = [spans], [], 0
        while parts:
            part = parts.pop()
            try:
                sender.deliver(part)
                passed += len(part)
            except Unavailable:
                raise
            except Exception as error:
                if len(part) > 1:
                    parts += [part[len(part) // 2 :], part[: len(part) // 2]]
                else:
                    failed.append((part[0], error))
        if failed and not passed:
            raise failed[0][1]
        for span, why in failed:
            self._tally.unsendable(span, why)

    def _translated(self, spans: Sequence[Carried], translate: Translate) -> Iterator[Carried]:
        """The spans in the backend's dialect; an error there costs one span, and is counted."""
        for span in spans:
            try:
                found = translate(span)
            except Exception:
                what = getattr(span, "name", "a log line")
                with contextlib.suppress(Exception):
                    logger.exception("the dialect of %s failed on %s", self._backend.name, what)
                detail = f"the dialect failed on {what}"
                self._ledger.count(losses.UNTRANSLATED, backend=self._backend.name, detail=detail)
                continue
            if found is not None:
                yield found

    def _acknowledge(self, batch: _Batch) -> None:
        for reader in batch.readers:
            self._ledger.count(losses.DAMAGED, reader.damaged, backend=self._backend.name)
            reader.damaged = 0
        offsets = {reader.path.name: reader.position for reader in batch.readers}
        offsets |= {reader.path.name: DONE for reader in batch.finished}
        for reader in batch.readers:
            reader.acknowledged = reader.position
        for reader in batch.finished:
            del self._readers[reader.path.name]
        self._acks.acknowledge(offsets)
        self.progressed_at = time.monotonic()
        if self.status.state != "delivering":
            self._resume()

    def _resume(self) -> None:
        if self._said:
            self._notice(logging.INFO, f"{self._backend.name} takes {self._backend.carries} again")
        self.status.state, self.status.since = "delivering", time.time()
        self.status.detail = ""
        self._down_since, self._said = 0.0, False

    def _pause(self, error: Unavailable) -> None:
        """Wait a tenth of how long the backend has been away, so that it is found again soon."""
        now = time.monotonic()
        self._down_since = self._down_since or now
        down_seconds = now - self._down_since
        state = "paused" if error.refused else "retrying"
        if state != self.status.state:
            self.status.state, self.status.since = state, time.time()  # type: ignore[assignment]
            self._said = self._said and not error.refused
        self.status.detail = str(error)
        if not self._said and (error.refused or down_seconds > self._pace.say_after_seconds):
            self._said = True
            what = error.mend or (self._backend.mend if error.refused else "")
            mend = f" Mend: {what}." if what else ""
            kept = f"No {self._backend.carries.removesuffix('s')} is lost: they wait on disk."
            self._notice(logging.WARNING, f"{error}. {kept}{mend}")
        shortest, longest = self._pace.shortest_pause_seconds, self._pace.longest_pause_seconds
        wait = min(max(down_seconds / 10, shortest), longest)
        wait = max(wait * random.uniform(0.75, 1.25), error.retry_after_seconds or 0.0)
        self.stopping.wait(wait)

    def _notice(self, level: int, text: str) -> None:
        try:
            post_notice(self._directory, self._backend.name, level, text)
        except OSError:
            logger.log(level, "%s", text)
