"""`python -m tracing COMMAND --help`: each shows examples, and they do what a reader expects."""

from __future__ import annotations

import shlex
import shutil
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.dialects.recorded import LATEST, RECORDINGS
from tests.langfuse_server import LangfuseServer
from tests.test_cli import call
from tracing import cli
from tracing.store.store import Store

PROGRAM = ["python", "-m", "tracing"]
TRACE_ID = bytes.fromhex("4bf9" + 14 * "00")
EXAMPLES = [
    (command, example)
    for command in cli.COMMANDS
    for example in import_module(f"tracing.commands.{command}").EXAMPLES
]


def run(*arguments: str) -> Result:
    """Run `python -m tracing ...` in this process."""
    return CliRunner().invoke(cli.app, arguments)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with what the examples name: calls, a file of them, a baseline."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACING_DIR", raising=False)
    vip, standard = (
        call(number, (0.5, 0.6), **{"call.tags": [tag]})
        for number, tag in enumerate(("vip", "std"), 1)
    )
    vip = [span._replace(trace_id=TRACE_ID) for span in vip]
    with Store(tmp_path / ".tracing" / "calls.db") as store:
        store.add([*vip, *standard])
    shutil.copy(RECORDINGS / LATEST / "voice.json", tmp_path / "calls.json")
    (tmp_path / "baseline.json").write_text(run("report", "--json").stdout)
    return tmp_path


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_of_each_command_shows_its_examples(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each on a line of its own, to be copied from a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    printed = run(command, "--help").stdout.splitlines()
    lines = [line.strip() for line in printed if line.strip()]
    examples = [example for of, example in EXAMPLES if of == command]
    assert examples
    assert lines[lines.index("Examples:") + 1 :] == examples


@pytest.mark.parametrize(("command", "example"), EXAMPLES)
def test_example_is_one_that_the_command_takes(command: str, example: str) -> None:
    """With the arguments and options that it has."""
    *program, name = shlex.split(example)[:4]
    assert (program, name) == (PROGRAM, command)
    group = typer.main.get_command(cli.app)
    with group.make_context("tracing", shlex.split(example)[3:]) as context:
        found = group.get_command(context, name)  # type: ignore[attr-defined]
        found.make_context(name, shlex.split(example)[4:])


ENDING = [example for _, example in EXAMPLES if "view" not in example or "4bf9" in example]
"""Those that end by themselves: the others serve pages."""


@pytest.mark.parametrize("example", ENDING)
def test_example_ends_well(example: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is what it names."""
    with LangfuseServer() as langfuse:
        if "langfuse" in example:
            for key, value in langfuse.settings.items():
                monkeypatch.setenv(f"LANGFUSE_{key.upper()}", value)
        done = run(*shlex.split(example)[3:])
        assert done.exit_code == 0, done.output
        is_replay = "replay" in example and "--dry-run" not in example
        assert bool(langfuse.spans) == is_replay
