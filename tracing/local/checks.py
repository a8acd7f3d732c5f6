"""What the doctor looks at in the embedded backend."""

from __future__ import annotations

import stat
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from tracing.local.store import Store

STORE_NAME = "calls.db"


class Check(NamedTuple):
    """One thing that the doctor looked at."""

    name: str
    is_fine: bool
    text: str
    """What was found, and what to do where it is not fine."""


def check_directory(directory: Path) -> list[Check]:
    """Whether the directory is there, and closed to others."""
    if not directory.exists():
        text = f"{directory} is not there yet: an agent with setup_tracer() makes it"
        return [Check("directory", True, text)]
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & 0o077:
        text = f"others may look into {directory} (mode {mode:o}): chmod 700 {directory}"
        return [Check("directory", False, text)]
    return [Check("directory", True, str(directory))]


def check_store(directory: Path) -> list[Check]:
    """Whether the calls can be read, and how many there are; raises StoreError if not."""
    path = directory / STORE_NAME
    if not path.exists():
        return [Check("store", True, f"{path} is not there: no call went to the local backend")]
    with Store(path, read_only=True) as store:
        calls = list(store.calls())
        deleted = store.deleted_calls
    size = sum(file.stat().st_size for file in directory.glob(f"{STORE_NAME}*"))
    facts = [f"{path}: {len(calls):,} calls in {size / 1024**2:,.1f} MiB"]
    if calls:
        latest = datetime.fromtimestamp(calls[0].started_unix_nano / 1e9)
        facts.append(f"the latest began at {latest:%Y-%m-%d %H:%M:%S}")
    if deleted:
        facts.append(f"{deleted:,} old calls deleted to make room")
    return [Check("store", True, ", ".join(facts))]
