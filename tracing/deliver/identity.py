"""Which process is meant: a pid alone may be another one's, in another container or a later time.

Proven is only a process of this boot and this pid namespace that began when it should have. Where
the system tells none of that (anything but Linux), nothing is proven, and nobody is signalled.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process among all there ever were; empty fields are unknown."""

    pid: int
    boot: str = ""
    namespace: str = ""
    started: str = ""
    """Clock ticks between boot and its start."""

    @classmethod
    def current(cls) -> Process:
        """This process."""
        boot, namespace = _place()
        return cls(os.getpid(), boot, namespace, _stat(os.getpid())[1])

    def send(self, number: signal.Signals) -> bool:
        """Signal this very process; False where it is gone, or cannot be proven to be the one."""
        if not self._could_be_here():
            return False
        with _handle(self.pid) as pidfd, contextlib.suppress(OSError):
            if _stat(self.pid)[1] != self.started:
                return False
            if pidfd is None:
                os.kill(self.pid, number)
            else:
                signal.pidfd_send_signal(pidfd, number)
            return True
        return False

    def reap(self) -> None:
        """Collect it, if it is dead and was left to this process, which is its namespace's first.

        A container's first process is given the orphans of all others, and nobody waits for them.
        """
        is_orphan = os.getpid() == 1 and self.pid != 1 and self._could_be_here()
        if is_orphan and _stat(self.pid) == ("Z", self.started):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)

    def _could_be_here(self) -> bool:
        """Whether its pid means here what it meant where it was written down."""
        place = _place()
        return bool(self.started) and all(place) and (self.boot, self.namespace) == place


@functools.lru_cache(maxsize=1)
def _place_of(pid: int) -> tuple[str, str]:
    """This machine's boot and this process's pid namespace; empty where they cannot be had."""
    try:
        if (_PROC / "self").readlink().name != str(pid):
            return "", ""  # a /proc of another namespace, which tells of other processes
        namespace = (_PROC / "self/ns/pid").stat()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "", ""
    return boot, f"{namespace.st_dev}:{namespace.st_ino}"


def _place() -> tuple[str, str]:
    return _place_of(os.getpid())


def _stat(pid: int) -> tuple[str, str]:
    """State and start of a process; empty where there is none."""
    try:
        # The name, in parentheses, may hold anything.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""


@contextlib.contextmanager
def _handle(pid: int) -> Iterator[int | None]:
    """What stands for a process even when its pid is given to another; None where unknown."""
    try:
        pidfd = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield pidfd
    finally:
        os.close(pidfd)
