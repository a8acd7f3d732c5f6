"""Start the programs of a row, follow what they say, and leave none of them behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .producer import Work

ROOT = Path(__file__).resolve().parents[2]
CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
"""A pid namespace of its own, with a /proc that shows it."""
_FOREIGN = ("LANGFUSE_", "OTEL_", "TRACING_", "LIVEKIT_")


def _is_foreign(name: str) -> bool:
    return name.startswith(_FOREIGN) or name.upper().endswith("_PROXY")


def environment(spool: Path) -> dict[str, str]:
    """This process's environment without anybody's tracing settings, and the spool's place."""
    kept = {name: value for name, value in os.environ.items() if not _is_foreign(name)}
    kept["PYTHONPATH"] = str(ROOT)
    return {**kept, "TRACING_DIR": str(spool), "PYTHONUNBUFFERED": "1"}


@dataclass
class Program:
    """One running program: what it has said, and when it ended."""

    process: subprocess.Popen[bytes]
    said_file: Path
    log_file: Path
    ended_at: float = 0.0
    """`time.monotonic()` at which it was reaped."""
    _reaped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread(target=self._reap, daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within so many seconds; kills it otherwise."""
        if self._reaped.wait(seconds):
            return True
        self.kill(signal.SIGKILL)
        self._reaped.wait(5)
        return False

    def has_ended(self) -> bool:
        """Whether it is over."""
        return self._reaped.is_set()

    def kill(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if not self._reaped.is_set():
            self.process.send_signal(number)

    def said(self, event: str) -> dict[str, Any] | None:
        """The last line that it wrote about the event."""
        found = None
        for line in self.said_file.read_text().splitlines():
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if value.get("event") == event:
                    found = value
        return found

    def wait_for(self, event: str, seconds: float = 60.0) -> bool:
        """Whether it says so before it ends, within so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.said(event) is not None:
                return True
            if self.has_ended():
                return self.said(event) is not None
            time.sleep(0.02)
        return False

    def _reap(self) -> None:
        self.process.wait()
        self.ended_at = time.monotonic()
        self._reaped.set()


def start(
    work: Work,
    folder: Path,
    spool: Path,
    module: str = "tests.faults.producer",
    settings: Mapping[str, str] | None = None,
    *,
    in_container: bool = False,
) -> Program:
    """Start a program of the suite with its own files for what it says and logs.

    `in_container` gives it a pid namespace of its own.
    """
    prefix = CONTAINER if in_container else []
    number = len(list(folder.glob("said-*")))
    said_file, log_file = folder / f"said-{number}", folder / f"log-{number}"
    with said_file.open("wb") as said, log_file.open("wb") as log:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", module, work.to_json()],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=log,
            cwd=folder,
            env={**environment(spool), **(settings or {})},
            start_new_session=True,
        )
    return Program(process, said_file, log_file)


def has_namespaces() -> bool:
    """Whether this machine gives a program a pid namespace of its own."""
    with contextlib.suppress(OSError):
        done = subprocess.run([*CONTAINER, "true"], check=False, capture_output=True)
        return done.returncode == 0
    return False


def others(spool: Path) -> Iterator[int]:
    """The ids of all processes that work on this spool: drainers, and whatever else remains."""
    wanted = str(spool).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes():
                yield int(entry.name)


def drainers(spool: Path) -> list[int]:
    """The ids of the spool's drainers: who has its place on the command line, not as settings."""
    return [pid for pid in others(spool) if _names(pid, spool)]


def _names(pid: int, spool: Path) -> bool:
    with contextlib.suppress(OSError):
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return any(argument.startswith(str(spool).encode()) for argument in arguments)
    return False


def can_run(pid: int) -> bool:
    """Whether a process is neither stopped nor dead."""
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return stat.rpartition(")")[2].split()[0] not in "TZX"
    return False


def peak_mib(spool: Path) -> float:
    """The most memory that a drainer of the spool has had resident; 0.0 where none runs."""
    found = [0.0]
    for pid in drainers(spool):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            found += [
                int(line.split()[1]) / 1024
                for line in status.splitlines()
                if line.startswith("VmHWM:")
            ]
    return max(found)


def kill_others(spool: Path) -> None:
    """SIGKILL every process of this spool."""
    for pid in others(spool):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
