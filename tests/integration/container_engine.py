"""A container engine for tests, in namespaces of its own, and stand-ins for public images.

Its containers, networks, firewall rules and mounts are gone with its last process. Its loopback
is not this machine's: every port is free there, and no way leads out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from tests.integration.processes import kill
from tests.integration.programs import require

LOG = "dockerd.log"
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_COMMAND_SECONDS = 120.0
_PACKAGE_BY_TOOL = {
    "docker": "docker.io",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
"""What else the engine needs, and the package of Debian that has it."""
_ISOLATED = (
    *("setpriv", "--pdeathsig=KILL"),  # ends with the tests, however they end
    *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
_APPLETS = ("cat", "chown", "ls", "sh", "sleep", "wget")


@dataclass(frozen=True)
class Image:
    """What a public image holds, and the settings it has as `docker import --change` takes them."""

    program: str
    path: str
    settings: Sequence[str]
    directories: Sequence[tuple[str, int]] = ()
    """Each with its owner."""
    has_shell: bool = True


IMAGES = {
    "busybox": Image("busybox", "/bin/busybox", ('CMD ["sh"]',)),
    "otel/opentelemetry-collector-contrib": Image(
        "otelcol",
        "/otelcol-contrib",
        ("USER 10001", 'ENTRYPOINT ["/otelcol-contrib"]'),
        has_shell=False,
    ),
    "jaegertracing/jaeger": Image(
        "jaeger",
        "/cmd/jaeger/jaeger-linux",
        ("USER 10001", "ENV JAEGER_LISTEN_HOST=0.0.0.0", 'ENTRYPOINT ["/cmd/jaeger/jaeger-linux"]'),
    ),
    "prom/prometheus": Image(
        "prometheus",
        "/bin/prometheus",
        ("USER 65534", "WORKDIR /prometheus", 'ENTRYPOINT ["/bin/prometheus"]'),
        directories=[("/prometheus", 65534)],
    ),
    "livekit/livekit-server": Image(
        "livekit-server", "/livekit-server", ('ENTRYPOINT ["/livekit-server"]',)
    ),
}
"""By the repository whose image each stands for."""


class EngineError(Exception):
    """The engine or one of its clients failed, in its own words."""


class Engine:
    """A running dockerd."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self._directory, self._process = directory, process

    def docker(self, *arguments: str) -> str:
        """What docker's own client prints."""
        return self._run("docker", *arguments)

    def compose(self, file: Path, *arguments: str) -> str:
        """What docker-compose prints for a file."""
        program = str(require("docker-compose"))
        return self._run(program, "--project-name=shipped", f"--file={file}", *arguments)

    def within(self, *command: str) -> list[str]:
        """The command that runs another one in the engine's network."""
        return ["nsenter", f"--net=/proc/{self._process.pid}/ns/net", *command]

    def get_json(self, url: str) -> Any:
        """What a URL in the engine's network answers, or None where it does not (yet)."""
        command = self.within("busybox", "wget", "-q", "-O", "-", url)
        with suppress(ValueError, subprocess.TimeoutExpired):
            return json.loads(subprocess.run(command, capture_output=True, timeout=10).stdout)
        return None

    def crash(self, container: str) -> None:
        """SIGKILL to a container's program as if it had failed: nobody asked the engine."""
        pid = self.docker("inspect", "--format", "{{.State.Pid}}", container)
        namespace = f"--pid=/proc/{self._process.pid}/ns/pid_for_children"
        self._run("nsenter", namespace, "busybox", "kill", "-KILL", pid)

    def load(self, tag: str) -> None:
        """Put a stand-in in the place of a public image; skips where its program is missing."""
        image = IMAGES[tag.partition(":")[0]]
        changes = [part for setting in image.settings for part in ("--change", setting)]
        program = find(image.program)
        command = ["docker", "import", *changes, "-", tag]
        with subprocess.Popen(
            command, env=self._environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as client:
            _write_layer(client.stdin, image, program)
        if client.returncode:
            raise EngineError(f"docker import {tag} failed")

    def require_up(self) -> None:
        """When it answers; skips with its last words where it does not."""
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self._directory / LOG).read_text().strip() or "nothing"
                pytest.skip(f"no container engine here; it said: {said.splitlines()[-1]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End it in good order, and what is left of it by force."""
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        kill(self._process)

    def _is_up(self) -> bool:
        with suppress(EngineError):
            return bool(self.docker("version", "--format", "{{.Server.Version}}"))
        return False

    @property
    def _environ(self) -> dict[str, str]:
        return {**os.environ, "DOCKER_HOST": f"unix://{self._directory}/docker.sock"}

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
        )
        if done.returncode:
            raise EngineError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()


@contextmanager
def running_engine() -> Iterator[Engine]:
    """A running engine; skips with the reason where none can be had."""
    _require_all()
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        started = Engine(Path(name), _start(Path(name)))
        try:
            started.require_up()
            yield started
        finally:
            started.stop()


def find(program: str) -> Path:
    """A tool of Debian, or one of the programs; skips with the reason where it is missing."""
    if program not in _PACKAGE_BY_TOOL:
        return require(program)
    found = shutil.which(program, path=_path())
    if found is None:
        pytest.skip(f"{program} is not on PATH: Debian's package {_PACKAGE_BY_TOOL[program]}")
    return Path(found)


def _path() -> str:
    """PATH, with the directories where Debian keeps what only root needs."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _require_all() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start a container engine")
    require("docker-compose")
    for tool in _PACKAGE_BY_TOOL:
        find(tool)
    if _libraries(find("busybox")):
        pytest.skip("busybox needs libraries: Debian's package busybox-static does not")


def _start(directory: Path) -> subprocess.Popen[bytes]:
    """Dockerd as the first process of namespaces whose one network device is loopback."""
    command = [
        str(require("dockerd")),
        f"--data-root={directory}/data",
        f"--exec-root={directory}/run",
        f"--pidfile={directory}/dockerd.pid",
        f"--host=unix://{directory}/docker.sock",
    ]
    with (directory / LOG).open("wb") as log:
        return subprocess.Popen(
            [*_ISOLATED, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command],
            env={**os.environ, "PATH": _path()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _libraries(program: Path) -> list[Path]:
    """What a program is linked with, its loader among it."""
    told = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", told)]


def _write_layer(file: IO[bytes] | None, image: Image, program: Path) -> None:
    """An image's one layer, as a tar archive."""
    with tarfile.open(fileobj=file, mode="w|") as archive:
        _add_directory(archive, "/tmp", 0, 0o1777)
        for path, owner in image.directories:
            _add_directory(archive, path, owner)
        _add_program(archive, image.path, program)
        for library in _libraries(program):
            _add_program(archive, str(library), library)
        if image.has_shell:
            _add_shell(archive)


def _add_shell(archive: tarfile.TarFile) -> None:
    _add_program(archive, "/bin/.busybox", find("busybox"))
    for applet in _APPLETS:
        link = tarfile.TarInfo(f"/bin/{applet}")
        link.type, link.linkname = tarfile.SYMTYPE, ".busybox"
        archive.addfile(link)


def _add_directory(archive: tarfile.TarFile, path: str, owner: int, mode: int = 0o755) -> None:
    directory = tarfile.TarInfo(path)
    directory.type, directory.mode = tarfile.DIRTYPE, mode
    directory.uid = directory.gid = owner
    archive.addfile(directory)


def _add_program(archive: tarfile.TarFile, path: str, program: Path) -> None:
    file = tarfile.TarInfo(path)
    file.size, file.mode = program.stat().st_size, 0o755
    with program.open("rb") as content:
        archive.addfile(file, content)
