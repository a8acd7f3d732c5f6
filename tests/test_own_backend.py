"""A backend of one's own, as docs/backends.md shows it: one module, one entry, and spans arrive."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import call, until
from tracing import Backend, setup_tracer
from tracing.config.registry import REGISTRY

DOCUMENT = Path(__file__).parents[1] / "docs" / "backends.md"


@pytest.fixture
def lines_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that the document shows, where both processes find it."""
    source = (
        DOCUMENT.read_text().partition("```python\n# lines_backend.py\n")[2].partition("```")[0]
    )
    (tmp_path / "lines_backend.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lines_backend", raising=False)
    import lines_backend  # type: ignore[import-not-found]

    return lines_backend


def arrived(path: Path) -> list[str]:
    """The names of the spans that the sender wrote."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["name"] for line in lines]


@pytest.mark.parametrize("where", ["process", "thread"])
def test_spans_reach_a_backend_given_as_data(
    lines_backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """By the drainer's process or thread, beside another backend, in its own dialect."""
    monkeypatch.setenv("TRACING_DRAINER", where)
    path = tmp_path / "spans.jsonl"
    handle = setup_tracer(
        [
            Backend(
                "lines",
                sender="lines_backend:LinesSender",
                url=str(path),
                dialect="lines_backend:named",
                dialect_options={"names": ["job_entrypoint"]},
            ),
            "local",
        ]
    )
    call()
    assert handle.flush(30)
    until(lambda: arrived(path) == ["job_entrypoint"])


@pytest.mark.parametrize("by_name", [True, False])
def test_a_backend_is_one_entry_of_the_registry(
    lines_backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_name: bool
) -> None:
    """Its name, settings, sender, dialect and mend come with it; nothing else is touched."""
    monkeypatch.setenv("TRACING_DIR", str(tmp_path / "d"))
    if by_name:
        monkeypatch.setitem(REGISTRY, "lines", lines_backend.Lines)  # type: ignore[arg-type]
        monkeypatch.setenv("TRACING_BACKEND", "lines")
    handle = setup_tracer() if by_name else setup_tracer([lines_backend.Lines()])
    call()
    assert handle.flush(30)
    assert "job_entrypoint" in until(lambda: arrived(tmp_path / "d" / "spans.jsonl"))
