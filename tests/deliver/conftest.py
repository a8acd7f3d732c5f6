"""A spool, a segment in it, and keepers that end with their test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deliver.keepers import MakeKeeper
from tests.fakes import open_segment
from tracing.config.backends import Backend
from tracing.deliver.keeper import Keeper
from tracing.spool.losses import Ledger
from tracing.spool.segments import SegmentWriter


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """The spool's directory."""
    path = tmp_path / "spool" / "mine"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def make_keeper(spool: Path) -> Iterator[MakeKeeper]:
    """Makes started keepers, and ends them and their drainers after the test."""
    made: list[Keeper] = []

    def make(*backends: Backend, start: bool = True, **options: Any) -> Keeper:
        ledger = options.pop("ledger", None) or Ledger(spool)
        limits: dict[str, Any] = {"spool_bytes": 2**20, "max_age_seconds": 86400.0}
        keeper = Keeper(spool, [*backends], ledger, **limits, **options)
        made.append(keeper)
        if start:
            keeper.start()
        return keeper

    yield make
    for keeper in made:
        keeper.stop()
        child = keeper._starter.child
        if child is not None:
            child.kill()
            child.wait(10)


@pytest.fixture
def writer(spool: Path) -> Iterator[SegmentWriter]:
    """A segment that this process is writing, so that a drainer has work."""
    writer = open_segment(spool)
    yield writer
    writer.close()
