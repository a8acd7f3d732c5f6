"""Recorded spans through the path of the live ones: stamp, spool, translate, deliver."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

from xxhash import xxh3_64_hexdigest

from tracing import names
from tracing.account.restamp import restamp
from tracing.account.rewrites import RecordedInputs, with_status
from tracing.config.backends import fingerprint, labels_of
from tracing.config.settings import Settings, backends_of
from tracing.deliver.drainer import Drainer
from tracing.deliver.flush import flush_spool, waiting_bytes
from tracing.deliver.outcome import Outcome, Outcomes
from tracing.harmless.filter import Harmless
from tracing.otlp_json import LeftOut
from tracing.otlp_json.packed import STANDARD_INPUT
from tracing.read.sources import RecordedFiles
from tracing.safe_text import get_logger
from tracing.span import Span
from tracing.spool import losses
from tracing.spool.files import make_private_directory, make_spool, write_json
from tracing.spool.losses import Ledger
from tracing.spool.records import end_frame
from tracing.spool.segments import SegmentWriter

logger = get_logger(__name__)

Progress = Callable[[int, int], None]
"""Is told now and then how many spans, of how many, the slowest backend has taken."""

_TICK_SECONDS = 0.1
_STATES = "replays"


class Plan(NamedTuple):
    """What a replay is to deliver, and where it begins."""

    calls: Sequence[Sequence[Span]]
    """The spans of each trace in the order in which they ended."""
    begin: int
    """How many of the calls an earlier replay of these files has written into the spool."""
    left_out: Mapping[Path, LeftOut]
    """What could not be read of each file."""
    directory: Path
    """The spool."""
    state: Path | None
    """Where it is kept how far the replay has come; None where files cannot be told again."""

    @property
    def spans(self) -> int:
        """How many spans are still to be written."""
        return sum(map(len, self.calls[self.begin :]))

    def told(self) -> str:
        """What would be done."""
        return f"would deliver {len(self.calls) - self.begin:,} calls, {self.spans:,} spans"


class Replayed(NamedTuple):
    """What a replay did."""

    plan: Plan
    calls: int
    """Written into the spool by this replay."""
    spans: int
    waiting_bytes: int
    """What some backend has not taken; the next replay or agent delivers it."""
    outcomes: Sequence[Outcome]
    """Of each backend."""
    lost: Mapping[str, int]
    """What was lost or changed meanwhile, by reason."""

    @property
    def is_complete(self) -> bool:
        """Whether every backend has taken all that the files hold."""
        is_whole = not self.plan.left_out and self.lost.keys() <= losses.NOT_SPANS
        return is_whole and not self.waiting_bytes and not self.not_begun

    @property
    def not_begun(self) -> int:
        """Calls that are not in the spool, because too much waits there."""
        return len(self.plan.calls) - self.plan.begin - self.calls

    def told(self) -> Iterator[str]:
        """What a person should know of it, a line each."""
        yield f"{self.calls:,} calls, {self.spans:,} spans by way of {self.plan.directory}"
        if self.plan.begin:
            yield f"calls from a replay that was stopped: {self.plan.begin:,}"
        yield from map(str, self.outcomes)
        yield from (losses.sentence(reason, number) for reason, number in self.lost.items())
        if self.not_begun:
            yield f"calls not begun: {self.not_begun:,}; the same command goes on with them"
        if self.waiting_bytes:
            yield "what waits is on disk: the same command, or an agent, delivers it"


def plan_replay(files: Iterable[Path], settings: Settings, *, strict: bool = False) -> Plan:
    """Read the files and see what is left to do; nothing is written."""
    paths = list(files)
    recorded = RecordedFiles(paths, strict=strict)
    spool = fingerprint(backends_of(settings))
    identity = _identity(paths)
    state = settings.directory / _STATES / f"{spool}-{identity}.json" if identity else None
    calls = [sorted(spans, key=lambda span: span.end_time_unix_nano) for spans in recorded.traces]
    return Plan(
        calls=calls,
        begin=min(_calls_done(state), len(calls)),
        left_out=recorded.left_out,
        directory=settings.directory / "spool" / spool,
        state=state,
    )


def replay(
    files: Iterable[Path],
    settings: Settings,
    *,
    strict: bool = False,
    spans_per_second: float | None = None,
    progress: Progress = lambda taken, spans: None,
    give_up_after_seconds: float = 10.0,
) -> Replayed:
    """Deliver the spans of OTLP JSON files as if their calls were happening now.

    What the live processor stamps is computed from the recording first, by the same code, so
    that calls recorded without us come out the same. The spool is filled by half, or for a
    second at the given rate, and emptied before the next calls. Returns when all is delivered,
    or when the backends took nothing for `give_up_after_seconds`; what is in the spool waits
    there, and the next replay of the same files goes on behind it.
    """
    plan = plan_replay(files, settings, strict=strict)
    make_spool(settings.directory, plan.directory.name)
    outcomes = Outcomes(plan.directory, backends_of(settings))
    run = _Run(plan, settings, progress, give_up_after_seconds)
    for portion in _portions(plan, settings.spool_bytes // 2, spans_per_second):
        began = time.monotonic()
        run.write(portion)
        run.drain()
        if waiting_bytes(plan.directory):
            break
        if spans_per_second and run.calls < len(plan.calls):
            due = began + sum(map(len, portion)) / spans_per_second
            time.sleep(max(due - time.monotonic(), 0))
    waiting = waiting_bytes(plan.directory)
    if plan.state is not None and not waiting and run.calls == len(plan.calls):
        plan.state.unlink(missing_ok=True)
    return Replayed(
        plan=plan,
        calls=run.calls - plan.begin,
        spans=run.spans,
        waiting_bytes=waiting,
        outcomes=outcomes.since(run.spans),
        lost=outcomes.lost(),
    )


def _portions(
    plan: Plan, most_bytes: int, spans_per_second: float | None
) -> Iterator[list[Sequence[Span]]]:
    """The calls that go into the spool at once; one portion of none where nothing is to do."""
    portion: list[Sequence[Span]] = []
    spans = size = 0
    for call in plan.calls[plan.begin :]:
        portion.append(call)
        spans += len(call)
        size += sum(len(end_frame(span, span.attributes)) for span in call)
        if size >= most_bytes or (spans_per_second and spans >= spans_per_second):
            yield portion
            portion, spans, size = [], 0, 0
    if portion or plan.begin == len(plan.calls):
        yield portion


class _Run:
    """One replay under way."""

    def __init__(
        self, plan: Plan, settings: Settings, progress: Progress, give_up_after_seconds: float
    ) -> None:
        self.calls = plan.begin
        """How many calls are in the spool or delivered."""
        self.spans = 0
        """How many spans were written."""
        self._plan = plan
        self._settings = settings
        self._progress = progress
        self._give_up_after_seconds = give_up_after_seconds
        self._settled = 0
        """How many spans were written before this portion."""
        self._most_waiting = 0

    def write(self, calls: Sequence[Sequence[Span]]) -> None:
        """Write calls into the spool, and after each how many are there."""
        directory, settings = self._plan.directory, self._settings
        self._settled, self._most_waiting = self.spans, 0
        ledger = Ledger(directory)
        writer = SegmentWriter(
            directory,
            resource={},
            labels=labels_of(backends_of(settings)),
            ledger=ledger,
            spool_bytes=settings.spool_bytes,
        )
        writer.open()
        harmless = Harmless(settings.content_safe)
        for call in calls:
            # Whoever recorded the call may have demanded that its content be withheld.
            is_withheld = not settings.capture_content or any(
                names.demands_redaction(span.attributes) for span in call
            )
            written = [harmless.span(span) for span in call] if is_withheld else call
            for span in _as_live(written, ledger, rebuild_inputs=settings.speaks_langfuse):
                writer.append(end_frame(span, span.attributes))
            self.calls += 1
            self.spans += len(call)
            self._remember()
        writer.close()
        ledger.settle()

    def drain(self) -> None:
        """Deliver what is in the spool, or let the drainer do it that is at work there."""
        drainer = Drainer(
            self._plan.directory,
            backends_of(self._settings),
            spool_bytes=self._settings.spool_bytes,
            max_age_seconds=self._settings.max_age_seconds,
            give_up_after_seconds=self._give_up_after_seconds,
        )
        with ThreadPoolExecutor(1, thread_name_prefix="tracing-replay") as pool:
            draining = pool.submit(drainer.run)
            try:
                while not draining.done():
                    self._tell()
                    wait([draining], _TICK_SECONDS)
            finally:
                drainer.stopping.set()
        if not draining.result():  # an agent's drainer is at work here
            flush_spool(self._plan.directory, self._give_up_after_seconds, patient=True)
        self._tell()

    def _remember(self) -> None:
        if self._plan.state is not None:
            make_private_directory(self._plan.state.parent)
            write_json(self._plan.state, {"calls": self.calls})

    def _tell(self) -> None:
        waiting = waiting_bytes(self._plan.directory)
        self._most_waiting = max(self._most_waiting, waiting)
        taken = 1 - waiting / self._most_waiting if waiting else 1
        self._progress(self._settled + int(taken * (self.spans - self._settled)), self._plan.spans)


def _as_live(spans: Sequence[Span], ledger: Ledger, *, rebuild_inputs: bool) -> Sequence[Span]:
    """The spans of one call with the stamps of the processor; without, where it defeats them."""
    inputs = RecordedInputs()
    try:
        stamped = restamp(spans, rebuild_inputs=rebuild_inputs)
        return [with_status(inputs.once(span)) for span in stamped]
    except Exception as error:
        trace_id, words = spans[0].trace_id.hex(), repr(error)
        logger.warning("trace %s goes without our stamps: %s", trace_id, words)
        ledger.count(losses.UNSTAMPED, len(spans))
        return spans


def _identity(paths: Sequence[Path]) -> str:
    """What tells these files again as long as nobody writes to them; empty for standard input."""
    if STANDARD_INPUT in paths:
        return ""
    seen = [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for s in (p.stat() for p in paths)]
    return xxh3_64_hexdigest(repr(seen).encode())


def _calls_done(state: Path | None) -> int:
    """How far an earlier replay came; 0 where there was none, or it cannot be told."""
    try:
        return max(int(json.loads(state.read_text())["calls"]), 0) if state is not None else 0
    except (OSError, ValueError, TypeError, KeyError):
        return 0
