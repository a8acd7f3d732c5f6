"""`python -m tests.paths`: try the README's ways in from a clean checkout, with uv and with pip.

The lines are the README's own. Langfuse is a stand-in; the collector is the real one where it was
built (`make integration`), with a server that records in Jaeger's place, else that server itself.
Calls have one turn; `docker compose up` is not among the lines that run, for the integration tests
have it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.docs.documents import paths
from tests.doctor.servers import ApiServer
from tests.fakes import ROOT, RecordingServer, until
from tests.integration.collector import Collector
from tests.integration.programs import PROGRAMS
from tests.langfuse_server import PUBLIC_KEY, SECRET_KEY
from tracing.span import Span

CHECKOUT = "/path/of/this/checkout"
_FOREIGN = ("LANGFUSE_", "LIVEKIT_", "OTEL_", "PYTHON", "TRACING_", "VIRTUAL_ENV")


def main() -> int:
    """Try each way with each tool, and say what came of it."""
    with tempfile.TemporaryDirectory(prefix="paths-") as name:
        directory = Path(name)
        tools = directory / "tools"
        with_uv(tools)
        with ThreadPoolExecutor() as both:  # calls take their time, and little of the machine
            tried = [both.submit(try_with, tool, directory, tools) for tool in ("uv", "pip")]
        for one in tried:
            one.result()
    return 0


def try_with(tool: str, directory: Path, tools: Path) -> None:
    """Each way with one tool."""
    place = clean_checkout(directory / tool)
    for way, attempt in (("langfuse", langfuse), ("otlp", otlp), ("agent", own_agent)):
        began = time.monotonic()
        attempt(place, tool, tools)
        print(f"ok  {way}, {tool}: {time.monotonic() - began:.0f} s", flush=True)


def with_uv(tools: Path) -> None:
    """Have uv: the machine's, else one in an environment of its own."""
    if shutil.which("uv") is None:
        subprocess.run([sys.executable, "-m", "venv", tools], check=True)
        subprocess.run([tools / "bin" / "pip", "install", "--quiet", "uv"], check=True)


def clean_checkout(place: Path) -> Path:
    """What a clone would have, with what is not committed yet, and nothing that was made since."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    return place


def langfuse(place: Path, tool: str, tools: Path) -> None:
    """The demo's call is one trace with one root, its turns and their scores."""
    lines = paths()["langfuse", tool]
    if tool == "pip":  # in place of the last two of the others
        exports = [one for one in paths()["langfuse", "uv"].splitlines() if "export" in one]
        lines = "\n".join([*exports, lines])
    with ApiServer() as server:
        meant = {
            "pk-lf-...": PUBLIC_KEY,
            "sk-lf-...": SECRET_KEY,
            "https://cloud.langfuse.com": server.url,
        }
        run(lines, place, tools, meant)
        [root] = [span for span in server.spans.values() if span.name == "call host"]
        spans = server.trace(root.trace_id)
        names = Counter(span.name for span in spans)
        assert [span for span in spans if not span.parent_span_id] == [root], names
        assert (names["agent turn"], names["user turn"]) == (2, 1), names
        scored = [score["name"] for score in server.scores.values()]
        assert scored.count("turn_latency_seconds") == 1, scored


def otlp(place: Path, tool: str, tools: Path) -> None:
    """The demo's call is one trace with one root, and nobody's parent is missing."""
    lines = paths()["otlp", tool].replace("docker compose up --detach\n", "")
    with RecordingServer() as server, receiver(server, place) as url:
        run(lines, place, tools, {"http://127.0.0.1:4318": url})
        until(lambda: "job_entrypoint" in server.accepted_names())
        check_call(server.accepted, turns=2)


@contextlib.contextmanager
def receiver(server: RecordingServer, place: Path) -> Iterator[str]:
    """Where the agent sends to: the real collector, where there is one."""
    if PROGRAMS["otelcol"].find() is None:
        yield server.url
        return
    directory = place.with_name(f"{place.name}-collector")
    (directory / "queue").mkdir(parents=True)
    with Collector(directory, JAEGER_OTLP_ENDPOINT=server.url) as collector:
        yield collector.url


def own_agent(place: Path, tool: str, tools: Path) -> None:
    """A project elsewhere installs the package, and its agent's call is in the local store."""
    project = place.with_name(f"{place.name}-project")
    project.mkdir()
    began = {"uv": "uv init --quiet --bare --name agent", "pip": "python3 -m venv .venv"}[tool]
    lines = paths()["agent", tool].replace("pip install", ".venv/bin/pip install")
    run(f"{began}\n{lines}", project, tools, {CHECKOUT: str(place)})
    for name in ("examples", "tests"):
        (project / name).symlink_to(ROOT / name)
    python = project / ".venv" / "bin" / "python"
    where = output([python, "-c", "import tracing; print(tracing.__file__)"], project)
    assert Path(where.strip()).is_relative_to(project), where
    output([python, "-m", "tests.docs.offline_example", "minimal"], project)
    report = [python, "-m", "tracing", "report", "--json"]
    until(lambda: kinds_of_turns(output(report, project)) == ["reply", "reply"])


def kinds_of_turns(report: str) -> list[str]:
    """Those of the one call in a report as JSON."""
    [call] = json.loads(report)["calls"]
    return [turn["kind"] for turn in call["turns"]]


def check_call(spans: list[Span], turns: int) -> None:
    """One trace, one root, no parent that is not there, so many turns."""
    ids = {span.span_id for span in spans}
    assert len({span.trace_id for span in spans}) == 1
    assert [span.name for span in spans if not span.parent_span_id] == ["job_entrypoint"]
    assert [span.name for span in spans if span.parent_span_id not in {b"", *ids}] == []
    assert sum(span.name == "agent_turn" for span in spans) == turns


def run(lines: str, place: Path, tools: Path, meant: Mapping[str, str]) -> None:
    """Run lines in a shell, with what their placeholders mean, and calls of one turn."""
    for placeholder, value in meant.items():
        assert placeholder in lines, placeholder
        lines = lines.replace(placeholder, value)
    lines = lines.replace("agent_entry.py demo", "agent_entry.py demo --turns 1")
    output(["bash", "-euo", "pipefail", "-c", lines], place, tools)


def output(command: list[Any], place: Path, tools: Path | None = None) -> str:
    """What a command prints; ends this with all that it said where it fails."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith(_FOREIGN)}
    at = [str(tools / "bin")] if tools else []
    environ = {**kept, "PATH": os.pathsep.join([*clean_path(), *at])}
    done = subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[-1]}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def clean_path() -> list[str]:
    """PATH without the environment that this runs in."""
    own = str(Path(sys.prefix) / "bin")
    return [part for part in os.environ["PATH"].split(os.pathsep) if part != own]


if __name__ == "__main__":
    sys.exit(main())
