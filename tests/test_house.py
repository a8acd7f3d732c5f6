"""The house: who may import whom, and how large a room may grow. docs/architecture.md says why."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "tracing"
GROUND = {
    "span",
    "names",
    "stamps",
    "harmless",
    "otlp_json",
    "limits",
    "places",
    "safe_text",
    "log_line",
}
DOORS = {
    "setup",
    "application",
    "in_force",
    "pipeline",
    "observing",
    "handle",
    "cli",
    "commands",
    "__main__",
    "__init__",
}
MAY_IMPORT = {
    "doors": "capture account spool deliver store calls read terminal view metrics config doctor",
    "doctor": "deliver spool store config",
    "capture": "account spool deliver.flush store.reports config heard",
    "metrics": "account spool deliver.flush config",
    "terminal": "calls read account",
    "view": "calls read account store heard",
    "read": "calls account store",
    "deliver": "spool dialects store config heard.waiting",
    "store": "calls spool.files",
    "calls": "account dialects.messages",
    "heard": "spool",
    "account": "",
    "dialects": "",
    "spool": "",
    "config": "",
}
"""Each room, and the rooms or modules that it takes from; everybody stands on the ground."""

KNOWS_LIVEKIT = (
    "tracing.capture.",
    "tracing.metrics.",
    "tracing.observing",
    "tracing.pipeline",
    "tracing.setup",
)
MAX_FILE_LINES, MAX_ROOM_LINES = 400, 2_100

DISTRIBUTION = {
    "dotenv": "python-dotenv",
    "livekit": "livekit-agents",
    "opentelemetry": "opentelemetry-sdk",
}
"""Where it is called otherwise than what is imported."""
OF_TYPE_CHECKERS = {"typing_extensions"}
"""Imported for types alone: a type checker brings it."""


def modules() -> dict[str, Path]:
    """Every module by its dotted name."""
    return {
        ".".join(("tracing", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imports(path: Path) -> Iterator[str]:
    """What a file imports, for types and late imports too: modules, and names in packages."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name: str, known: dict[str, Path]) -> str | None:
    """The module of ours that an imported name is in; None for a name of a package's own."""
    while name.startswith("tracing."):
        if name in known:
            return name
        name = name.rpartition(".")[0]
    return None


def room_of(module: str) -> str:
    """The room that a module is in: `doors`, `ground`, or its folder."""
    first = module.split(".")[1]
    return "doors" if first in DOORS else "ground" if first in GROUND else first


def arrows() -> dict[str, set[str]]:
    """By module, the modules of ours that it imports."""
    known = modules()
    return {
        module: {
            found
            for name in imports(path)
            if (found := module_of(name, known)) is not None and found != module
        }
        for module, path in known.items()
    }


def is_allowed(importer: str, imported: str) -> bool:
    """Whether the table has this arrow."""
    here, there = room_of(importer), room_of(imported)
    if there in (here, "ground"):
        return True
    allowed = MAY_IMPORT.get(here, "").split()
    return any(f"{imported}.".startswith(f"tracing.{one}.") for one in allowed)


def test_every_room_takes_only_from_the_rooms_of_its_row() -> None:
    """No other arrow, not for a type, and not from within a function."""
    found = arrows()
    assert {room_of(module) for module in found} == {*MAY_IMPORT, "ground"}
    forbidden = [(m, n) for m, taken in found.items() for n in taken if not is_allowed(m, n)]
    assert forbidden == []


def test_there_is_no_circle() -> None:
    """Modules can be read from the ground up; raises CycleError, which names it, where not."""
    TopologicalSorter(arrows()).prepare()


def test_only_these_know_livekit_and_the_sdk() -> None:
    """The drainer, the account and the readers run without them."""
    foreign = ("livekit.", "opentelemetry.sdk.", "opentelemetry.exporter.")
    found = {
        module
        for module, path in modules().items()
        if any(f"{name}.".startswith(foreign) for name in imports(path))
    }
    assert {module for module in found if not f"{module}.".startswith(KNOWS_LIVEKIT)} == set()


def test_what_is_imported_is_named_as_a_dependency() -> None:
    """Nothing is there because another package happens to need it."""
    text = (PACKAGE.parent / "pyproject.toml").read_text()
    [named] = re.findall(r"^dependencies = \[$(.*?)^\]$", text, re.MULTILINE | re.DOTALL)
    dependencies = set(re.findall(r'^    "([\w-]+)', named, re.MULTILINE))
    imported = {name.partition(".")[0] for path in modules().values() for name in imports(path)}
    foreign = imported - sys.stdlib_module_names - OF_TYPE_CHECKERS - {"tracing"}
    needed = {DISTRIBUTION.get(name, name) for name in foreign}
    assert needed | {"opentelemetry-exporter-otlp-proto-http"} == dependencies


def test_every_logger_is_one_that_strikes_secrets() -> None:
    """`safe_text.get_logger`, so that no record needs to be thought of."""
    found = {module for module, path in modules().items() if "getLogger" in path.read_text()}
    assert found == {"tracing.safe_text"}


def test_no_file_and_no_room_outgrows_a_reader() -> None:
    """A file on some pages, a room in an hour."""
    lines = {module: len(path.read_text().splitlines()) for module, path in modules().items()}
    assert {m: n for m, n in lines.items() if n > MAX_FILE_LINES} == {}
    folders: dict[Path, int] = {}
    for module, path in modules().items():
        folders[path.parent] = folders.get(path.parent, 0) + lines[module]
    assert {folder: n for folder, n in folders.items() if n > MAX_ROOM_LINES} == {}
