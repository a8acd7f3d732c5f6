"""The public surface: what a user may rely on, and nothing by accident."""

from __future__ import annotations

import re

import tracing


def test_public_names_are_these() -> None:
    """Each name that is exported can be had, and an unknown one is an AttributeError."""
    assert tracing.__all__ == [
        "Backend",
        "ConfigError",
        "Langfuse",
        "Local",
        "Otlp",
        "Tracing",
        "current_call",
        "observe",
        "setup_tracer",
    ]
    assert [getattr(tracing, name).__name__ for name in tracing.__all__] == tracing.__all__
    assert not hasattr(tracing, "something_else")


def test_version_is_one_that_can_be_published() -> None:
    """By Semantic Versioning, as the changelog promises."""
    assert re.fullmatch(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?", tracing.__version__)
