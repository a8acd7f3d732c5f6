"""Whether a tag may be published: `python -m tests.release v0.1.0`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from tests.fakes import ROOT
from tracing import __version__


def problems_of(tag: str, version: str, changelog: str) -> Iterator[str]:
    """What is wrong with publishing this version under this tag."""
    if tag != f"v{version}":
        yield f"the tag is {tag!r}, and the version (tracing/__init__.py) is {version}"
    heading = re.escape(f"## [{version}] - ") + r"\d{4}-\d\d-\d\d$"
    if not re.search(heading, changelog, re.MULTILINE):
        yield f"CHANGELOG.md has no heading `## [{version}] - YYYY-MM-DD`"
    unreleased = changelog.partition("## [Unreleased]")[2].partition("\n## [")[0]
    if unreleased.strip():
        yield "CHANGELOG.md has lines under [Unreleased]: move them below the version's heading"


def main() -> int:
    """Say every problem; 1 where there is one."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = list(problems_of(sys.argv[1] if len(sys.argv) > 1 else "", __version__, changelog))
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
