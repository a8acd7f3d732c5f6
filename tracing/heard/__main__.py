"""The process that measures recordings: `python -m tracing.heard SPOOL`, started by the drainer.

Alone in a spool by its lock, behind everybody else on the machine, and bounded: what it may take
in time and memory is set before it opens a file that it has not written.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from tracing.heard.waiting import DIRECTORY_NAME
from tracing.spool.locks import FileLock

_NICE = 10
_CPU_SECONDS = 120
_MEMORY_BYTES = 4 * 2**30
"""Of addresses, most of which no thread of numpy's ever touches."""


def main() -> int:
    """Measure what waits; print a sentence for each call that could not be."""
    spool = Path(sys.argv[1])
    lock = FileLock.take(spool / DIRECTORY_NAME / "measuring.lock")
    if lock is None:
        return 0
    confine()
    from tracing.heard.measuring import measure_all  # numpy reads what confine has set

    for sentence in measure_all(spool):
        sys.stdout.write(f"{sentence}\n")
    lock.release()
    return 0


def confine() -> None:
    """Stand back behind everybody else, and end where a file wants too much."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    if sys.platform == "win32":
        return
    import resource

    os.nice(_NICE)
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, _CPU_SECONDS),
        (resource.RLIMIT_AS, _MEMORY_BYTES),
    ):
        with contextlib.suppress(ValueError, OSError):  # it has a lower one
            resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    sys.exit(main())
