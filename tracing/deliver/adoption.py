"""Spools whose settings were refused: taken over where the tenant is the same, else spoken of.

Mended settings are another destination with a spool of its own; what the old one kept would
otherwise wait for ever. Whose it is, its drainer wrote into its status.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from logging import WARNING
from pathlib import Path
from typing import Any

from tracing.config.backends import Backend
from tracing.config.tenants import tenant_of
from tracing.deliver.lease import Lease, end_holder
from tracing.deliver.status import post_notice, read_backends
from tracing.spool.acks import Acks
from tracing.spool.locks import is_locked
from tracing.spool.moved import moved_places, note_moved
from tracing.spool.segments import segment_paths, size_of

_END_WITHIN_SECONDS = 5.0


def adopt_siblings(
    directory: Path, backends: Sequence[Backend], *, beat: Callable[[], None] = lambda: None
) -> None:
    """Move here what refused spools of the same tenants hold, and say who others wait for.

    A spool that a living agent writes is left alone. `beat` gives a sign of life meanwhile.
    """
    ours = sorted((one.name, tenant_of(one)) for one in backends if not one.beside)
    for sibling in sorted(directory.parent.glob("*")):
        beat()
        said = read_backends(sibling)
        segments = segment_paths(sibling) if _is_refused(said) and sibling != directory else []
        if not segments or not is_left(sibling):
            continue
        if _tenants_of(said) == ours:
            _adopt(directory, sibling, backends)
        else:
            _say_for_whom(directory, sibling, said, segments)


def is_left(directory: Path) -> bool:
    """Whether no living process writes spans there."""
    return not any(is_locked(path) for path in segment_paths(directory))


def take_over(directory: Path, other: Path, backends: Sequence[Backend]) -> None:
    """Move here what another directory holds, with what was acknowledged of it."""
    for name in (backend.name for backend in backends):
        Acks(directory, name).adopt(Acks(other, name))
    for path in segment_paths(other):
        path.rename(directory / path.name)
    for place in moved_places(other):
        note_moved(directory, place)


def _adopt(directory: Path, sibling: Path, backends: Sequence[Backend]) -> None:
    end_holder(sibling, within_seconds=_END_WITHIN_SECONDS)
    lease = Lease.take(sibling, "")
    if lease is not None:
        with lease:
            take_over(directory, sibling, backends)


def _say_for_whom(
    directory: Path, sibling: Path, said: Sequence[Mapping[str, Any]], segments: Sequence[Path]
) -> None:
    whom = " and ".join(sorted({waits_for(one) for one in said if one["state"] == "paused"}))
    waiting = sum(map(size_of, segments)) / 1024
    text = (
        f"{waiting:,.1f} KiB of spans in {sibling} wait for {whom}, who refused them: they go to "
        "nobody else; an agent with the same backends and that tenant's key delivers them"
    )
    with contextlib.suppress(OSError):
        post_notice(directory, f"waiting-{sibling.name}", WARNING, text)


def waits_for(backend: Mapping[str, Any]) -> str:
    """Whom a backend's spans wait for, as its status says."""
    return str(backend["tenant"] or backend["url"] or backend["name"])


def _tenants_of(said: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return sorted((one["name"], one["tenant"]) for one in said if not one["beside"])


def _is_refused(said: Sequence[Mapping[str, Any]]) -> bool:
    return any(one["state"] == "paused" for one in said)
