"""The command line, on a real store and real files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tracing import cli
from tracing.otlp_json import dumps
from tracing.span import Span
from tracing.store.store import Store

START = 1_760_000_000_000_000_000
SECOND = 10**9
HOUR = 3600 * SECOND


def session(number: int, **attributes: Any) -> Span:
    """The session of call `number`, a minute long."""
    start = START + number * HOUR
    return Span(
        trace_id=(number << 120).to_bytes(16, "big"),
        span_id=b"rootroot",
        parent_span_id=b"",
        name="agent_session",
        start_time_unix_nano=start,
        end_time_unix_nano=start + 60 * SECOND,
        attributes={"session.id": f"room-{number}", **attributes},
    )


def call(number: int, latencies: Sequence[float] = (0.5,), **attributes: Any) -> list[Span]:
    """The spans of call `number`: its session, and its turns with these latencies."""
    root = session(number, **attributes)
    turns = [_turn(root, n, latency) for n, latency in enumerate(latencies, 1)]
    return [root, *(span for turn in turns for span in turn)]


def _turn(root: Span, number: int, latency: float) -> Iterator[Span]:
    """A turn that is heard `latency` seconds after the user's last word."""
    start = root.start_time_unix_nano + number * 10 * SECOND
    turn = root._replace(
        span_id=number.to_bytes(8, "big"),
        parent_span_id=root.span_id,
        name="agent_turn",
        start_time_unix_nano=start,
        end_time_unix_nano=start + 5 * SECOND,
        attributes={"lk.e2e_latency": latency},
    )
    yield turn
    yield turn._replace(
        span_id=(100 + number).to_bytes(8, "big"),
        parent_span_id=turn.span_id,
        name="agent_speaking",
        start_time_unix_nano=start + SECOND,
        attributes={},
    )


SAID = {
    "call.tags": ["b", "vip"],
    "call.metadata.plan": "gold",
    "call.metadata.is_new": True,
    "call.outcome": "booked",
    "call.scores": '[{"name": "csat", "value": 5, "time": 1760007201.0}]',
    "user.id": "ann",
}
"""What an application says of a call, on its root."""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with three calls in its store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACING_DIR", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    directory = tmp_path / ".tracing"
    with Store(directory / "calls.db") as store:
        store.add([*call(1, (0.5, 0.6)), *call(2, (1.5,), **{"lk.agent_name": "clinic", **SAID})])
        store.add(call(3, **{"gen_ai.request.model": "gpt-4o"}))
    return directory


def run(*arguments: str) -> Result:
    """Run `python -m tracing ...` in this process."""
    return CliRunner().invoke(cli.app, arguments)


def sessions(result: Result) -> list[str]:
    """The calls of a JSON report."""
    assert (result.exit_code, result.stderr) == (0, "")
    return [found["session_id"] for found in json.loads(result.stdout)["calls"]]


def test_json_reports_every_call(directory: Path) -> None:
    """The promised shape, in the order of the calls' starts."""
    result = run("report", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert [(call["trace_id"], call["session_id"]) for call in found["calls"]] == [
        (f"{number:02}" + "00" * 15, f"room-{number}") for number in (1, 2, 3)
    ]
    shown = ("number", "kind", "user_bot_latency_seconds")
    assert [[tuple(map(turn.get, shown)) for turn in call["turns"]] for call in found["calls"]] == [
        [(1, "reply", 0.5), (2, "reply", 0.6)],
        [(1, "reply", 1.5)],
        [(1, "reply", 0.5)],
    ]
    assert found.keys() == {"calls"}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--last", "2"), ["room-2", "room-3"]),
        (("--agent", "clin*"), ["room-2"]),
        (("--model", "gpt-4o"), ["room-3"]),
        (("--where", "tag=vip"), ["room-2"]),
        (("--where", "plan=gold", "--where", "is_new=true"), ["room-2"]),
        (("--where", "outcome=booked"), ["room-2"]),
        (("--where", "user=ann"), ["room-2"]),
        (("--where", "tag=vip", "--where", "plan=silver"), []),
        (("--since", "2025-10-09T10:30+00:00"), ["room-2", "room-3"]),
        (("--until", "2025-10-09T10:30+00:00"), ["room-1"]),
        (("--since", "2025-10-09T10:30Z", "--until", "2025-10-09T11:30Z"), ["room-2"]),
    ],
)
def test_calls_are_filtered(directory: Path, arguments: list[str], found: list[str]) -> None:
    """By time, agent, model, number, and what the application said."""
    result = run("report", "--json", *arguments)
    assert [call["session_id"] for call in json.loads(result.stdout)["calls"]] == found
    assert result.stderr == ("" if found else "No call matches.\n")


def test_tables_are_the_default(directory: Path) -> None:
    """Each call with its turns, and the sum."""
    result = run("report")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Call room-2 · " in result.stdout
    assert "tag=b, tag=vip, outcome=booked, plan=gold, is_new=true" in " ".join(
        result.stdout.split()
    )
    assert "! 1.50 s" in result.stdout
    assert "In all: 3 calls, 4 turns\n  Within the budget of 1 s: 75% of 4 turns" in result.stdout


def test_csv_has_a_row_per_turn(directory: Path) -> None:
    """Ready for a spreadsheet."""
    result = run("report", "--csv", "--last", "1")
    [row] = csv.DictReader(io.StringIO(result.stdout))
    assert row == {
        "trace_id": "03" + "00" * 15,
        "session_id": "room-3",
        "user_id": "",
        "agent": "",
        "started_at": "2025-10-09T11:53:20+00:00",
        "number": "1",
        "kind": "reply",
        "user_text": "",
        "agent_text": "",
        "user_bot_latency_seconds": "0.5",
        "interrupted": "False",
        "barged_in": "False",
        "user_stopped_speaking_at": "1760010810.5",
        "agent_started_speaking_at": "1760010811.0",
        "agent_stopped_speaking_at": "1760010815.0",
        "over_budget": "False",
        "parts.unaccounted": "0.5",
    }


def test_files_are_read_instead_of_the_store(directory: Path, tmp_path: Path) -> None:
    """One object per file, or one per line."""
    one, many = tmp_path / "one.json", tmp_path / "many.jsonl"
    one.write_text(dumps(call(7)))
    many.write_text(f"{dumps(call(9))}\n{dumps(call(8))}\n")
    assert sessions(run("report", str(one), str(many), "--json")) == ["room-7", "room-8", "room-9"]


def test_what_is_left_out_of_a_file_is_one_line(directory: Path, tmp_path: Path) -> None:
    """How much of which file and why, beside all that can be read; `--strict` refuses."""
    path = tmp_path / "cut.jsonl"
    bad = dumps([session(8)]).replace('"spanId":"', '"spanId":"x', 1)
    path.write_text(f"{dumps(call(7))}\n{bad}\n{dumps(call(9))[:200]}\n")
    result = run("report", "--json", str(path))
    found = [call["session_id"] for call in json.loads(result.stdout)["calls"]]
    assert (result.exit_code, found) == (0, ["room-7"])
    assert result.stderr == (
        f"livekit-tracing: {path}: left out 1 span, 1 line; the first:"
        " line 2: spanId 'x726f6f74726f6f74' is not 16 hex digits\n"
    )
    for command in ("report", "transcript", "replay"):
        refused = run(command, str(path), "--strict")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr.startswith(f"livekit-tracing: {path}, line 2: spanId 'x726f6")


def test_replay_says_what_the_backend_took(directory: Path, tmp_path: Path) -> None:
    """And what it would, and that a part of a file is no whole."""
    path = tmp_path / "calls.jsonl"
    path.write_text(f"{dumps(call(7))}\n{dumps(call(8))}\n")
    arguments = ("replay", str(path), "--backend", "local", "--dir", str(tmp_path / "d"))
    dry = run(*arguments, "--dry-run")
    assert (dry.exit_code, dry.stdout) == (0, "would deliver 2 calls, 6 spans to local\n")
    assert not (tmp_path / "d").exists()
    done = run(*arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["local: took 6 spans"]
    path.write_text(f"{dumps(call(7))}\n{{cut")
    cut = run(*arguments)
    assert cut.exit_code == 1
    assert cut.stderr.startswith(f"livekit-tracing: {path}: left out 1 line; the first: line 2")


def test_standard_input_is_read_as_a_file(directory: Path) -> None:
    """`-` in place of a name, packed too."""
    packed = gzip.compress(dumps([long_call()]).encode())
    for arguments in (("report", "-"), ("transcript", "-")):
        done = subprocess.run(
            [sys.executable, "-m", "tracing", *arguments],
            input=packed,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])},
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"How much would it cost" in done.stdout


def test_two_calls_are_compared(directory: Path) -> None:
    """Side by side, with the difference and what it is worth."""
    result = run("report", "--compare", "room-1", "02000000")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["latency", "p50", "0.55", "s", "1.50", "s", "+0.95", "s"] in lines
    assert " ".join(result.stdout.split()).endswith(
        "Latency: B is 0.95 s slower at the median, too few turns to tell a difference from noise"
        " (n = 2 and 1 turns)."
    )


def test_calls_are_compared_by_what_was_said_of_them(directory: Path) -> None:
    """A tag on one side, on the other a time."""
    result = run("report", "--compare", "tag=vip", "..2025-10-09T10:30Z", "--json")
    compared = json.loads(result.stdout)["compare"]
    assert (compared["a"]["calls"], compared["b"]["calls"]) == (1, 1)
    refused = run("report", "--where", "vip")
    assert refused.exit_code == 2
    assert "'vip' is no NAME=VALUE" in refused.stderr


def test_a_comparison_as_json(directory: Path) -> None:
    """The same numbers for a program."""
    result = run("report", "--compare", "room-1", "room-2", "--json")
    compared = json.loads(result.stdout)["compare"]
    assert compared["a"]["selector"] == "room-1"
    assert compared["difference"]["latency.p50_seconds"] == pytest.approx(0.95)
    assert compared["test"] == {
        "turns_a": 2,
        "turns_b": 1,
        "verdict": "too few turns to tell a difference from noise",
    }


def test_an_empty_store_says_how_to_get_a_call_in(directory: Path, tmp_path: Path) -> None:
    """Friendly, on stderr, and no error; JSON stays JSON, and nothing is made."""
    nowhere = tmp_path / "nowhere"
    hint = (
        f"No calls in {nowhere} yet. Agents that set up tracing here record theirs; in a checkout "
        "of this project `make demo` makes one, offline and without keys\n"
    )
    for arguments, output in (((), ""), (("--json",), '{\n  "calls": []\n}\n')):
        result = run("report", "--dir", str(nowhere), *arguments)
        assert (result.exit_code, result.stdout, result.stderr) == (0, output, hint)
    for command in (("transcript",), ("view", "--terminal"), ("view", "--html", "page.html")):
        result = run(*command, "--dir", str(nowhere))
        wanted = (2, "", f"livekit-tracing: {hint}")
        assert (result.exit_code, result.stdout, result.stderr) == wanted
    assert not nowhere.exists()


def test_filters_that_nothing_fits_are_no_error(directory: Path) -> None:
    """The hint about the demo would be wrong here."""
    result = run("report", "--agent", "nobody")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No call matches.\n")


def test_the_directory_comes_from_the_environment(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRACING_DIR names it, for agents' files too; `--dir` goes first, and empty is none."""
    other = tmp_path / "other"
    with Store(other / "calls.db") as store:
        store.add(call(5))
    monkeypatch.setenv("TRACING_DIR", str(other))
    assert sessions(run("report", "--json")) == ["room-5"]
    assert sessions(run("report", "--json", "--dir", str(directory), "--last", "1")) == ["room-3"]
    monkeypatch.setenv("TRACING_DIR", "")
    assert sessions(run("report", "--json", "--last", "1")) == ["room-3"]
    monkeypatch.delenv("TRACING_DIR")
    Path(".env.local").write_text(f"TRACING_DIR={other}\n")
    assert sessions(run("report", "--json")) == ["room-5"]


def test_what_an_earlier_version_stored_is_described_by_the_first_command(directory: Path) -> None:
    """Once, and its standard output is as ever."""
    expected = run("report", "--json").stdout
    with closing(sqlite3.connect(directory / "calls.db")) as db, db:
        db.execute("DELETE FROM described")
        db.execute("UPDATE calls SET stored_unix = 0")
    assert run("report", "--json").stdout == expected
    with Store(directory / "calls.db", read_only=True) as store:
        assert store.waiting_calls() == 0
        assert len(store.revisions()) == 3


def test_what_cannot_be_read_is_one_line_and_status_2(directory: Path, tmp_path: Path) -> None:
    """A bad file, a damaged store, a bad time, a side that nothing matches."""
    bad, damaged = tmp_path / "bad.json", tmp_path / "damaged"
    bad.write_text("{}\nnonsense\n")
    damaged.mkdir()
    (damaged / "calls.db").write_bytes(b"no database " * 100)
    for arguments, problem in (
        ([str(bad)], f"{bad}, line 2: not JSON: Expecting value at column 1"),
        (["none.json"], "there is no file none.json; a call is asked for by --call none.json"),
        (["--baseline", "none.json"], "none.json: No such file or directory"),
        (["--dir", str(damaged)], f"{damaged / 'calls.db'}: file is not a database"),
        (["--since", "soon"], "'soon' is no time: write 2026-10-01, 2026-10-01T12:30, or 30m,"),
        (["--compare", "room-1", "room-x"], "nothing matches 'room-x': give a session id, the"),
        (["--csv", "--json"], "--csv goes with neither --json nor --compare"),
    ):
        result = run("report", *arguments)
        assert result.stderr.startswith(f"livekit-tracing: {problem}")
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--withheld"], "--withheld goes with --html FILE"),
        (["--terminal", "--html", "page.html"], "--terminal goes without --html"),
        (["--html", "none/page.html"], "none/page.html: No such file or directory"),
        (["--host", "192.0.2.1"], "192.0.2.1:0: Cannot assign requested address"),
        (["room-x"], "no call is 'room-x': give a session id, or the beginning of a trace id"),
    ],
)
def test_a_view_that_cannot_be_had_is_one_line(
    directory: Path, arguments: list[str], problem: str
) -> None:
    """With the file or the address that it is about, and status 2."""
    result = run("view", "--no-browser", *arguments)
    wanted = (2, "", f"livekit-tracing: {problem}\n")
    assert (result.exit_code, result.stdout, result.stderr) == wanted


def test_a_command_without_standard_output_ends_as_ever(directory: Path) -> None:
    """As under a supervisor that closes it."""
    command = f"{sys.executable} -m tracing transcript --dir {directory} >&-"
    source = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    done = subprocess.run(command, shell=True, capture_output=True, env=source, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_replay_to_a_langfuse_that_is_off_delivers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Langfuse's own variable, said in a line."""
    for name, value in (
        ("LANGFUSE_PUBLIC_KEY", "pk-lf-1"),
        ("LANGFUSE_SECRET_KEY", "sk-lf-1"),
        ("LANGFUSE_TRACING_ENABLED", "false"),
    ):
        monkeypatch.setenv(name, value)
    (tmp_path / "call.json").write_text(dumps(call(1)))
    result = run("replay", str(tmp_path / "call.json"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(": nothing is delivered: LANGFUSE_TRACING_ENABLED is false\n")


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python ...` as a person would, in a pipe."""
    inherited = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**inherited, "PYTHONPATH": str(Path(cli.__file__).parents[1]), **environment},
        check=False,
    )


def long_call() -> Span:
    """A turn of LiveKit's own, with something to say."""
    attributes = {
        "session.id": "a-room-with-a-long-name/and-a-job-with-a-long-name",
        "lk.pii.user_input": "How much would it cost to fly to the moon and back?",
        "lk.pii.response.text": "More than you and I have got together, I am afraid. Grüße 🎉",
    }
    return session(1)._replace(name="agent_turn", attributes=attributes)


def test_a_real_process_reports_into_a_pipe(tmp_path: Path) -> None:
    """Nothing is cut at 80 columns, and no colour is sent; a terminal of ASCII does no harm."""
    path = tmp_path / "call.json"
    path.write_text(dumps([long_call()]), encoding="utf-8")
    done = python("-m", "tracing", "report", str(path), PYTHONIOENCODING="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "U: How much would it cost to fly to the moon and back?" in done.stdout
    assert "A: More than you and I have got together, I am afraid. Grüße 🎉" in done.stdout
    ascii_only = python("-m", "tracing", "report", str(path), PYTHONIOENCODING="ascii")
    assert (ascii_only.returncode, ascii_only.stderr) == (0, "")
    assert "I am afraid. Gr??e ?" in ascii_only.stdout


def test_reporting_does_not_load_livekit(tmp_path: Path) -> None:
    """A report starts in an instant, on machines without livekit too."""
    path = tmp_path / "call.json"
    path.write_text(dumps([long_call()]), encoding="utf-8")
    code = (
        "import sys\n"
        "from tracing.cli import app\n"
        "app(['report', sys.argv[1], '--json'], standalone_mode=False)\n"
        "print([m for m in ('livekit', 'opentelemetry') if m in sys.modules], file=sys.stderr)"
    )
    done = python("-c", code, str(path))
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    """`report | head -1` leaves no traceback."""
    path = tmp_path / "calls.json"
    path.write_text(dumps([session(n)._replace(name="agent_turn") for n in range(1, 200)]))
    command = f"'{sys.executable}' -m tracing report '{path}' --json | head -n 1"
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_the_store_stays_closed_to_others(directory: Path) -> None:
    """Reporting opens the file to read, and changes neither it nor its mode."""
    before = (directory / "calls.db").read_bytes()
    run("report", "--json")
    assert (directory / "calls.db").read_bytes() == before
    assert stat.S_IMODE((directory / "calls.db").stat().st_mode) == 0o600
