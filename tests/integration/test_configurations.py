"""Every shipped configuration, as the programs that read it judge it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.fakes import ROOT
from tests.integration import processes
from tests.integration.processes import free_port, running, wait_for
from tests.integration.programs import require
from tests.test_compose import BASE, COLLECTOR_FILES, OVERLAYS, name_of, services

pytestmark = pytest.mark.integration

PROFILES: tuple[list[str], ...] = ([], ["metrics"], ["agent"], ["agent", "metrics"])
ENVIRON = {
    "GATEWAYS_FIRST": "[127.0.0.1:1]",
    "GATEWAYS_SECOND": "[127.0.0.1:1]",
    "KAFKA_BROKERS": "[127.0.0.1:1]",
    "LANGFUSE_PUBLIC_KEY": "pk-lf-1",
    "LANGFUSE_SECRET_KEY": "sk-lf-1",
}
"""What has to be said where there is no default."""
START_SECONDS = 30.0

_OVER = re.compile(r"^# Over ([\w.-]+?)\.yaml")
_BY_NAME = {path.name: path for path in COLLECTOR_FILES}
_ADDRESS = re.compile(r"0\.0\.0\.0:(\d+)")
_OWN_METRICS = re.compile(r"host: 0\.0\.0\.0\n(\s+)port: \d+")
_NOBODY_THERE = re.compile("createTransport failed|unable to open connection to broker")


def combinations() -> Iterator[tuple[Path, ...]]:
    """Files that go together: by what is said on a file's first line, and by what compose runs."""
    found = [(*below(path), path) for path in COLLECTOR_FILES]
    found += [files for path in (BASE, *OVERLAYS) for files in run_by(path)]
    yield from dict.fromkeys(found)


def below(path: Path) -> tuple[Path, ...]:
    """The file that an overlay says it goes over, if it is one."""
    over = _OVER.match(path.read_text())
    return (_BY_NAME[f"{over[1]}.yaml"],) if over else ()


def run_by(compose: Path) -> Iterator[tuple[Path, ...]]:
    """The configurations of each collector of a compose file, in the order of its command."""
    base = services(BASE)
    for name, service in services(compose).items():
        mounts = [*base.get(name, {}).get("volumes", ()), *service.get("volumes", ())]
        shipped = {mount.split(":")[1]: mount.split(":")[0] for mount in mounts}
        inside = re.findall(r"--config=(/etc/otelcol/\S+)", str(service.get("command", "")))
        if inside:
            yield tuple((ROOT / shipped[path]).resolve() for path in inside)


def title(files: Sequence[Path]) -> str:
    """The files in an id."""
    return "+".join(map(name_of, files))


every_combination = pytest.mark.parametrize("files", [*combinations()], ids=title)


@every_combination
def test_collector_accepts(files: Sequence[Path]) -> None:
    """`otelcol validate`."""
    arguments = [f"--config={path}" for path in files]
    check(require("otelcol"), "validate", *arguments)


@every_combination
def test_collector_starts_without_a_warning(files: Sequence[Path], tmp_path: Path) -> None:
    """Healthy, and no name in it is an old one, or on its way out."""
    health = free_port()
    arguments = [f"--config={path}" for path in on_loopback(files, tmp_path, health)]
    log = tmp_path / "log"
    with running([require("otelcol"), *arguments], log=log, environ=ENVIRON):
        url = f"http://127.0.0.1:{health}"
        wait_for(lambda: processes.answers(url), START_SECONDS, f"it is healthy; see {log}")
    warnings = [line for line in log.read_text().splitlines() if "\twarn\t" in line]
    assert [line for line in warnings if not _NOBODY_THERE.search(line)] == []


@pytest.mark.parametrize("profiles", PROFILES, ids=lambda names: "+".join(names) or "default")
@pytest.mark.parametrize("overlay", [None, *OVERLAYS], ids=lambda path: path and name_of(path))
def test_compose_accepts(overlay: Path | None, profiles: Sequence[str]) -> None:
    """`docker-compose config`, with each overlay and profile."""
    files = ["-f", str(BASE), *(["-f", str(overlay)] if overlay else [])]
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    check(require("docker-compose"), *files, *chosen, "config", "-q")


@pytest.mark.parametrize("missing", ["LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"])
def test_langfuse_without_keys_is_an_error_at_once(missing: str) -> None:
    """And not a collector that gets refusals."""
    files: list[Path | str] = [
        "-f",
        BASE,
        "-f",
        ROOT / "deploy" / "langfuse" / "docker-compose.yml",
    ]
    environ = {name: value for name, value in ENVIRON.items() if name != missing}
    done = run(environ, require("docker-compose"), *files, "config", "-q")
    assert done.returncode != 0
    assert missing in done.stderr


def on_loopback(files: Sequence[Path], directory: Path, health: int) -> Iterator[Path]:
    """Copies that listen on free ports of loopback, and keep their queue in a directory."""
    port = {"13133": health}
    for number, path in enumerate(files):
        text = _ADDRESS.sub(
            lambda found: f"127.0.0.1:{port.setdefault(found[1], free_port())}", path.read_text()
        )
        text = _OWN_METRICS.sub(rf"host: 127.0.0.1\n\1port: {free_port()}", text)
        copy = directory / f"{number}.yaml"
        copy.write_text(text.replace("/var/lib/otelcol", str(directory / "queue")))
        yield copy


def check(*command: Path | str) -> None:
    """Run a program that has to be content."""
    done = run(ENVIRON, *command)
    assert done.returncode == 0, done.stdout + done.stderr


def run(environ: Mapping[str, str], *command: Path | str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        command, env={**os.environ, **environ}, cwd=ROOT, capture_output=True, text=True
    )
