"""What a row of the fault table can say."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .replies import Phase, Reply

HUNG_EXIT_SECONDS = 0.2
"""How long leaving, flushing or a turn of the loop may take when the backend hangs."""

BUSY_EXIT_SECONDS = 1.0
"""The same in rows that share the processor with others."""

Disk = Literal["", "full", "own", "read-only", "torn", "corrupt"]

Meddle = Literal["", "upgrade", "stop-drainer", "move", "replace", "freeze", "kill-at-once"]
"""What happens to the spool and its drainers meanwhile; see `meddling.py`."""


@dataclass(frozen=True)
class Row:
    """One fault. Times are those of the full suite; `bounded` is what changes in the short one."""

    name: str
    what: str
    today: str = ""
    """What the docs snippet and Langfuse's SDK lose, as first measured."""
    phases: tuple[Phase, ...] = ()
    """What the backend does; empty means that it works."""
    kind: str = "steady"
    seconds: float = 10.0
    count: int = 200
    method: str = "fork"
    ending: str = "flush"
    module: str = "tests.faults.producer"
    kill_after_seconds: float = 0.0
    kill_signal: int = signal.SIGKILL
    restart: bool = False
    """Everything of the row is killed, the cause taken away, and the program started again."""
    wrong_key: bool = False
    """The first program has a wrong key, the second one the right one."""
    disk: Disk = ""
    clock_step_seconds: float = 0.0
    delete_spool: bool = False
    settings: tuple[tuple[str, str], ...] = ()
    """Environment variables for ours."""
    meddle: Meddle = ""
    agents: int = 1
    """How many programs work on the one spool at once."""
    containers: bool = False
    """Each of them in a pid namespace of its own."""
    executable: str | None = ""
    """What `sys.executable` says in the program; "" for what it is."""
    no_locks: bool = False
    """The file system refuses to lock files."""
    is_refused: bool = False
    """Set-up has to say no."""
    kill_drainer_seconds: float = 0.0
    """How often the drainer is killed while the producer runs; 0 means never."""
    ours_only: bool = False
    ours: str = "ours"
    """The contender that stands for ours in this row."""
    flush_ours: bool = False
    """Ours calls `force_flush` too, as somebody who has moved over from the snippet does."""
    may_lose: bool = False
    """Spans may be lost, if each one is counted in a message."""
    checks: tuple[str, ...] = ()
    """What else must hold, by name in `checks.py`."""
    alone: bool = False
    """Nothing else runs meanwhile, so that times mean something."""
    settle_seconds: float = 30.0
    """How long ours may take to deliver once the cause is gone."""
    bounded: Mapping[str, Any] = field(default_factory=dict)

    def in_short(self) -> Row:
        """The row as the bounded suite runs it."""
        return dataclasses.replace(self, **self.bounded, bounded={})


def phases(*pairs: tuple[float, Reply | tuple[Reply, ...]]) -> tuple[Phase, ...]:
    """Seconds and what is replied in them, several replies in turn."""
    return tuple(
        Phase(seconds, reply if isinstance(reply, tuple) else (reply,)) for seconds, reply in pairs
    )


def always(*in_turn: Reply) -> tuple[Phase, ...]:
    """The same replies in turn until the cause is gone."""
    return phases((float("inf"), in_turn))


def short(seconds: float, **more: Any) -> dict[str, Any]:
    """What changes in the bounded suite: how long it lasts, and what follows from that."""
    return {"seconds": seconds, **more}
