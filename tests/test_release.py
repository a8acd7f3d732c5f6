"""How it is released: the tag, and workflows that do what the Makefile does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes import ROOT
from tests.release import problems_of

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

GOOD = """\
# Changelog

## [Unreleased]

## [1.2.0] - 2026-11-30

- News.

## [1.1.0] - 2026-10-01
"""


@pytest.mark.parametrize(
    ("tag", "changelog", "problems"),
    [
        ("v1.2.0", GOOD, []),
        ("1.2.0", GOOD, ["the tag is '1.2.0', and the version (tracing/__init__.py) is 1.2.0"]),
        ("", GOOD, ["the tag is '', and the version (tracing/__init__.py) is 1.2.0"]),
        (
            "v1.2.0",
            GOOD.replace("[1.2.0]", "[1.2.1]"),
            ["CHANGELOG.md has no heading `## [1.2.0] - YYYY-MM-DD`"],
        ),
        (
            "v1.2.0",
            GOOD.replace("ed]\n", "ed]\n\n- More.\n", 1),
            ["CHANGELOG.md has lines under [Unreleased]: move them below the version's heading"],
        ),
    ],
)
def test_a_tag_is_the_version_that_the_changelog_tells_of(
    tag: str, changelog: str, problems: list[str]
) -> None:
    """Nothing is published under another name, or without a word."""
    assert list(problems_of(tag, "1.2.0", changelog)) == problems


def jobs(path: Path) -> dict[str, Any]:
    """The jobs of a workflow by name."""
    found: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]
    return found


def commands(path: Path) -> Iterator[str]:
    """What the steps of a workflow run."""
    for job in jobs(path).values():
        yield from (step["run"] for step in job["steps"] if "run" in step)


workflows = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def test_there_are_three() -> None:
    """One for a change, one for a night, one for a release."""
    assert [path.name for path in WORKFLOWS] == ["nightly.yml", "release.yml", "test.yml"]


@workflows
def test_a_workflow_calls_the_makefile_and_nothing_else(path: Path) -> None:
    """So that what it does can be done, and tried, by hand."""
    for command in commands(path):
        program, *words = shlex.split(command)
        assert program == "make"
        assert {word for word in words if "=" not in word} <= TARGETS
        assert next(word for word in words if "=" in word) == "PYTHON=python"


@workflows
def test_a_workflow_may_do_no_more_than_it_has_to(path: Path) -> None:
    """It reads; only what publishes may ask for an identity. Each job ends, and names releases."""
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}
    may = {name: job["permissions"] for name, job in jobs(path).items() if "permissions" in job}
    assert may == ({"publish": {"id-token": "write"}} if path.name == "release.yml" else {})
    assert all("timeout-minutes" in job for job in jobs(path).values())
    used = [step["uses"] for job in jobs(path).values() for step in job["steps"] if "uses" in step]
    assert [one for one in used if not re.fullmatch(r"[\w-]+/[\w-]+@(release/)?v\d+", one)] == []


def test_every_python_is_tried() -> None:
    """Those that pyproject.toml names, and its bounds are the lowest and the next."""
    text = (ROOT / "pyproject.toml").read_text()
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", text)
    [test] = [path for path in WORKFLOWS if path.name == "test.yml"]
    assert jobs(test)["test"]["strategy"]["matrix"]["python"] == named
    last = int(named[-1].partition(".")[2])
    assert f'requires-python = ">={named[0]},<3.{last + 1}"' in text
