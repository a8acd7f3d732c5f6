"""`python -m tests.fuzz`: 100,000 damaged files through the commands that read files.

Every file is made from its number, so that one that fails can be had again:
`python -m tests.fuzz --first NUMBER --files 1`. Exits 1 if a command raises, hangs, takes more
than its memory, or ends with another status than 0, 1 or 2.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import time

from tests.fuzz.trial import problems_of

MAX_BYTES = 2**30
"""What a worker's data may take, over all its files."""


def main() -> int:
    """Run, tell how it goes, and return the exit status."""
    options = _parse()
    began = told_at = time.monotonic()
    failed = files = 0
    numbers = range(options.first, options.first + options.files)
    with multiprocessing.get_context("fork").Pool(options.workers, _be_modest) as pool:
        for problems in pool.imap_unordered(problems_of, numbers, chunksize=10):
            files += 1
            failed += bool(problems)
            for problem in problems:
                print(problem, flush=True)
            now = time.monotonic()
            if now - told_at > 60:
                told_at = now
                print(f"{files:,} files, {failed} failed, {now - began:.0f} s", flush=True)
            if options.seconds and now - began > options.seconds:
                pool.terminate()
                break
    print(f"{files:,} files, {failed} failed, {time.monotonic() - began:.0f} s in all")
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, help="end after this, whatever is left")
    return parser.parse_args()


def _be_modest() -> None:
    os.nice(15)
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_BYTES, MAX_BYTES))


if __name__ == "__main__":
    sys.exit(main())
