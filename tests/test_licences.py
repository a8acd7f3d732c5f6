"""What may come with the package."""

from __future__ import annotations

from email.message import Message
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from tests.licences import closure, is_allowed, licences_of


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ({"License-Expression": "MIT OR Apache-2.0"}, [True, True]),
        ({"License-Expression": "BSD-3-Clause AND (0BSD AND GPL-3.0-only)"}, [True, True, False]),
        ({"Classifier": "License :: OSI Approved :: ISC License (ISCL)", "License": "x"}, [True]),
        (
            {"Classifier": "License :: OSI Approved :: GNU General Public License (GPL)"},
            [False],
        ),
        ({"License": "The MIT License\n\nPermission is hereby granted"}, [True]),
        ({"License": "MIT with a field of use"}, [False]),
        ({"License": "UNKNOWN"}, [False]),
        ({}, [False]),
    ],
)
def test_only_what_is_listed_is_allowed(
    tmp_path: Path, said: dict[str, str], allowed: list[bool]
) -> None:
    """What is not named is not allowed."""
    metadata = Message()
    for key, value in said.items():
        metadata[key] = value.replace("\n", "\n ")
    (tmp_path / "METADATA").write_text(metadata.as_string())
    assert [is_allowed(one) for one in licences_of(PathDistribution(tmp_path))] == allowed


def test_all_that_comes_with_the_package_is_allowed() -> None:
    """Everything that it needs, and what that needs."""
    found = {one.name: licences_of(one) for one in closure("livekit-tracing")}
    assert {"livekit-agents", "opentelemetry-sdk", "langfuse"} <= found.keys()
    refused = {name: said for name, said in found.items() if not all(map(is_allowed, said))}
    assert refused == {}
