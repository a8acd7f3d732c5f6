"""What the doctor says of TRACING_DIR and of the local store, and how its command ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.test_cli import call
from tracing.cli import app
from tracing.store.store import Store


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with three calls in its store, of an agent with a server of its own."""
    monkeypatch.setenv("LIVEKIT_URL", "wss://livekit.example")
    directory = tmp_path / ".tracing"
    with Store(directory / "calls.db") as store:
        for number in (1, 2, 3):
            store.add(call(number))
    directory.chmod(0o700)
    return directory


def doctor(*options: str) -> Result:
    """Run it as a person does."""
    return CliRunner().invoke(app, ["doctor", *options])


def test_all_is_fine(directory: Path) -> None:
    """What it looked at, a line each, and status 0; nothing set is the local backend."""
    result = doctor()
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert {line[:6] for line in lines} == {"ok    "}
    assert lines[0] == (
        f"ok    settings: spans go to local at {directory / 'calls.db'} (no Langfuse keys and no "
        "OTLP endpoint are set); what code gives to setup_tracer is seen by its check() alone"
    )
    assert "ok    local: on this machine, so that nothing stands between" in lines
    assert lines[-3:-1] == [
        "ok    directory: .tracing",
        "ok    spool: no agent has written spans here yet",
    ]
    assert lines[-1].startswith("ok    store: .tracing/calls.db: 3 calls in ")
    assert ", the latest began at 2025-10-09 " in lines[-1]


def test_something_is_to_mend(directory: Path) -> None:
    """Status 1, and what to do; other findings have their say."""
    directory.chmod(0o755)
    result = doctor()
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    said = "mend  directory: others may look into .tracing (mode 755): chmod 700 .tracing"
    assert [line for line in lines if not line.startswith("ok")] == [said]


def test_what_cannot_be_looked_at_is_not_fine(directory: Path) -> None:
    """A damaged store is status 2, and the rest is said."""
    (directory / "calls.db").write_bytes(b"no database " * 100)
    result = doctor()
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    said = "?     store: .tracing/calls.db: file is not a database"
    assert [line for line in lines if not line.startswith("ok")] == [said]


def test_as_json(directory: Path) -> None:
    """The same, for programs."""
    directory.chmod(0o755)
    result = doctor("--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["status"]) == (1, 1)
    assert [one for one in document["findings"] if one["state"] != "ok"] == [
        {
            "name": "directory",
            "state": "mend",
            "text": "others may look into .tracing (mode 755)",
            "mend": "chmod 700 .tracing",
        }
    ]


def test_directory_is_found_in_a_file(directory: Path, tmp_path: Path) -> None:
    """As the agent finds it."""
    (tmp_path / ".env.local").write_text("TRACING_DIR=elsewhere\n")
    lines = doctor().stdout.splitlines()
    said = "ok    directory: elsewhere is not there yet: an agent with setup_tracer() makes it"
    assert said in lines
    assert f"ok    TRACING_DIR: elsewhere from {tmp_path / '.env.local'}" in lines


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_directory_that_cannot_be_is_to_mend(directory: Path, name: str) -> None:
    """Set-up would refuse it, and nothing below it can be made."""
    Path("file").touch()
    result = doctor("--dir", name)
    there = Path("file") if name == "file" else Path("file").absolute()
    said = (
        f"mend  directory: {there} is no directory, so that nothing can be kept in {name}: "
        "give a directory that this user can write as TRACING_DIR"
    )
    assert (result.exit_code, said in result.stdout.splitlines()) == (1, True)
