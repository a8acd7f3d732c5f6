"""What tests of the spool share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracing.spool.losses import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Who counts what is lost."""
    return Ledger(tmp_path)
