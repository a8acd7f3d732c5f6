"""The documents as their readers take them: commands, links and anchors, quoted messages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.fakes import ROOT

DOCUMENTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
    ]
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"^<!-- path: (\w+), (\w+) -->\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_COMMENT = re.compile(r"\s+#\s.*$")
_COMMAND = re.compile(
    r"(?:[A-Z_]+=\S+ )*"
    r"(?:python3?|pip|uv|make|docker compose|agent_entry\.py|livekit-tracing|zcat|export|mv|cp"
    r"|\.venv/bin/\w+) .+"
)
_CALL = re.compile(r"(setup_tracer|observe)\(")
_KEYWORD = re.compile(r"(?:^|, )(\w+)=")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<(https?://[^>\s]+)>")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Link(NamedTuple):
    """A link, and the document that it is in."""

    document: Path
    target: str


def commands(document: Path) -> Iterator[str]:
    """What a reader may copy into a terminal: lines of blocks without a language, and inline."""
    if document.name == "CHANGELOG.md":  # which tells of what was
        return
    text = document.read_text()
    for language, block in _FENCE.findall(text):
        if language in ("", "sh", "bash"):
            lines = (_COMMENT.sub("", line) for line in block.splitlines())
            yield from (line for line in lines if _COMMAND.fullmatch(line))
    for _, code in _CODE.findall(_FENCE.sub("", text)):
        command = " ".join(code.split())
        if _COMMAND.fullmatch(command):
            yield command


def paths() -> dict[tuple[str, str], str]:
    """The README's ways in, by what they lead to and the tool they use: lines for a shell."""
    found = _PATH.findall((ROOT / "README.md").read_text())
    return {(way, tool): block for way, tool, block in found}


def keywords(document: Path) -> Iterator[tuple[str, str]]:
    """Which arguments of which functions are named: in Python blocks, and in code in a line."""
    text = document.read_text()
    for block in (block for language, block in _FENCE.findall(text) if language == "python"):
        for call in ast.walk(ast.parse(block)):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                yield from ((call.func.id, one.arg) for one in call.keywords if one.arg)
    for _, code in _CODE.findall(_FENCE.sub("", text)):
        if called := _CALL.match(code):
            yield from ((called[1], name) for name in _KEYWORD.findall(code[called.end() :]))


def links(document: Path) -> list[Link]:
    """Every link of a document that is not code."""
    text = _CODE.sub("", _FENCE.sub("", document.read_text()))
    return [Link(document, one or other) for one, other in _LINK.findall(text)]


def anchors(document: Path) -> set[str]:
    """The anchors that the headings of a document get on GitHub."""
    headings = _HEADING.findall(_FENCE.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def quoted_messages(document: Path) -> Iterator[str]:
    """What the tables under "Troubleshooting" quote, in their first column, of what is said."""
    for line in document.read_text().partition("Troubleshooting\n")[2].splitlines():
        cell = line.split("|")[1] if line.startswith("|") else ""
        yield from (code for _, code in _CODE.findall(cell) if " " in code)
