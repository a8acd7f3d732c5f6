"""The soak: producers and the drainer die at random while the backend flaps."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import threading

from . import processes, replies
from .contenders import Target
from .evidence import Evidence, read_ended
from .processes import Program
from .producer import Work
from .replies import Phase

PRODUCERS = 4
PER_SECOND = 70.0
"""Of each producer; with the time to start again, 100,000 spans in ten minutes."""
PRODUCER_LIVES_SECONDS = (5.0, 40.0)
DRAINER_LIVES_SECONDS = (5.0, 20.0)
MAX_SENT_AGAIN_PERCENT = 5.0
_PRODUCING_SHARE = 0.4
_RARE = 40
"""One request in so many is stored and then answered with a RST."""


def phases(seconds: float, seed: int) -> tuple[Phase, ...]:
    """A backend that is well half of the time, and ill in every way the rest of it."""
    chance = random.Random(seed)
    mostly_well = (*[replies.OK] * (_RARE - 1), replies.STORED_THEN_RESET)
    flapping = (replies.UNAVAILABLE, replies.OK, replies.SERVER_ERROR, replies.OK)
    ill = ((replies.UNAVAILABLE,), (replies.DOWN,), (replies.HANG,), flapping)
    found: list[Phase] = []
    while sum(phase.seconds for phase in found) < seconds:
        found.append(Phase(chance.uniform(4, 16), mostly_well))
        found.append(Phase(chance.uniform(2, 8), chance.choice(ill)))
    return tuple(found)


def run(evidence: Evidence) -> None:
    """Keep the producers going for the row's seconds; all of them die at the end."""
    stop = threading.Event()
    slots = [threading.Thread(target=_keep_alive, args=(evidence, n, stop)) for n in range(4)]
    killer = threading.Thread(target=_kill_drainers, args=(evidence, stop))
    for thread in (*slots, killer):
        thread.start()
    stop.wait(evidence.row.seconds)
    stop.set()
    for thread in (*slots, killer):
        thread.join()
    for path in sorted(evidence.folder.glob("ended-soak-*")):
        evidence.ended.update(read_ended(path))


def _keep_alive(evidence: Evidence, slot: int, stop: threading.Event) -> None:
    """One producer after another, each killed in the middle of its work."""
    chance = random.Random(slot)
    life = 0
    while not stop.is_set():
        life += 1
        program = _start(evidence, f"{slot}-{life}")
        if not program.wait_for("ready"):
            raise RuntimeError(f"a producer never began:\n{evidence.logs[-2000:]}")
        stop.wait(chance.uniform(*PRODUCER_LIVES_SECONDS))
        program.kill(signal.SIGKILL)
        program.wait(10)


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


def _kill_drainers(evidence: Evidence, stop: threading.Event) -> None:
    """SIGKILL whatever drains the spool, at random times."""
    chance = random.Random(99)
    while not stop.wait(chance.uniform(*DRAINER_LIVES_SECONDS)):
        for pid in processes.drainers(evidence.spool):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        evidence.drainer_kills += 1


def missed(evidence: Evidence, sent_again: int) -> list[str]:
    """The targets of the soak beyond "nothing lost"."""
    produced = len(evidence.ended)
    wanted = int(evidence.row.seconds * PER_SECOND * PRODUCERS * _PRODUCING_SHARE)
    failures = [] if produced >= wanted else [f"only {produced} spans produced"]
    percent = 100 * sent_again / max(produced, 1)
    if percent > MAX_SENT_AGAIN_PERCENT:
        failures.append(f"{percent:.1f} % sent again")
    return failures
