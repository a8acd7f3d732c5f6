"""Run one row with one contender, and account for every span."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import disk, processes, soak
from .checks import CHECKS
from .contenders import SECRET_KEY, Target, is_ours
from .evidence import Evidence, read_ended
from .meddling import meddling
from .processes import Program
from .producer import Work
from .receiver import Receiver
from .replies import Script
from .row import BUSY_EXIT_SECONDS, HUNG_EXIT_SECONDS, Row

_PROGRAM_GRACE_SECONDS = 60.0
_LAST_KILL_BEFORE_END_SECONDS = 3.0
"""A drainer that dies with its producer is replaced by the next start only."""


@dataclass
class Outcome:
    """One cell of the table."""

    row: str
    contender: str
    produced: int = 0
    lost: int = 0
    counted: int = 0
    """Losses that a message counts."""
    sent_again: int = 0
    flush_seconds: float = 0.0
    exit_seconds: float = 0.0
    drainer_mib: float = 0.0
    """The most memory that the drainer has taken when the cause ended."""
    settle_seconds: float = 0.0
    """From the cause's end to the last arrival."""
    failures: list[str] = field(default_factory=list)
    """The targets that were missed, for ours."""
    skipped: str = ""
    told: str = ""
    """What else there is to say of it."""

    @property
    def lost_percent(self) -> float:
        """Of the produced spans."""
        return 100 * self.lost / self.produced if self.produced else 0.0


def run_row(row: Row, contender: str, folder: Path) -> Outcome:
    """Run one row; `folder` must not exist yet."""
    folder.mkdir(parents=True)
    try:
        with ExitStack() as stack:
            spool = stack.enter_context(disk.prepared(row.disk, folder / "spool"))
            stack.callback(processes.kill_others, spool)
            if row.containers and not processes.has_namespaces():
                raise disk.Unavailable("no pid namespace can be had here")
            evidence = _evidence(row, contender, folder, stack)
            return _run(evidence)
    except disk.Unavailable as error:
        return Outcome(row.name, contender, skipped=str(error))


def _evidence(row: Row, contender: str, folder: Path, stack: ExitStack) -> Evidence:
    target = Target("")
    authorization = target.authorization if row.wrong_key else None
    phases = soak.phases(row.seconds, seed=1) if row.kind == "soak" else row.phases
    receiver = Receiver(Script(*phases), authorization=authorization)
    stack.enter_context(receiver)
    second = stack.enter_context(Receiver()) if contender == "ours-twice" else None
    return Evidence(row, contender, folder, receiver, second)


def _run(evidence: Evidence) -> Outcome:
    row = evidence.row
    outcome = Outcome(row.name, evidence.contender)
    if row.kind == "soak":
        evidence.receiver.script.start()
        soak.run(evidence)
    else:
        _run_program(evidence)
        _note_times(evidence, outcome)
    outcome.produced = len(evidence.ended)
    if row.restart:
        processes.kill_others(evidence.spool)
        disk.damage(row.disk, evidence.spool)
    evidence.receiver.script.heal()
    healed_at = time.time()
    if row.restart:
        _start(evidence, restarted=True).wait(_PROGRAM_GRACE_SECONDS)
    evidence.drainer_mib = processes.peak_mib(evidence.spool)
    _settle(evidence)
    arrivals = [stored.first_seen for stored in evidence.receiver.spans_by_id.values()]
    outcome.settle_seconds = max([healed_at, *arrivals]) - healed_at
    _account(evidence, outcome)
    return outcome


def _run_program(evidence: Evidence) -> None:
    program = evidence.program = _start(evidence, restarted=False)
    others = [_start(evidence, restarted=False, agent=n) for n in range(1, evidence.row.agents)]
    if not all(one.wait_for("ready") for one in (program, *others)):
        if _refused_set_up(evidence):
            return
        raise RuntimeError(f"the program never began:\n{evidence.logs}")
    evidence.receiver.script.start()
    with _drainer_killer(evidence), meddling(evidence):
        _follow(evidence, program)
    for other in others:
        other.wait(_PROGRAM_GRACE_SECONDS)
    for path in evidence.folder.rglob("ended-0"):
        evidence.ended.update(read_ended(path))
    evidence.ended.update(evidence.more_ended)


def _refused_set_up(evidence: Evidence) -> bool:
    """Whether set-up has said no, as it may where nothing can be written."""
    may_refuse = evidence.row.disk == "read-only" or evidence.row.is_refused
    return may_refuse and "ConfigError" in evidence.logs


def _start(evidence: Evidence, *, restarted: bool, agent: int = 0) -> Program:
    row = evidence.row
    folder = evidence.folder / f"agent-{agent}" if agent else evidence.folder
    folder.mkdir(exist_ok=True)
    wrong = row.wrong_key and not restarted
    target = Target(
        evidence.receiver.base_url,
        secret_key="sk-lf-wrong" if wrong else SECRET_KEY,
        second_url=evidence.second.base_url if evidence.second else "",
    )
    work = Work(
        contender=evidence.contender,
        target=dataclasses.asdict(target),
        ended_file=str(folder / f"ended-{int(restarted)}"),
        kind="steady" if restarted else row.kind,
        seconds=1.0 if restarted else row.seconds,
        count=row.count,
        method=row.method,
        ending=_ending(row, evidence.contender, restarted),
        directory=str(evidence.spool) if row.delete_spool else "",
        clock_step_seconds=row.clock_step_seconds,
        executable="" if restarted else row.executable,
        no_locks=row.no_locks,
    )
    module = "tests.faults.producer" if restarted else row.module
    settings, is_inside = dict(row.settings), row.containers
    return processes.start(work, folder, evidence.spool, module, settings, in_container=is_inside)


def _ending(row: Row, contender: str, restarted: bool) -> str:
    if restarted:
        return "exit"
    if row.ending == "flush" and is_ours(contender) and not row.flush_ours:
        return "exit"  # with ours, nobody calls flush
    return row.ending


def _follow(evidence: Evidence, program: Program) -> None:
    """Kill the program at its time, or see it out."""
    row = evidence.row
    if row.kill_after_seconds:
        time.sleep(row.kill_after_seconds)
        program.kill(row.kill_signal)
    if row.module == "tests.faults.job" and row.ending == "kill":
        program.wait_for("done")
        processes.kill_others(evidence.spool)
    evidence.never_ended = not program.wait(row.seconds + _PROGRAM_GRACE_SECONDS)


@contextmanager
def _drainer_killer(evidence: Evidence) -> Iterator[None]:
    """Kill the drainers of the row every so often, while the block runs."""
    pause = evidence.row.kill_drainer_seconds
    stop = threading.Event()

    def kill() -> None:
        deadline = time.monotonic() + evidence.row.seconds - _LAST_KILL_BEFORE_END_SECONDS
        while not stop.wait(pause) and time.monotonic() < deadline:
            for pid in processes.drainers(evidence.spool):
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    if pause:
        thread.start()
    yield
    stop.set()
    if pause:
        thread.join()


def _note_times(evidence: Evidence, outcome: Outcome) -> None:
    program = evidence.program
    assert program is not None
    done = program.said("done")
    left = program.said("left")
    if evidence.never_ended:
        outcome.exit_seconds = _PROGRAM_GRACE_SECONDS
    if done is None or left is None:
        return
    outcome.flush_seconds = done["flush_seconds"]
    outcome.exit_seconds = max(left["at"] - done["at"], 0.0)
    frozen = program.said("frozen")
    evidence.loop_frozen_seconds = frozen["seconds"] if frozen else 0.0


def _settle(evidence: Evidence) -> None:
    """Wait for late spans: ours outlive their process, today's cannot."""
    limit = evidence.row.settle_seconds if is_ours(evidence.contender) else 0.5
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and (evidence.missing or _expects_more(evidence)):
        if evidence.row.may_lose and len(evidence.missing) <= evidence.counted:
            break
        time.sleep(0.05)
    if is_ours(evidence.contender):
        time.sleep(1.0)  # what a hasty second delivery would send again


def _expects_more(evidence: Evidence) -> bool:
    """Whether spans that never ended are still to come, closed by the drainer."""
    names = {"open_spans_closed", "one_root"} & set(evidence.row.checks)
    arrived = evidence.receiver.spans_by_id
    return bool(names) and arrived.keys() <= evidence.ended.keys()


def _account(evidence: Evidence, outcome: Outcome) -> None:
    row, stored = evidence.row, evidence.receiver.spans_by_id
    outcome.lost = len(evidence.missing)
    outcome.drainer_mib = evidence.drainer_mib
    outcome.counted = evidence.counted
    outcome.sent_again = sum(stored[key].count - 1 for key in evidence.ended.keys() & stored.keys())
    if not is_ours(evidence.contender):
        return
    limit = HUNG_EXIT_SECONDS if row.alone else BUSY_EXIT_SECONDS
    found = [
        _unless(outcome.produced > 0 or _refused_set_up(evidence), "nothing was produced"),
        _unless(outcome.lost == 0 or row.may_lose, f"{outcome.lost} spans lost"),
        _unless(outcome.lost <= outcome.counted, f"{outcome.lost - outcome.counted} lost silently"),
        _unless(outcome.flush_seconds <= limit, f"flush {outcome.flush_seconds:.1f} s"),
        _unless(outcome.exit_seconds <= limit, f"exit {outcome.exit_seconds:.1f} s"),
        _unless(not evidence.receiver.refusals, f"refused: {evidence.receiver.refusals[:1]}"),
        *_damages(evidence),
    ]
    outcome.failures = [failure for failure in found if failure]
    if row.kind == "soak":
        outcome.failures += soak.missed(evidence, outcome.sent_again)
        outcome.told = soak.summary(evidence)
    for name in row.checks:
        outcome.failures += CHECKS[name](evidence)


def _unless(fine: bool, failure: str) -> str:
    return "" if fine else failure


def _damages(evidence: Evidence) -> Iterator[str]:
    """Spans that arrived other than they ended."""
    both = evidence.ended.keys() & evidence.receiver.spans_by_id.keys()
    stored = evidence.receiver.spans_by_id
    changed = [
        key
        for key in both
        if stored[key].span.end_time_unix_nano != evidence.ended[key]
        and not (evidence.row.disk and stored[key].is_error)  # recovered from its start record
    ]
    if changed:
        yield f"{len(changed)} spans arrived with another end"
    garbled = [key for key in both if not stored[key].is_intact]
    if garbled:
        yield f"{len(garbled)} spans arrived garbled"


def clean(folder: Path) -> None:
    """Remove what a row left on disk."""
    shutil.rmtree(folder, ignore_errors=True)
