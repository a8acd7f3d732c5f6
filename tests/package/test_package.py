"""The wheel and the sdist: what is in them, and that they do outside what they do here."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import tracing
from tests.fakes import ROOT

pytestmark = pytest.mark.package

SOURCES = Path(__file__).parent / "project"
TOOLS = Path(sys.executable).parent
if not (TOOLS / "uv").exists():
    pytest.skip("uv is not installed: `make package` brings the group", allow_module_level=True)


def run(*command: object, cwd: Path, status: int = 0) -> str:
    """What a command prints, from which this repository cannot be seen."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "TRACING_", "LANGFUSE_", "OTEL_", "COVERAGE_")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == status, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an sdist, and of the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    run(TOOLS / "uv", "build", "--out-dir", out, ROOT, cwd=out)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel."""
    return built / f"livekit_tracing-{tracing.__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def project(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has the wheel, in an environment of its own."""
    project = tmp_path_factory.mktemp("project")
    for file in SOURCES.glob("*.py"):
        shutil.copy(file, project)
    run(TOOLS / "uv", "venv", "--quiet", "--python", sys.executable, ".venv", cwd=project)
    run(TOOLS / "uv", "pip", "install", "--quiet", "--python", ".venv", wheel, cwd=project)
    return project


def files_of_package() -> Iterator[str]:
    """Every file of `tracing/`, as it is kept here."""
    for path in (ROOT / "tracing").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield str(path.relative_to(ROOT))


def test_wheel_has_the_package_and_its_licence(wheel: Path) -> None:
    """With templates, what the pages are made of and the mark of types; no test, no demo."""
    about = f"livekit_tracing-{tracing.__version__}.dist-info"
    names = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    with zipfile.ZipFile(wheel) as packed:
        found = packed.namelist()
    assert sorted(found) == sorted([*files_of_package(), *(f"{about}/{name}" for name in names)])
    expected = {
        "tracing/py.typed",
        "tracing/view/static/view.js",
        "tracing/view/templates/call.html",
    }
    assert expected <= set(found)


def test_sdist_has_what_builds_the_wheel(built: Path) -> None:
    """And what a person reads beside it."""
    name = f"livekit_tracing-{tracing.__version__}"
    beside = ("CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "SECURITY.md", "pyproject.toml")
    with tarfile.open(built / f"{name}.tar.gz") as packed:
        found = {member.name for member in packed if member.isfile()} - {f"{name}/.gitignore"}
    assert found == {f"{name}/{file}" for file in (*files_of_package(), *beside)}


def test_what_is_said_of_it(wheel: Path) -> None:
    """The version that `tracing` has, who may use it, and under which licence."""
    with zipfile.ZipFile(wheel) as packed:
        [name] = [name for name in packed.namelist() if name.endswith("METADATA")]
        said = email.message_from_bytes(packed.read(name))
    assert {
        key: said[key] for key in ("Name", "Version", "Requires-Python", "License-Expression")
    } == {
        "Name": "livekit-tracing",
        "Version": tracing.__version__,
        "Requires-Python": "<3.15,>=3.10",
        "License-Expression": "Apache-2.0",
    }


def test_it_works_where_nothing_else_is(project: Path) -> None:
    """Set up, a call recorded, reported, checked, saved as a page, and the doctor content."""
    python, command = (project / ".venv" / "bin" / name for name in ("python", "livekit-tracing"))
    place = "import tracing; print(tracing.__version__, tracing.__file__)"
    version, file = run(python, "-c", place, cwd=project).split()
    assert version == tracing.__version__
    assert Path(file).is_relative_to(project)
    run(python, "record.py", cwd=project)
    [call] = json.loads(run(command, "report", "--json", cwd=project))["calls"]
    assert [(turn["number"], turn["user_bot_latency_seconds"]) for turn in call["turns"]] == [
        (1, 0.5)
    ]
    run(command, "report", "--check", "p95<=1.2", cwd=project)
    run(command, "report", "--check", "p95<=0.2", cwd=project, status=1)
    run(python, "-m", "tracing", "view", "--html", "call.html", cwd=project)
    assert "We open at noon." in (project / "call.html").read_text()
    run(command, "doctor", cwd=project)


MARKED = [
    ("wrong.py", number)
    for number, line in enumerate((SOURCES / "wrong.py").read_text().splitlines(), 1)
    if line.endswith("# wrong")
]


def test_mypy_knows_its_types(project: Path) -> None:
    """Strictly: the agent is right, and each slip of the pen is found."""
    mypy = (TOOLS / "mypy", "--strict", "--python-executable", ".venv/bin/python")
    said = run(*mypy, "agent.py", "wrong.py", cwd=project, status=1)
    found = re.findall(r"^(\w+\.py):(\d+): error", said, re.MULTILINE)
    assert sorted({(file, int(line)) for file, line in found}) == MARKED, said


def test_pyright_knows_its_types(project: Path) -> None:
    """The same."""
    settings = {"typeCheckingMode": "strict", "include": ["agent.py", "wrong.py"]}
    (project / "pyrightconfig.json").write_text(json.dumps(settings))
    pyright = (TOOLS / "pyright", "--pythonpath", ".venv/bin/python", "--outputjson")
    said = json.loads(run(*pyright, cwd=project, status=1))["generalDiagnostics"]
    found = {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in said}
    assert sorted(found) == MARKED, said
