"""Commands in the documents work, links lead somewhere, and quoted messages are ours."""

from __future__ import annotations

import gzip
import inspect
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.dialects.recorded import LATEST, RECORDINGS, recorded
from tests.docs.documents import (
    DOCUMENTS,
    Link,
    anchors,
    commands,
    keywords,
    links,
    paths,
    quoted_messages,
)
from tests.fakes import ROOT, until
from tests.langfuse_server import LangfuseServer
from tracing import Backend, Langfuse, Otlp, observe, setup_tracer
from tracing.account.restamp import restamp
from tracing.config.load import BackendArguments
from tracing.span import Span
from tracing.store.store import Store


class Ends(NamedTuple):
    """Run below: it ends with this status, after it has printed this."""

    printed: str
    status: int = 0


class Serves(NamedTuple):
    """Run below: a page is served that has this in it."""

    shown: str


class By(NamedTuple):
    """Run by another test, or by a target."""

    where: str


class NotRun(NamedTuple):
    """Not run, and why not."""

    why: str


GATE = By("tests/test_demo.py::test_gate_of_the_docs_lets_the_demo_pass")
PATHS = By("tests/paths/__main__.py::main")
_DEV = NotRun(
    "needs a LiveKit server: tests/integration/test_livekit_server.py has one for `start`"
)

COMMANDS: Mapping[str, Ends | Serves | By | NotRun] = {
    # The ways in.
    ".venv/bin/python -m tracing view": Serves("restaurant"),
    "export LANGFUSE_PUBLIC_KEY=pk-lf-...": PATHS,
    "export LANGFUSE_SECRET_KEY=sk-lf-...": PATHS,
    "export LANGFUSE_BASE_URL=https://cloud.langfuse.com": PATHS,
    "uv run agent_entry.py demo": PATHS,
    "uv run livekit-tracing doctor": PATHS,
    "python3 -m venv .venv": PATHS,
    ".venv/bin/pip install --upgrade pip && .venv/bin/pip install --group demo --editable .": PATHS,
    ".venv/bin/python agent_entry.py demo": PATHS,
    ".venv/bin/python -m tracing doctor": PATHS,
    "export TRACING_BACKEND=otlp OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318": PATHS,
    "uv add /path/of/this/checkout": PATHS,
    "pip install /path/of/this/checkout": PATHS,
    "pip install 'livekit-tracing[zstd]'": NotRun("what it installs is in every test environment"),
    "agent_entry.py console": NotRun("needs a terminal, a microphone and LiveKit's keys"),
    "python agent_entry.py demo --record": By(
        "tests/test_demo.py::test_recorded_call_is_heard_in_step"
    ),
    # Compose.
    "docker compose up --detach": By(
        "tests/integration/test_compose.py::test_a_call_is_seen_in_jaeger"
    ),
    "docker compose --profile metrics up": By(
        "tests/integration/test_compose.py::test_prometheus_scrapes_the_collector"
    ),
    "docker compose --profile agent up": By(
        "tests/integration/test_configurations.py::test_compose_accepts"
    ),
    "docker compose --env-file .env.local -f docker-compose.yml "
    "-f deploy/langfuse/docker-compose.yml up": By(
        "tests/integration/test_configurations.py::test_compose_accepts"
    ),
    "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 TRACING_METRICS=true "
    "python agent_entry.py dev": _DEV,
    # Reading.
    "python -m tracing view": Serves("restaurant"),
    "python -m tracing view demo.json": Serves("restaurant"),
    "python -m tracing view CALL": Serves("When do you open?"),
    "python -m tracing view 4bf9": Serves("When do you open?"),
    "python -m tracing view 4bf9 --terminal": Ends("caller"),
    "python -m tracing view 4bf9 --html call.html [--withheld]": Ends("written: call.html"),
    "python -m tracing report": Ends("In all: 2 calls"),
    "python -m tracing report --help": Ends("Usage"),
    "python -m tracing report --last 5": Ends("In all: 2 calls"),
    "python -m tracing COMMAND --help": Ends("Usage"),
    "livekit-tracing COMMAND": PATHS,
    "python -m tracing report --compare preemptive_generation=true "
    "preemptive_generation=false": Ends("preemptive_generation=true"),
    'python -m tracing report --check "p95<=1.2" --check "tool_failure_rate<0.05" '
    '--check "barge_in_rate<0.2"': GATE,
    'python -m tracing report --check "p95<=1.2" --baseline baseline.json': GATE,
    "python -m tracing report --json > baseline.json": GATE,
    "python -m tracing report --last 4 --baseline baseline.json": GATE,
    "pip install livekit-tracing==X.Y.Z": NotRun("is said of a version to come"),
    "python -m tracing report calls.json": Ends("In all: 1 call"),
    "zcat calls.json.gz | python -m tracing report -": Ends("In all: 1 call"),
    "python -m tracing transcript": Ends("agent"),
    "python -m tracing.heard SPOOL": NotRun("only the drainer runs it: tests/heard does"),
    "python -m tracing doctor": Ends("ok"),
    "python -m tracing replay FILES --backend langfuse": Ends("langfuse"),
    "python -m tracing replay calls.json --backend langfuse": Ends("langfuse"),
    "python -m tracing replay calls.json --backend langfuse --dry-run": Ends("langfuse"),
    "mv .tracing/spool/<one>/*.seg .tracing/spool/<other>/": By(
        "tests/deliver/test_tenants.py::test_"
    ),
    "python -m tests.heard.picture": NotRun("runs the demo's call, and makes what is committed"),
    "python -m tests.view.pictures": NotRun("needs Chromium, and makes what is committed"),
}
"""By command: how it is known to work. A new one needs a row."""


def test_every_command_has_a_row() -> None:
    """And every row a command; what only who works on this runs has to be there, below."""
    found = {command for document in DOCUMENTS for command in commands(document)}
    assert {one for one in found if one in COMMANDS or not _of_developers(one)} == {*COMMANDS}


def test_what_developers_run_is_there() -> None:
    """Targets of the Makefile, and modules with a main or a part of that name."""
    targets = {*re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)}
    for words in filter(None, (_of_developers(c) for d in DOCUMENTS for c in commands(d))):
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, words
        elif words[2] == "pytest":
            assert all((ROOT / word).exists() for word in words[3:] if word[0] != "-"), words
        else:
            module = ROOT / words[2].replace(".", "/")
            assert module.with_suffix(".py").exists() or (module / "__main__.py").exists(), words
        if words[:3] == ["python", "-m", "bench"] and len(words) > 3:
            assert (ROOT / "bench" / f"{words[3]}.py").exists(), words


def _of_developers(command: str) -> list[str]:
    """The words of a command that only runs in a checkout, for who works on this; else none."""
    words = command.split()
    is_theirs = words[0] == "make" or re.match(r"python -m (?:bench|tests|pytest)\b", command)
    return words if is_theirs else []


def test_what_runs_a_command_is_there() -> None:
    """A file, and in it the test that is named."""
    for by in (how for how in COMMANDS.values() if isinstance(how, By)):
        path, _, name = by.where.partition("::")
        assert f"def {name}" in (ROOT / path).read_text() if name else (ROOT / path).exists(), by


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a local store of two calls, and one call in files."""
    (tmp_path / ".tracing").mkdir(mode=0o700)
    with Store(tmp_path / ".tracing" / "calls.db") as store:
        for name, enabled in (("voice", False), ("preemptive_kept", True)):
            store.add([_with_option(span, enabled) for span in restamp(recorded(name))])
    for name in ("calls.json", "demo.json"):
        shutil.copy(RECORDINGS / LATEST / "voice.json", tmp_path / name)
    (tmp_path / "calls.json.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    return tmp_path


def _with_option(span: Span, enabled: bool) -> Span:
    """A session whose option is known, as it is with `observe`."""
    option = {"call.options.preemptive_generation.enabled": enabled}
    is_session = span.name == "agent_session"
    return span._replace(attributes={**span.attributes, **option}) if is_session else span


def _as_typed(command: str, place: Path) -> str:
    """The command with what its placeholders stand for here."""
    trace_id = re.search('"traceId": ?"([0-9a-f]{32})"', (place / "demo.json").read_text())
    assert trace_id
    for placeholder, meant in {
        "4bf9": trace_id[1][:8],
        "CALL": trace_id[1],
        "[--withheld]": "--withheld",
        "FILES": "calls.json demo.json",
        "COMMAND": "transcript",
        ".venv/bin/python": "python",
    }.items():
        command = command.replace(placeholder, meant)
    return command


def _environ(langfuse: LangfuseServer | None = None) -> dict[str, str]:
    python = Path(sys.executable).parent
    keys = {f"LANGFUSE_{k.upper()}": v for k, v in langfuse.settings.items()} if langfuse else {}
    found = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **keys}
    return {**found, "PATH": f"{python}:{os.environ['PATH']}"}


ENDING = [command for command, how in COMMANDS.items() if isinstance(how, Ends)]


@pytest.mark.parametrize("command", ENDING)
def test_command_does_what_is_said(command: str, place: Path) -> None:
    """As it stands there, in a shell."""
    expected = COMMANDS[command]
    assert isinstance(expected, Ends)
    with LangfuseServer() as langfuse:
        done = subprocess.run(
            ["bash", "-c", _as_typed(command, place)],
            cwd=place,
            env=_environ(langfuse if "langfuse" in command else None),
            capture_output=True,
            text=True,
            timeout=120,
        )
        told = done.stdout + done.stderr
        assert (done.returncode, expected.printed in told) == (expected.status, True), told
        if "replay" in command and "--dry-run" not in command:
            assert langfuse.spans


SERVING = [command for command, how in COMMANDS.items() if isinstance(how, Serves)]


@pytest.mark.parametrize("command", SERVING)
def test_command_serves_pages(command: str, place: Path) -> None:
    """The address that it prints answers."""
    expected = COMMANDS[command]
    assert isinstance(expected, Serves)
    words = [*_as_typed(command, place).split(), "--no-browser", "--port", "0"]
    with subprocess.Popen(
        words,
        cwd=place,
        env=_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as serving:
        try:
            assert serving.stdout is not None
            told = next(line for line in serving.stdout if "http://" in line)
            found = re.search(r"http://\S+", told)
            assert found
            address = found[0]
            assert expected.shown in until(lambda: _page(address))
        finally:
            serving.terminate()


def _page(address: str) -> str:
    """What a browser gets; nothing while nobody answers yet."""
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.URLError:
        return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Files and anchors are there; addresses elsewhere are well-formed, and not asked for."""
    assert [link.target for link in links(document) if not _leads_somewhere(link)] == []


def _leads_somewhere(link: Link) -> bool:
    address = urlsplit(link.target)
    if address.scheme:
        return address.scheme in ("http", "https") and bool(address.hostname)
    path = (link.document.parent / address.path).resolve() if address.path else link.document
    is_ours = path.is_relative_to(ROOT) and path.exists()
    return is_ours and (not address.fragment or address.fragment in anchors(path))


def test_every_document_can_be_found_from_the_readme() -> None:
    """By links, one after the other."""
    reached, new = set(), {ROOT / "README.md"}
    while new:
        reached |= new
        found = {link for document in new for link in links(document)}
        files = {(one.document.parent / urlsplit(one.target).path).resolve() for one in found}
        new = {path for path in files if path.suffix == ".md" and path.exists()} - reached
    assert {*DOCUMENTS} - reached == set()


def test_quoted_messages_are_said() -> None:
    """What a table quotes of a log or an error is in the code, whatever stands in its gaps."""
    sources = [path.read_text() for path in (ROOT / "tracing").rglob("*.py")]
    said = "\n".join(re.sub(r'"\s*\n\s*f?"', "", source) for source in sources)
    elsewhere = {
        "worker is at full capacity",
        "PortAudio library not found",
        "Queue full, dropping",
    }
    missing = [
        message
        for document in (ROOT / "README.md", ROOT / "docs" / "troubleshooting.md")
        for message in quoted_messages(document)
        if message not in elsewhere
        for part in re.split(r"\.\.\.|\d+|pk-lf-|: *$", message)
        if part.strip(" :;,").strip() not in said
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_arguments_that_are_named_exist(document: Path) -> None:
    """And what is shown as Python is some."""
    arguments = inspect.signature(setup_tracer).parameters.keys()
    known = {
        "setup_tracer": {*arguments, *BackendArguments.__annotations__},
        "observe": {*inspect.signature(observe).parameters},
        "Langfuse": {field.name for field in fields(Langfuse)},
        "Otlp": {field.name for field in fields(Otlp)},
        "Backend": {field.name for field in fields(Backend)},
    }
    found = [(function, name) for function, name in keywords(document) if function in known]
    assert [(function, name) for function, name in found if name not in known[function]] == []


def test_the_readme_has_each_way_with_uv_and_with_pip() -> None:
    """Those that `python -m tests.paths` tries."""
    ways = {(way, tool) for way in ("langfuse", "otlp", "agent") for tool in ("uv", "pip")}
    assert paths().keys() == ways


def test_pictures_are_small() -> None:
    """A page of them loads at once."""
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()}
    assert {name: size for name, size in sizes.items() if size > 300_000} == {}
