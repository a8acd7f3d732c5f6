"""The spools: what waits and for how long, who delivers it and whether it moves, what was lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from tracing.deliver.adoption import waits_for
from tracing.deliver.inspection import SpoolState, inspect_spools, unreadable
from tracing.doctor.findings import Finding, mend, note, ok
from tracing.spool import losses
from tracing.spool.losses import noun_of

_LONG_SECONDS = 60.0
"""For longer than this nothing waits where a drainer and its backends are at work."""
_LOOK_AGAIN_SECONDS = 3.0
_STATES = {
    "retrying": "see that the server answers; they wait, and go by themselves",
    "paused": "mend what it says; they wait, and go then",
}
_LOG_LESS = f"raise the level of the logger that {losses.FILE_NAME} in it names"
_LOST = {
    losses.SPOOL_FULL: "see that its backends take spans, or raise TRACING_SPOOL_MIB",
    losses.EXPIRED: "see that its backends take spans, or raise TRACING_MAX_AGE_DAYS",
    losses.WRITE_FAILED: "make room on the disk, and let this user write there",
    losses.SPOOL_DELETED: "keep TRACING_DIR out of what is cleaned up while agents run",
    losses.SPOOL_MOVED: "keep TRACING_DIR where it is while agents run",
    losses.DISK_HANGS: "put TRACING_DIR on a disk that answers",
    losses.NOT_JOINED: "leave set_tracer_provider out, or give it an SDK provider",
    losses.NOT_SET_UP: "call setup_tracer where the agent's module is imported",
    losses.LINES_NOT_TAKEN: "give OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, or set TRACING_LOGS=false",
    losses.LINES_DELETED: "see that its backends take log lines",
    losses.LINES_TOO_FAST: _LOG_LESS,
    losses.LINES_TOO_MANY: _LOG_LESS,
}
"""By reason: how it is kept from happening again. What was counted stays counted."""


def look_at_spools(directory: Path) -> Iterator[Finding]:
    """Every spool of a TRACING_DIR."""
    spools = inspect_spools(directory)
    if not spools:
        yield ok("spool", "no agent has written spans here yet")
    for spool in spools:
        yield from _look_at(spool)


def _look_at(spool: SpoolState) -> Iterator[Finding]:
    name = f"spool {spool.directory.name}"
    is_stuck = spool.waiting_spans > 0 and spool.drainer_pid is None
    if is_stuck:
        whom = " and ".join(sorted({waits_for(one) for one in spool.backends if not one["beside"]}))
        how = f"the next agent for {whom or 'its backends'} delivers them"
        yield mend(name, _depth(spool), how)
    else:
        yield ok(name, _depth(spool))
    yield from _drainer(name, spool)
    for backend in spool.backends:
        if backend["state"] != "delivering":
            since = datetime.fromtimestamp(backend["since"]).strftime("%Y-%m-%d %H:%M:%S")
            text = f"{backend['state']} since {since}: {backend['detail']}"
            yield mend(f"{name}, {backend['name']}", text, _STATES.get(backend["state"], ""))
    for reason, number in spool.lost.items():
        text = f"{_count(number, noun_of(reason))} dropped: {reason}"
        yield mend(f"{name}, lost", text, _LOST.get(reason, f"see {losses.FILE_NAME} in it"))
    for reason, number in spool.changed.items():
        yield note(f"{name}, changed", f"{_count(number, 'attribute')}: {reason}")
    if spool.unreadable:
        text, _, how = unreadable(spool.directory, spool.unreadable).rpartition(": ")
        yield mend(f"{name}, format", text, how)
    for path in spool.quarantined:
        text = f"spans that the backend rejected are in {path}"
        how = f"see why in {losses.FILE_NAME}; `replay` sends them again"
        yield mend(f"{name}, rejected", text, how)


def _depth(spool: SpoolState) -> str:
    """How much waits, for how long, and who is at work."""
    age = _age_seconds(spool)
    oldest = f", the oldest for {age:,.0f} s" if age else ""
    drained = f"drainer {spool.drainer_pid}" if spool.drainer_pid else "no drainer"
    return (
        f"{_count(spool.waiting_spans, 'span')} waiting in {spool.size_bytes / 1024:,.1f} KiB"
        f"{oldest}; {_count(spool.writers, 'agent process')} writing, {drained}"
    )


def _drainer(name: str, spool: SpoolState) -> Iterator[Finding]:
    """A drainer that stands still, or that is alive and takes nothing."""
    if spool.silent_seconds:
        text = (
            f"process {spool.drainer_pid} has given no sign of life for "
            f"{spool.silent_seconds:,.0f} s"
        )
        yield mend(f"{name}, drainer", text, "agents end it where they can; else end it by hand")
    elif spool.drainer_pid and _should_have_left(spool) and not _moves(spool):
        text = f"process {spool.drainer_pid} is alive and delivers nothing of what waits"
        yield mend(f"{name}, drainer", text, "see its log, and end it: an agent starts another")


def _should_have_left(spool: SpoolState) -> bool:
    """Whether something waits for long though every backend takes what it gets, for as long."""
    now = time.time()
    since = [now - backend["since"] for backend in spool.backends]
    takes = all(backend["state"] == "delivering" for backend in spool.backends)
    return takes and min([_age_seconds(spool), *since]) > _LONG_SECONDS


def _moves(spool: SpoolState) -> bool:
    """Whether anything has left on a second look."""
    time.sleep(_LOOK_AGAIN_SECONDS)
    again = [one for one in inspect_spools(spool.directory.parents[1]) if _is_same(one, spool)]
    return not again or _progress(again[0]) != _progress(spool)


def _is_same(one: SpoolState, other: SpoolState) -> bool:
    return one.directory == other.directory


def _progress(spool: SpoolState) -> tuple[int, list[int]]:
    return spool.oldest_unix_nano, [one["delivered_spans"] for one in spool.backends]


def _age_seconds(spool: SpoolState) -> float:
    """For how long the oldest span waits; 0.0 where none does."""
    since = spool.oldest_unix_nano
    return max(time.time() - since / 1e9, 0.0) if since else 0.0


def _count(number: int, noun: str) -> str:
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"
