"""The real programs of the integration tests: built once from Go modules and jars, or on PATH.

`python -m tests.integration.programs` builds what is missing; a test that needs a program skips
with the reason where it cannot be had. Go checks every module against its checksum database.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes import ROOT

COLLECTOR_VERSION = "0.158.0"
LIVEKIT_SERVER_VERSION = "1.13.5"
KAFKA_VERSION = "3.9.1"
JAEGER_VERSION = "2.13.0"
INSTRUMENTATIONS = "1"
"""One more where the group in pyproject.toml changes."""
_JAEGER_MODULE = "github.com/jaegertracing/jaeger@v1.76.0"
"""The last release whose tag is a module version; of the same commit as v2.13.0."""

_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{version}</version>
    </dependency>
  </dependencies>
</project>
"""
_LAUNCHER = """\
#!/bin/sh
exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$(dirname "$0")/jars/*" "$@"
"""

_OVERLAY = """\
#!/bin/sh
export PYTHONPATH="$(dirname "$0")/packages:$PYTHONPATH"
exec "$@"
"""
"""Runs a Python with packages laid over its own."""

_MANIFEST = Path(__file__).with_name("otelcol-builder.yaml")
_COMPONENTS = hashlib.sha256(_MANIFEST.read_bytes()).hexdigest()[:8]
"""Another set of components is another program."""


@dataclass(frozen=True)
class Program:
    """How one program is had."""

    name: str
    version: str = ""
    build: Callable[[Path], None] | None = None
    """Puts the program at a path; None where only PATH can have it."""
    tool: str = "go"
    """What it is built with."""
    hint: str = ""
    """What to install where it is missing."""
    names: tuple[str, ...] = ()
    """What it is called on PATH, where that is not its name alone."""

    @property
    def cached(self) -> Path:
        """Where a built one stays, outside of any checkout."""
        return _cache() / f"{self.name}-{self.version}" / self.name

    def find(self) -> Path | None:
        """The pinned build, else whatever PATH has."""
        if self.build is not None and self.cached.is_file():
            return self.cached
        for name in self.names or (self.name,):
            # Debian keeps some servers where only root looks.
            if found := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
                return Path(found)
        return None


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "livekit-tracing" / "programs"


def _go_install(module: str) -> Callable[[Path], None]:
    """Install one command of a Go module; it is named for the last part of its path."""

    def build(target: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="go-install-") as name:
            _run("go", "install", module, GOBIN=name)
            shutil.move(Path(name) / module.partition("@")[0].rpartition("/")[2], target)

    return build


def _build_collector(target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="otelcol-") as name:
        builder, manifest = Path(name) / "builder", Path(name) / "manifest.yaml"
        _go_install(f"go.opentelemetry.io/collector/cmd/builder@v{COLLECTOR_VERSION}")(builder)
        text = _MANIFEST.read_text()
        manifest.write_text(text.replace("dist:\n", f"dist:\n  output_path: {name}/out\n"))
        _run(builder, f"--config={manifest}")
        shutil.move(Path(name) / "out" / "otelcol", target)


def _build_jaeger(target: Path) -> None:
    """In a copy of its module, because its replace directives count only there."""
    told = _run("go", "mod", "download", "-json", _JAEGER_MODULE)
    with tempfile.TemporaryDirectory(prefix="jaeger-") as name:
        source = Path(name) / "source"
        shutil.copytree(json.loads(told)["Dir"], source)
        source.chmod(0o755)  # modules are kept read-only
        _run("go", "build", "-o", str(target), "./cmd/jaeger", cwd=source)


def _fetch_kafka(target: Path) -> None:
    """The broker's jars with all that they need, and a launcher beside them."""
    with tempfile.TemporaryDirectory(prefix="kafka-") as name:
        pom = Path(name) / "pom.xml"
        pom.write_text(_POM.format(version=KAFKA_VERSION))
        jars = f"-DoutputDirectory={target.parent / 'jars'}"
        _run("mvn", "-q", "-B", f"--file={pom}", "dependency:copy-dependencies", jars)
    target.write_text(_LAUNCHER)
    target.chmod(0o755)


def _lay_instrumentations(target: Path) -> None:
    """Other instrumentations, without what they need and this environment has."""
    packages = target.parent / "packages"
    group = f"{ROOT / 'pyproject.toml'}:instrumentations"
    into = (f"--target={packages}", "--upgrade", "--no-deps", f"--group={group}")
    _run(sys.executable, "-m", "pip", "install", "--quiet", *into)
    target.write_text(_OVERLAY)
    target.chmod(0o755)


def _run(*command: str | Path, cwd: Path | None = None, **environ: str) -> str:
    """What a build step prints; what it complains of goes to the terminal."""
    environ = {**os.environ, "CGO_ENABLED": "0", **environ}
    done = subprocess.run(
        command, check=True, cwd=cwd, env=environ, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


PROGRAMS = {
    program.name: program
    for program in (
        Program(
            "otelcol",
            f"{COLLECTOR_VERSION}-{_COMPONENTS}",
            _build_collector,
            names=("otelcol", "otelcol-contrib"),
        ),
        Program(
            "livekit-server",
            LIVEKIT_SERVER_VERSION,
            _go_install(f"github.com/livekit/livekit-server/cmd/server@v{LIVEKIT_SERVER_VERSION}"),
        ),
        Program("jaeger", JAEGER_VERSION, _build_jaeger),
        Program("kafka", KAFKA_VERSION, _fetch_kafka, tool="mvn"),
        Program(
            "instrumentations",
            f"{sys.version_info.major}.{sys.version_info.minor}-{INSTRUMENTATIONS}",
            _lay_instrumentations,
            tool=sys.executable,
        ),
        Program("prometheus", hint="Debian's package prometheus"),
        Program("promtool", hint="Debian's package prometheus"),
        Program("docker-compose", hint="Debian's package docker-compose"),
        Program("dockerd", hint="Debian's package docker.io"),
    )
}


def require(name: str) -> Path:
    """A program's path; skips the test with the reason where it cannot be had."""
    program = PROGRAMS[name]
    found = program.find()
    if found is None:
        hint = program.hint or f"`make integration` builds it where {program.tool} is at hand"
        pytest.skip(f"{name} is neither built nor on PATH: {hint}")
    return found


def main() -> int:
    """Build what is missing; 0 even where something cannot be had, because tests say so."""
    for program in PROGRAMS.values():
        found = program.find()
        if found is None and program.build is not None and shutil.which(program.tool):
            print(f"building {program.name} {program.version}", file=sys.stderr, flush=True)
            program.cached.parent.mkdir(parents=True, exist_ok=True)
            try:
                program.build(program.cached)
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"{program.name} cannot be built: {error}", file=sys.stderr)
            found = program.find()
        print(f"{program.name}: {found or 'missing; ' + (program.hint or 'needs ' + program.tool)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
