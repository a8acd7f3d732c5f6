"""What a person sees in Langfuse, scenario by scenario, as pictures under tests/golden/langfuse.

Once as it is sent by default, and once in full.

After a change that is meant, draw them anew and read the difference:

    python -m tests.dialects.test_golden
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tracing.dialects.langfuse import LangfuseDialect

from . import langfuse_rules as langfuse
from .picture import picture
from .recorded import LATEST, VERSIONS, scenarios, stamped

GOLDEN = Path(__file__).parents[1] / "golden" / "langfuse"
OF_OLDER_VERSIONS = ("interruption", "llm_fallback", "realtime_late", "tools")
RECORDED = [(LATEST, scenario) for scenario in scenarios()] + [
    (version, scenario)
    for version in VERSIONS
    for scenario in OF_OLDER_VERSIONS
    if version != LATEST
]
PICTURES = [(detail, *recorded) for detail in ("call", "full") for recorded in RECORDED]


def drawn(detail: str, version: str, scenario: str) -> str:
    dialect = LangfuseDialect(
        tags=["golden"], environment="Test Bench", release="r1", detail=detail
    )
    spans = [span for recorded in stamped(scenario, version) if (span := dialect(recorded))]
    return picture(langfuse.show(spans))


def golden(detail: str, version: str, scenario: str) -> Path:
    return GOLDEN / detail / version / f"{scenario}.txt"


@pytest.mark.parametrize(("detail", "version", "scenario"), PICTURES)
def test_picture(detail: str, version: str, scenario: str) -> None:
    """The tree, the texts, the levels and the numbers are those of the golden file."""
    assert drawn(detail, version, scenario) == golden(detail, version, scenario).read_text(
        encoding="utf-8"
    )


def test_no_golden_file_is_left_over() -> None:
    """Every file belongs to a picture."""
    assert {golden(*key) for key in PICTURES} == set(GOLDEN.rglob("*.txt"))


if __name__ == "__main__":
    for key in PICTURES:
        golden(*key).parent.mkdir(parents=True, exist_ok=True)
        golden(*key).write_text(drawn(*key), encoding="utf-8")
