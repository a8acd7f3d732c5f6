"""A program that makes spans as an agent does: `python -m tests.faults.producer JSON`.

The id of each span whose `end()` has returned goes into a file by a plain write, outside of
OpenTelemetry, so that what is lost is known even when this process is killed. On standard
output, one JSON line: when the spans begin, and when the work is done.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import dataclasses
import errno
import fcntl
import functools
import json
import logging
import multiprocessing
import os
import random
import resource
import shutil
import signal
import string
import struct
import sys
import threading
import time
import zlib
from dataclasses import dataclass
from typing import Any

from .contenders import SET_UP_BY_NAME, Installed, Target
from .receiver import CRC_ATTRIBUTE, TEXT_ATTRIBUTE

STALL_SECONDS = 0.02
"""A span that holds its loop for longer is told of."""
RECORD = struct.Struct(">8sQ")
"""One ended span in the file: its id, and its end in nanoseconds since the epoch."""


@dataclass(frozen=True)
class Work:
    """What one producer does."""

    contender: str
    target: dict[str, str]
    ended_file: str
    kind: str = "steady"
    seconds: float = 1.0
    per_second: float = 20.0
    count: int = 200
    method: str = "fork"
    """How the children of the kind `children` start."""
    ending: str = "exit"
    """`flush` (the documented one), `exit`, `os_exit`, or `kill` (SIGKILL at once)."""
    directory: str = ""
    """What the kind `deleted` deletes half way."""
    clock_step_seconds: float = 0.0
    """How far the wall clock jumps, half way."""
    executable: str | None = ""
    """What `sys.executable` says; "" for what it is."""
    no_locks: bool = False
    """The file system refuses to lock files, as some network and FUSE file systems do."""

    def to_json(self) -> str:
        """For the command line."""
        return json.dumps(vars(self))


class Ended:
    """The file of the ids whose `end()` has returned."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, span: Any) -> None:
        """One write, so that a kill cannot take it back."""
        span_id = span.get_span_context().span_id.to_bytes(8, "big")
        os.write(self._file, RECORD.pack(span_id, span.end_time or 0))


def say(event: str, **values: object) -> None:
    """One line for the runner."""
    line = json.dumps({"event": event, "at": time.monotonic(), **values}) + "\n"
    os.write(1, line.encode())


@functools.lru_cache(maxsize=64)
def attributes(number: int, size: int = 600) -> dict[str, Any]:
    """About 1 kB, as an LLM request carries."""
    text = "".join(random.choices(string.ascii_lowercase + "     ", k=size))
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.provider.name": "openai",
        "gen_ai.usage.input_tokens": 900 + number,
        "gen_ai.usage.output_tokens": 40 + number,
        "gen_ai.response.time_to_first_chunk": 0.35,
        "lk.pii.response.text": "Certainly, your table for two is booked for tomorrow at eight.",
        TEXT_ATTRIBUTE: text,
        CRC_ATTRIBUTE: zlib.crc32(text.encode()),
    }


def make_span(tracer: Any, ended: Ended, number: int) -> None:
    """One span, and its id once `end()` has returned."""
    began = time.monotonic()
    span = tracer.start_span("llm_request", attributes=attributes(number % 64))
    if span.is_recording():
        span.end()
        ended.add(span)
        _note_stall(began, time.monotonic())


def _note_stall(began: float, ended: float) -> None:
    """Say of a span that it has held its loop for long."""
    if ended - began > STALL_SECONDS:
        say("stall", began=began, seconds=ended - began)


def steadily(work: Work, tracer: Any, ended: Ended) -> None:
    """So many spans per second, and one half-way surprise if the row asks for it."""
    total = int(work.seconds * work.per_second)
    began = time.monotonic()
    for number in range(total):
        pause = began + number / work.per_second - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        if number == total // 2:
            _half_way(work)
        make_span(tracer, ended, number)


def burst(work: Work, tracer: Any, ended: Ended) -> None:
    """All spans at once."""
    for number in range(work.count):
        make_span(tracer, ended, number)


def big_attribute(work: Work, tracer: Any, ended: Ended) -> None:
    """Plain spans, one of which carries 5 MB that do not compress."""
    for number in range(work.count):
        if number == work.count // 2:
            blob = "".join(random.choices(string.ascii_letters + string.digits, k=5_000_000))
            given = {"gen_ai.operation.name": "chat", "test.big": blob, "test.small": "kept"}
            span = tracer.start_span("llm_request", attributes=given)
            span.end()
            ended.add(span)
        else:
            make_span(tracer, ended, number)


ODD_VALUES: tuple[Any, ...] = (
    "half an emoji: \ud83d",
    "a NUL: \0",
    2**70,
    -(2**63) - 1,
    float("nan"),
    float("inf"),
    b"\xff\xfe bytes",
    ["mixed with", "\udc00"],
    [],
    "",
)
"""What models and tools do produce, and OpenTelemetry takes as an attribute."""


def odd_values(work: Work, tracer: Any, ended: Ended) -> None:
    """Plain spans, and among them one for each odd value."""
    for number in range(work.count):
        make_span(tracer, ended, number)
        if number < len(ODD_VALUES):
            span = tracer.start_span("llm_request", attributes={"odd": ODD_VALUES[number]})
            span.end()
            ended.add(span)


def in_threads(work: Work, tracer: Any, ended: Ended) -> None:
    """A burst from eight threads at once, as jobs of the THREAD executor make."""
    each = dataclasses.replace(work, count=work.count // 8)
    threads = [threading.Thread(target=burst, args=(each, tracer, ended)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def without_files(work: Work, tracer: Any, ended: Ended) -> None:
    """A burst in a process that can open no more files, and one after it can again."""
    burst(work, tracer, ended)
    hoarded = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with contextlib.suppress(OSError):
        while True:
            hoarded.append(os.open(os.devnull, os.O_RDONLY))
    burst(work, tracer, ended)
    for number in hoarded:
        os.close(number)
    time.sleep(2)
    burst(work, tracer, ended)


def children(work: Work, tracer: Any, ended: Ended) -> None:
    """The spans are made in a child process that LiveKit's three ways start."""
    context = multiprocessing.get_context(work.method)
    child = context.Process(target=in_child, args=(work,), name="job_proc")
    child.start()
    child.join(60)


def in_child(work: Work) -> None:
    """What the child does: set up as a job's process does, unless it is forked."""
    if work.method != "fork":
        install(work)
    from livekit.agents.telemetry import tracer

    burst(work, tracer, Ended(work.ended_file))


KINDS = {
    "steady": steadily,
    "burst": burst,
    "big": big_attribute,
    "children": children,
    "odd": odd_values,
    "threads": in_threads,
    "files": without_files,
}

_real_clocks = (time.time, time.time_ns)
_clock_offset_seconds = 0.0


def _fake_clocks() -> None:
    """Put an adjustable wall clock in place before anything has taken hold of the real one."""
    now, now_nanos = _real_clocks
    time.time = lambda: now() + _clock_offset_seconds
    time.time_ns = lambda: now_nanos() + int(_clock_offset_seconds * 1e9)


def _half_way(work: Work) -> None:
    global _clock_offset_seconds
    _clock_offset_seconds = work.clock_step_seconds
    if work.directory:
        shutil.rmtree(work.directory, ignore_errors=True)


def _refuse_locks() -> None:
    """Have the system refuse every lock, before anything has taken hold of it."""

    def flock(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    fcntl.flock = flock


def install(work: Work) -> Installed:
    """The contender's set-up."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    return SET_UP_BY_NAME[work.contender](Target(**work.target))


def main() -> None:
    """One producer's life."""
    atexit.register(say, "left")  # registered first, so it runs when all others have
    work = Work(**json.loads(sys.argv[1]))
    if work.clock_step_seconds:
        _fake_clocks()
    if work.no_locks:
        _refuse_locks()
    if work.executable != "":
        sys.executable = work.executable  # type: ignore[assignment]
    installed = install(work)
    from livekit.agents.telemetry import tracer

    ended = Ended(work.ended_file)
    say("ready")
    with tracer.start_as_current_span("job_entrypoint") as root:
        work_seconds = _timed(KINDS[work.kind], work, tracer, ended)
    if hasattr(root, "end_time"):
        ended.add(root)
    if work.ending == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    flush_seconds = asyncio.run(_flush(installed)) if work.ending == "flush" else 0.0
    say("done", flush_seconds=flush_seconds, work_seconds=work_seconds)
    if work.ending == "os_exit":
        os._exit(0)


async def _flush(installed: Installed) -> float:
    """The documented flush: a plain call inside a coroutine, so the loop stands still."""
    return _timed(installed.flush)


def _timed(function: Any, *args: Any) -> float:
    began = time.monotonic()
    function(*args)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
