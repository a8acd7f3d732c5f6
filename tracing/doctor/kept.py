"""What is kept on this machine: TRACING_DIR, and the calls of the local store."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from tracing.config.backends import STORE_NAME
from tracing.doctor.findings import Finding, mend, ok
from tracing.places import data_directory
from tracing.spool.locks import no_locks, why_no_locks
from tracing.store.store import Store


def look_at_directory(directory: Path) -> Iterator[Finding]:
    """Whether the directory is there or can be made, is closed to others, and has locks."""
    there = next(one for one in (directory, *directory.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        what = "is no directory" if not there.is_dir() else "may not be written by this user"
        text = f"{there} {what}, so that nothing can be kept in {directory}"
        yield mend("directory", text, "give a directory that this user can write as TRACING_DIR")
        return
    if there != directory:
        text = f"{directory} is not there yet: an agent with setup_tracer() makes it"
        yield ok("directory", text)
        return
    mode = stat.S_IMODE(directory.stat().st_mode)
    why = why_no_locks(directory)
    if mode & 0o077:
        text = f"others may look into {directory} (mode {mode:o})"
        yield mend("directory", text, f"chmod 700 {directory}")
    elif why:
        text, _, how = no_locks(directory, why).rpartition(": ")
        yield mend("directory", text, how)
    else:
        yield ok("directory", str(directory))


def look_at_store(directory: Path) -> Iterator[Finding]:
    """Whether the calls can be read, and how many there are; raises StoreError if not."""
    path = data_directory(directory) / STORE_NAME
    if path.exists():
        yield ok("store", _facts(path))
    else:
        yield ok("store", f"{path} is not there: no call went to the local backend")
    stray = directory / STORE_NAME
    if stray != path and stray.exists():
        yield mend("store", f"{stray} is not read, for others can write there", "move it away")


def _facts(path: Path) -> str:
    with Store(path, read_only=True) as store:
        calls, deleted = list(store.calls()), store.deleted_calls
    size = sum(file.stat().st_size for file in path.parent.glob(f"{STORE_NAME}*"))
    counted = "1 call" if len(calls) == 1 else f"{len(calls):,} calls"
    facts = [f"{path}: {counted} in {size / 1024**2:,.1f} MiB"]
    if calls:
        latest = datetime.fromtimestamp(calls[0].started_unix_nano / 1e9)
        facts.append(f"the latest began at {latest:%Y-%m-%d %H:%M:%S}")
    if deleted:
        facts.append(f"{deleted:,} old calls deleted to make room")
    return ", ".join(facts)
