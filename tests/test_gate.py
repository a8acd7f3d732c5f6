"""`report --check` and `--baseline`: what they print, and the status they end with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.fakes import ROOT
from tests.test_cli import call
from tracing import cli
from tracing.otlp_json import dumps
from tracing.read.measures import FAMILIES, NAMES
from tracing.store.store import Store


def run(*arguments: object) -> Result:
    """Run `python -m tracing report ...` in this process."""
    return CliRunner().invoke(cli.app, ["report", *map(str, arguments)])


def checks(*texts: str) -> list[str]:
    """The options for these checks."""
    return [word for text in texts for word in ("--check", text)]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with three calls in its store, an hour apart."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACING_DIR", raising=False)
    with Store(tmp_path / ".tracing" / "calls.db") as store:
        store.add([*call(1, (0.5, 0.6)), *call(2, (1.5,)), *call(3, (0.5,))])
    return tmp_path


def recorded(directory: Path, name: str, *latencies: Sequence[float]) -> Path:
    """A file of calls with replies of these latencies."""
    path = directory / name
    spans = [span for n, of_call in enumerate(latencies, 1) for span in call(n, of_call)]
    path.write_text(dumps(spans), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (checks("p95<=1.6", "barge_in_rate<0.2"), 0, "2 checks of 3 calls hold\n"),
        (
            checks("p95<=1.2", "max<=1.2", "turns>=4"),
            1,
            "breach of p95<=1.2: it is 1.365, counted over 4 answered turns of 3 calls\n"
            "breach of max<=1.2: it is 1.5, counted over 4 answered turns of 3 calls\n",
        ),
        (
            [*checks("p95<=1.2"), "--call", "room-1"],
            0,
            "1 check of 1 call hold\n",
        ),
        (
            [*checks("p95<=1.2"), "--since", "2025-10-09T10:30Z", "--until", "2025-10-09T11:30Z"],
            1,
            "breach of p95<=1.2: it is 1.5, counted over 1 answered turn of 1 call\n",
        ),
        (
            checks("p95<=1.2", "tool_failure_rate<0.05"),
            2,
            "breach of p95<=1.2: it is 1.365, counted over 4 answered turns of 3 calls\n"
            "cannot tell tool_failure_rate<0.05: nothing to measure it by in 3 calls\n",
        ),
    ],
)
def test_calls_of_the_store(store: Path, arguments: list[str], status: int, said: str) -> None:
    """All of them, one, or those of a time; what cannot be told outweighs a breach."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (status, said, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--check", "p96<=1.2"], "'p96<=1.2' names no number of a report; known are: p50, p95,"),
        (["--check", "p95"], "'p95' is no check: write it as p95<=1.2"),
        (["--check", ""], "'' is no check"),
        (["--check", "p95<=1", "--csv"], "--check and --baseline go with neither"),
        (["--check", "p95<=1", "--compare", "room-1", "room-2"], "go with neither"),
        (["--check", "p95<=1", "--since", "1s"], "No call matches."),
        (["--check", "p95<=1", "--call", "room-7"], "no call is 'room-7'"),
        (["--baseline", "calls.json"], "calls.json"),
        (["--baseline", "."], "Is a directory"),
    ],
)
def test_what_cannot_be_asked_ends_with_2(store: Path, arguments: list[str], said: str) -> None:
    """And says why, where errors go."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_no_call_at_all_is_no_pass(tmp_path: Path) -> None:
    """An empty store, and a file of another program's spans."""
    other = tmp_path / "other.json"
    other.write_text('{"resourceSpans": []}')
    for where in (["--dir", tmp_path / "none"], [other]):
        assert run(*where, *checks("turns<=100")).exit_code == 2


def test_what_is_damaged_is_no_pass(tmp_path: Path) -> None:
    """What was left out of a file might have been the breach; a report without checks goes on."""
    path = recorded(tmp_path, "calls.json", (0.5, 0.6))
    whole = path.read_text()
    assert run(path, *checks("p95<=1.2")).exit_code == 0
    path.write_text(f"{whole}\n{whole[:-40]}")
    assert run(path).exit_code == 0
    result = run(path, *checks("p95<=1.2"))
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_baseline_of_a_saved_report(tmp_path: Path) -> None:
    """The same calls, sooner and within noise pass; later ones do not; few cannot be told."""
    replies = [0.50, 0.52, 0.54, 0.56, 0.58, 0.60]
    before = recorded(tmp_path, "before.json", *[replies] * 4)
    saved = tmp_path / "calls.json"
    saved.write_text(run(before, "--json").stdout)
    for later, status in ((0.0, 0), (-0.1, 0), (0.005, 0), (0.3, 1)):
        after = recorded(tmp_path, "after.json", *[[one + later for one in replies]] * 4)
        result = run(after, "--baseline", saved)
        assert (result.exit_code, result.stderr) == (status, "")
        assert ("breach: replies are 0.30 s slower than in" in result.stdout) == (status == 1)
    saved.write_text('{"calls": []}')
    result = run(before, "--baseline", saved)
    assert (result.exit_code, result.stdout) == (
        2,
        f"cannot tell whether replies are slower than in {saved}: 0 and 24 replies,"
        " 0 and 4 calls are too few\n",
    )


def test_as_json_the_report_has_what_was_found(tmp_path: Path) -> None:
    """It is a report that can be a baseline itself; the lines go to standard error."""
    path = recorded(tmp_path, "calls.json", *[(0.5, 1.5, 0.6, 0.7)] * 4)
    saved = tmp_path / "saved.json"
    saved.write_text(run(path, "--json", *checks("turns>=1")).stdout)
    asked = [*checks("p95<=1.2", "mean_transcript_confidence>0.5"), "--baseline", saved]
    result = run(path, "--json", *asked)
    found = json.loads(result.stdout)
    assert (result.exit_code, list(found)) == (2, ["calls", "checks", "baseline"])
    assert found["calls"] == json.loads(run(path, "--json").stdout)["calls"]
    assert found["checks"] == [
        {
            "check": "p95<=1.2",
            "name": "p95",
            "limit": 1.2,
            "value": 1.5,
            "counted_over": 16,
            "counted": "answered turn",
            "holds": False,
        },
        {
            "check": "mean_transcript_confidence>0.5",
            "name": "mean_transcript_confidence",
            "limit": 0.5,
        },
    ]
    assert found["baseline"] == {
        "name": str(saved),
        "calls_a": 4,
        "calls_b": 4,
        "turns_a": 16,
        "turns_b": 16,
        "p": 1.0,
        "calls_p": 1.0,
        "shift_seconds": 0.0,
        "is_worse": False,
        "slower_parts": {},
    }
    assert result.stderr.splitlines() == [
        "breach of p95<=1.2: it is 1.5, counted over 16 answered turns of 4 calls",
        "cannot tell mean_transcript_confidence>0.5: nothing to measure it by in 4 calls",
    ]


def test_the_document_lists_every_name() -> None:
    """docs/ci.md, in the words of the code."""
    written = (
        (ROOT / "docs" / "ci.md").read_text().rpartition("|---|---|\n")[2].partition("\n\n")[0]
    )
    families = {
        ", ".join(f"`{family}.{end}`" for end in ends or ("FIELD",)): meaning
        for family, (ends, meaning) in FAMILIES.items()
    }
    names = {f"`{name}`": meaning for name, meaning in NAMES.items()}
    expected = [f"| {name} | {meaning} |" for name, meaning in {**names, **families}.items()]
    assert written.splitlines() == expected
