"""Start real programs on loopback, wait for what they say, and end them."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_PORTS = iter(random.sample(range(20_000, 32_000), 12_000))
"""Below those that a system hands to connections going out, of which there are many here."""


def free_port() -> int:
    """A loopback port that is free, that no connection will take, and that is given once."""
    for port in _PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port is in use")


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The condition's first true value; fails with `what` when the time is over."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.1)
    return found


def get_json(url: str) -> Any:
    """What a URL answers, or None where it does not (yet)."""
    with suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)
    return None


def answers(url: str) -> bool:
    """Whether a URL answers with success."""
    with suppress(OSError), urllib.request.urlopen(url, timeout=10):
        return True
    return False


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own, ended with all its children; its output in `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {})},
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes], within_seconds: float = 15) -> None:
    """Stop a program in good order, and what is left of its group by force."""
    with suppress(OSError):
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(within_seconds)
    kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a program and its group."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(15)
