"""What tests of capture share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.capture.pipeline import Pipeline


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """A processor with nothing special."""
    return Pipeline(tmp_path)
