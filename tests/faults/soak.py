"""The soak: all that can happen to agents, drainers, disk and backend, at random."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from . import processes, replies
from .contenders import Target
from .evidence import Evidence, read_ended
from .meddling import ids_in, spool_of
from .old_format import old_segment
from .processes import Program
from .producer import Work
from .replies import Phase

PRODUCERS = 4
PER_SECOND = 70.0
"""Of each producer; with the time to start again, 100,000 spans in ten minutes."""
PRODUCER_LIVES_SECONDS = (5.0, 40.0)
DRAINER_LIVES_SECONDS = (5.0, 20.0)
FROZEN_SECONDS = (0.5, 4.0)
STOPPED_SECONDS = (5.0, 50.0)
"""How long a drainer is stopped; after 30 s the agents end it."""
MAX_SENT_AGAIN_PERCENT = 5.0
MAX_STALL_SECONDS = 1.0
_TWO_AT_ONCE_SECONDS = 12.0
"""Longer than a drainer whose spool was moved takes to end beside the next one."""
_LAST_MOVE_SECONDS = 8.0
"""How long before the end the spool is moved for the last time: agents look once a second."""
_PRODUCING_SHARE = 0.4
_RARE = 40
"""One request in so many is stored and then answered with a RST."""


def phases(seconds: float, seed: int) -> tuple[Phase, ...]:
    """A backend that is well half of the time, and ill in every way the rest of it."""
    chance = random.Random(seed)
    mostly_well = (*[replies.OK] * (_RARE - 1), replies.STORED_THEN_RESET)
    flapping = (replies.UNAVAILABLE, replies.OK, replies.SERVER_ERROR, replies.OK)
    refusing = ((replies.UNAUTHORIZED,), (replies.NOT_FOUND,))
    ill = ((replies.UNAVAILABLE,), (replies.DOWN,), (replies.HANG,), flapping, *refusing)
    found: list[Phase] = []
    while sum(phase.seconds for phase in found) < seconds:
        found.append(Phase(chance.uniform(4, 16), mostly_well))
        found.append(Phase(chance.uniform(2, 8), chance.choice(ill)))
    return tuple(found)


class Soak:
    """One soak: the agents that live now, what was done to them, who drained."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.stop = threading.Event()
        self._ends_at = time.monotonic() + evidence.row.seconds
        self.programs: dict[int, Program] = {}
        self.frozen: list[tuple[float, float]] = []
        """From when to when an agent was stopped, by the monotonic clock."""

    def run(self) -> None:
        """Keep it up for the row's seconds; all agents die at the end."""
        chaos = (
            (self._kill_drainers, DRAINER_LIVES_SECONDS),
            (self._freeze_an_agent, (4.0, 12.0)),
            (self._stop_a_drainer, (20.0, 60.0)),
            (self._move_the_spool, (15.0, 60.0)),
            (self._leave_an_old_segment, (5.0, 20.0)),
        )
        slots = [threading.Thread(target=self._keep_alive, args=(n,)) for n in range(PRODUCERS)]
        others = [threading.Thread(target=self._at_random, args=pair) for pair in chaos]
        others.append(threading.Thread(target=self._count_drainers))
        for thread in (*slots, *others):
            thread.start()
        self.stop.wait(self._ends_at - time.monotonic())
        self.stop.set()
        for thread in (*slots, *others):
            thread.join()

    def _keep_alive(self, slot: int) -> None:
        """One agent after another, each killed in the middle of its work."""
        chance = random.Random(slot)
        life = 0
        while not self.stop.is_set():
            life += 1
            program = self.programs[slot] = _start(self.evidence, f"{slot}-{life}")
            if not program.wait_for("ready"):
                raise RuntimeError(f"a producer never began:\n{self.evidence.logs[-2000:]}")
            self.stop.wait(chance.uniform(*PRODUCER_LIVES_SECONDS))
            program.kill(signal.SIGKILL)
            program.wait(10)

    def _at_random(self, act: Callable[[], None], pauses: tuple[float, float]) -> None:
        """Do something again and again, with pauses between these two."""
        chance = random.Random(act.__name__)
        while not self.stop.wait(chance.uniform(*pauses)):
            with suppress(OSError, ValueError):  # it was gone, or between two places
                act()
            self.evidence.happened[act.__name__.strip("_")] += 1

    def _kill_drainers(self) -> None:
        for pid in processes.drainers(self.evidence.spool):
            os.kill(pid, signal.SIGKILL)

    def _freeze_an_agent(self) -> None:
        program, began = random.choice([*self.programs.values()]), time.monotonic()
        program.kill(signal.SIGSTOP)
        self.stop.wait(random.uniform(*FROZEN_SECONDS))
        program.kill(signal.SIGCONT)
        self.frozen.append((began, time.monotonic()))

    def _stop_a_drainer(self) -> None:
        for pid in processes.drainers(self.evidence.spool)[:1]:
            os.kill(pid, signal.SIGSTOP)
            self.stop.wait(random.uniform(*STOPPED_SECONDS))
            os.kill(pid, signal.SIGCONT)

    def _move_the_spool(self) -> None:
        if time.monotonic() > self._ends_at - _LAST_MOVE_SECONDS:
            return  # whom nobody has seen move, nobody finds again
        directory = spool_of(self.evidence.spool)
        away = self.evidence.folder / f"moved-{self.evidence.happened['move_the_spool']}"
        directory.rename(away)

    def _leave_an_old_segment(self) -> None:
        data, now = old_segment(100), time.time_ns() // 1_000_000
        new = spool_of(self.evidence.spool) / f"{now:013d}.1-aaaaaa.000001.new"
        new.write_bytes(data)
        new.rename(new.with_suffix(".seg"))
        self.evidence.more_ended.update(ids_in(data))

    def _count_drainers(self) -> None:
        """For how long two drainers that could work were at it; a stopped one cannot."""
        since = 0.0
        while not self.stop.wait(0.2):
            able = [p for p in processes.drainers(self.evidence.spool) if processes.can_run(p)]
            since = (since or time.monotonic()) if len(able) > 1 else 0.0
            two = time.monotonic() - since if since else 0.0
            self.evidence.two_drainers_seconds = max(self.evidence.two_drainers_seconds, two)


def run(evidence: Evidence) -> None:
    """Run a soak, and gather what ended in it."""
    soak = Soak(evidence)
    soak.run()
    for path in sorted(evidence.folder.glob("ended-soak-*")):
        evidence.ended.update(read_ended(path))
    evidence.ended.update(evidence.more_ended)
    stalls = [s for began, s in evidence.held if not _overlaps(began, began + s, soak.frozen)]
    evidence.longest_stall_seconds = max(stalls, default=0.0)


def _overlaps(began: float, ended: float, periods: list[tuple[float, float]]) -> bool:
    return any(began < end and start < ended for start, end in periods)


def _start(evidence: Evidence, name: str) -> Program:
    folder = evidence.folder / f"life-{name}"
    folder.mkdir()
    work = Work(
        contender=evidence.contender,
        target=dataclasses.asdict(Target(evidence.receiver.base_url)),
        ended_file=str(evidence.folder / f"ended-soak-{name}"),
        seconds=600,
        per_second=PER_SECOND,
    )
    return processes.start(work, folder, evidence.spool)


def missed(evidence: Evidence, sent_again: int) -> Iterator[str]:
    """The targets of the soak beyond "nothing lost"."""
    produced = len(evidence.ended)
    wanted = int(evidence.row.seconds * PER_SECOND * PRODUCERS * _PRODUCING_SHARE)
    if produced < wanted:
        yield f"only {produced} spans produced"
    percent = 100 * sent_again / max(produced, 1)
    if percent > MAX_SENT_AGAIN_PERCENT:
        yield f"{percent:.1f} % sent again"
    if evidence.two_drainers_seconds > _TWO_AT_ONCE_SECONDS:
        yield f"two drainers at once for {evidence.two_drainers_seconds:.0f} s"
    if evidence.longest_stall_seconds > MAX_STALL_SECONDS:
        yield f"the loop was held for {evidence.longest_stall_seconds:.1f} s"


def summary(evidence: Evidence) -> str:
    """What happened, in a line."""
    acts = ", ".join(f"{name} {n}" for name, n in sorted(evidence.happened.items()))
    return (
        f"{acts}; longest stall of a loop {evidence.longest_stall_seconds * 1000:.0f} ms; "
        f"two drainers at once for {evidence.two_drainers_seconds:.1f} s at the most"
    )
