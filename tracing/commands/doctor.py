"""What `python -m tracing doctor` looks at: the directory, the spools, the local store."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import typer
from rich.text import Text

from tracing.commands.options import Directory
from tracing.commands.surroundings import failures_said, make_console
from tracing.config.backends import STORE_NAME
from tracing.deliver.adoption import waits_for
from tracing.deliver.inspection import SpoolState, inspect_spools, unreadable
from tracing.places import data_directory
from tracing.safe_text import safe
from tracing.spool.locks import no_locks, why_no_locks
from tracing.spool.losses import noun_of
from tracing.store.store import Store


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
    why = why_no_locks(directory)
    if why:
        return [Check("directory", False, no_locks(directory, why))]
    return [Check("directory", True, str(directory))]


def check_store(directory: Path) -> list[Check]:
    """Whether the calls can be read, and how many there are; raises StoreError if not."""
    path = data_directory(directory) / STORE_NAME
    if not path.exists():
        text = f"{path} is not there: no call went to the local backend"
        return [Check("store", True, text), *_check_stray(directory, path)]
    with Store(path, read_only=True) as store:
        calls = list(store.calls())
        deleted = store.deleted_calls
    size = sum(file.stat().st_size for file in path.parent.glob(f"{STORE_NAME}*"))
    facts = [f"{path}: {len(calls):,} calls in {size / 1024**2:,.1f} MiB"]
    if calls:
        latest = datetime.fromtimestamp(calls[0].started_unix_nano / 1e9)
        facts.append(f"the latest began at {latest:%Y-%m-%d %H:%M:%S}")
    if deleted:
        facts.append(f"{deleted:,} old calls deleted to make room")
    return [Check("store", True, ", ".join(facts)), *_check_stray(directory, path)]


def _check_stray(directory: Path, path: Path) -> Iterator[Check]:
    """A store where others could have put it."""
    stray = directory / STORE_NAME
    if stray != path and stray.exists():
        text = f"{stray} is not read, for others can write there: move it away"
        yield Check("store", False, text)


def check_spools(directory: Path) -> list[Check]:
    """What waits to be delivered, which backend does not take it and why, what was lost."""
    spools = inspect_spools(directory)
    if not spools:
        return [Check("spool", True, "no agent has written spans here yet")]
    return [check for spool in spools for check in _check_spool(spool)]


def _check_spool(spool: SpoolState) -> Iterator[Check]:
    name = f"spool {spool.directory.name}"
    is_stuck = spool.waiting_spans > 0 and spool.drainer_pid is None
    drained = f"drainer {spool.drainer_pid}" if spool.drainer_pid else "no drainer"
    whom = " and ".join(sorted({waits_for(one) for one in spool.backends if not one["beside"]}))
    outlook = f": the next agent for {whom or 'its backends'} delivers them" if is_stuck else ""
    yield Check(
        name,
        not is_stuck,
        f"{_count(spool.waiting_spans, 'span')} waiting in {spool.size_bytes / 1024:,.1f} KiB; "
        f"{_count(spool.writers, 'agent process')} writing, {drained}{outlook}",
    )
    if spool.silent_seconds:
        yield Check(
            f"{name}, drainer",
            False,
            f"process {spool.drainer_pid} has given no sign of life for "
            f"{spool.silent_seconds:,.0f} s: agents end it where they can; else end it by hand",
        )
    for backend in spool.backends:
        if backend["state"] != "delivering":
            since = datetime.fromtimestamp(backend["since"]).strftime("%Y-%m-%d %H:%M:%S")
            text = f"{backend['state']} since {since}: {backend['detail']}"
            yield Check(f"{name}, {backend['name']}", False, text)
    for reason, number in spool.lost.items():
        yield Check(f"{name}, lost", False, f"{_count(number, noun_of(reason))} dropped: {reason}")
    for reason, number in spool.changed.items():
        yield Check(f"{name}, changed", True, f"{_count(number, 'attribute')}: {reason}")
    if spool.unreadable:
        text = unreadable(spool.directory, spool.unreadable)
        yield Check(f"{name}, format", False, text)
    for path in spool.quarantined:
        yield Check(f"{name}, rejected", False, f"spans that the backend rejected are in {path}")


def _count(number: int, noun: str) -> str:
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


CHECKS: list[Callable[[Path], Sequence[Check]]] = [check_directory, check_spools, check_store]
"""What `doctor` looks at, in this order; a check that raises counts as could not run."""


def doctor(directory: Directory = Path(".tracing")) -> None:
    """Look for what stands in the way of traces; exits 0 if fine, 1 if something is to mend."""
    with failures_said():
        found = [check for look in CHECKS for check in look(directory)]
        console = make_console()
        for check in found:
            mark = ("ok  ", "green") if check.is_fine else ("mend", "bold red")
            console.print(Text.assemble(mark, safe(f"  {check.name}: {check.text}")))
    if not all(check.is_fine for check in found):
        raise typer.Exit(1)
