"""Numbers in the documents are those of the recordings that they are told of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import pytest

from tests.dialects.recorded import RECORDINGS, recorded, scenarios
from tests.fakes import ROOT
from tracing.account.restamp import restamp
from tracing.config.labels import TraceLabels
from tracing.dialects.langfuse import LangfuseDialect


def observations(scenario: str, detail: Literal["call", "full"]) -> int:
    """How many observations of a recorded call Langfuse gets."""
    translate = LangfuseDialect(**TraceLabels(detail=detail).labels())
    return sum(translate(span) is not None for span in restamp(recorded(scenario)))


@pytest.mark.parametrize(
    ("row", "of"),
    [
        ("a greeting and two replies", ["voice"]),
        ("two replies, each with a tool", ["tools"]),
        (f"all {len(scenarios())} that the tests have", scenarios()),
    ],
)
def test_observations_of_a_call(row: str, of: Sequence[str]) -> None:
    """docs/langfuse.md, "Two levels of detail": what is billed begins with these."""
    found = re.search(rf"^\| {row} \| (\d+) \| (\d+) \|", _text("docs/langfuse.md"), re.MULTILINE)
    assert found, row
    full, call = (sum(observations(one, detail) for one in of) for detail in ("full", "call"))
    assert (full, call) == (int(found[1]), int(found[2]))


def test_recorded_sessions_of_each_version() -> None:
    """The README's versions, and how many recordings each has."""
    rows = re.findall(
        r"^\| ([\d., ]+?)(?: \(.*?\))? \| (\d+)(?: each)? \|", _text("README.md"), re.M
    )
    told = {version: int(count) for versions, count in rows for version in versions.split(", ")}
    kept = {path.name: len([*path.glob("*.json")]) for path in RECORDINGS.iterdir()}
    assert told == {version: count for version, count in kept.items() if count}


def test_pythons() -> None:
    """The README's are those that the package admits."""
    admitted = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', _text("pyproject.toml"))
    assert admitted
    said = re.findall(r"Python 3\.(\d+) to 3\.(\d+)", _text("README.md"))
    assert {*said} == {(admitted[1], str(int(admitted[2]) - 1))}


def _text(name: str) -> str:
    return (ROOT / name).read_text()
