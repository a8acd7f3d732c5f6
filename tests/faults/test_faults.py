"""The bounded fault suite: nothing is lost, and nobody waits for a backend."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .processes import ROOT
from .rows import ROWS

pytestmark = pytest.mark.faults

_LIMIT_SECONDS = 600


@pytest.fixture(scope="session")
def outcome_by_row(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """Every selected row, run once, several at a time, in a process of its own."""
    names = [
        item.callspec.params["name"]
        for item in request.session.items
        if "outcome_by_row" in getattr(item, "fixturenames", ()) and hasattr(item, "callspec")
    ]
    file = tmp_path_factory.mktemp("faults") / "outcomes.json"
    command = [sys.executable, "-m", "tests.faults", "--bounded", "--contender", "ours"]
    arguments = ["--rows", ",".join(names), "--json", str(file)]
    subprocess.run([*command, *arguments], cwd=ROOT, timeout=_LIMIT_SECONDS, check=False)
    outcomes = json.loads(file.read_text())
    return {outcome["row"]: outcome for outcome in outcomes}


@pytest.mark.parametrize("name", [row.name for row in ROWS])
def test_row_meets_its_targets(name: str, outcome_by_row: dict[str, dict[str, Any]]) -> None:
    """No span is lost or lost silently, nobody waits, and the row's own checks hold."""
    outcome = outcome_by_row[name]
    if outcome["skipped"]:
        pytest.skip(outcome["skipped"])
    assert outcome["failures"] == []


def test_rows_have_distinct_names() -> None:
    """A name stands for one row, on the command line and in the table."""
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_suite_never_touches_the_spool_of_the_working_directory(tmp_path: Path) -> None:
    """Programs of the suite get a spool of their own and none of the caller's settings."""
    from .processes import environment

    chosen = environment(tmp_path)
    foreign = [name for name in chosen if name.startswith(("OTEL_", "LANGFUSE_", "LIVEKIT_"))]
    assert (chosen["TRACING_DIR"], foreign) == (str(tmp_path), [])
