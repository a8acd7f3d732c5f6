"""The shipped compose files and collector configurations, as far as reading them tells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes import ROOT
from tests.integration.programs import COLLECTOR_VERSION

BASE = ROOT / "docker-compose.yml"
OVERLAYS = sorted([*ROOT.glob("deploy/*/docker-compose.yml"), *ROOT.glob("deploy/*/compose.yaml")])
COLLECTOR_IMAGE = "otel/opentelemetry-collector-contrib"
PINNED = re.compile(r"^[\w./-]+:v?\d+\.\d+\.\d+$")


def name_of(path: Path) -> str:
    """A shipped file's name in this repository."""
    return str(path.relative_to(ROOT))


def read(path: Path) -> Any:
    """A file of YAML."""
    return yaml.safe_load(path.read_text())


def services(path: Path) -> Mapping[str, Any]:
    """The services of a compose file; those of the base with what an overlay changes."""
    own: dict[str, Any] = read(path)["services"]
    if path == BASE:
        return own
    base = services(BASE)
    return {name: {**base.get(name, {}), **changed} for name, changed in own.items()}


compose_files = pytest.mark.parametrize("path", [BASE, *OVERLAYS], ids=name_of)


@compose_files
def test_images_are_pinned(path: Path) -> None:
    """To a release; what is built here has no image."""
    images = [service.get("image") for service in services(path).values()]
    assert [image for image in images if image and not PINNED.match(image)] == []
    assert [name for name, s in services(path).items() if "image" not in s] in ([], ["agent"])


@compose_files
def test_collector_is_the_one_that_is_tested(path: Path) -> None:
    """The integration tests run the version of the image."""
    images = {s.get("image", "") for s in services(path).values()}
    found = {image for image in images if image.startswith(COLLECTOR_IMAGE)}
    assert found == {f"{COLLECTOR_IMAGE}:{COLLECTOR_VERSION}"}


@compose_files
def test_ports_are_on_loopback(path: Path) -> None:
    """Nobody else on the network can send or look."""
    ports = [str(port) for s in services(path).values() for port in s.get("ports", ())]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@compose_files
def test_services_are_bounded_and_come_back(path: Path) -> None:
    """Memory limit and restart policy, but for those that others wait for to end."""
    found = services(path)
    once = {
        name
        for service in {**services(BASE), **found}.values()
        for name, waits in depends_on(service).items()
        if waits.get("condition") == "service_completed_successfully"
    }
    lasting = {name: service for name, service in found.items() if name not in once}
    assert [name for name, s in lasting.items() if not {"mem_limit", "restart"} <= s.keys()] == []


@compose_files
def test_what_is_waited_for_has_a_health_check(path: Path) -> None:
    """`service_healthy` on a service without one is an error only when it is brought up."""
    every = {**services(BASE), **services(path)}
    awaited = {
        name
        for service in every.values()
        for name, waits in depends_on(service).items()
        if waits.get("condition") == "service_healthy"
    }
    assert [name for name in awaited if "healthcheck" not in every[name]] == []


@compose_files
def test_mounted_files_are_shipped(path: Path) -> None:
    """A file that is missing would be mounted as an empty directory. All are read-only."""
    mounts = [v for s in services(path).values() for v in s.get("volumes", ()) if v[0] == "."]
    assert [mount for mount in mounts if not mount.endswith(":ro")] == []
    assert [mount for mount in mounts if not (ROOT / mount.split(":")[0]).exists()] == []


COLLECTOR_FILES = [
    path
    for path in (ROOT / "otel-collector-config.yaml", *sorted(ROOT.glob("deploy/*/*.yaml")))
    if "pipelines" in path.read_text()
]
BATCHING = [path for path in COLLECTOR_FILES if "batch:" in path.read_text()]
collector_files = pytest.mark.parametrize("path", COLLECTOR_FILES, ids=name_of)


@collector_files
def test_memory_limiter_is_first(path: Path) -> None:
    """In every pipeline that a file restates, so that it refuses before anything is done."""
    pipelines = read(path)["service"].get("pipelines", {}).values()
    found = [pipeline["processors"][0] for pipeline in pipelines if "processors" in pipeline]
    assert {*found} <= {"memory_limiter"}


@collector_files
def test_queues_are_on_disk_and_tries_never_end(path: Path) -> None:
    """Whatever sends to another machine: Prometheus asks, and `debug` prints."""
    for name, exporter in sending_exporters(path):
        assert exporter["sending_queue"]["storage"] == "file_storage/queue", name
        assert exporter["sending_queue"]["sizer"] == "bytes", name
        assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s", name


@pytest.mark.parametrize("path", BATCHING, ids=name_of)
def test_no_queue_splits_what_it_took(path: Path) -> None:
    """A collector drops what it cannot split, and what comes after it; see test_local_viewing."""
    batches = [
        exporter["sending_queue"]["batch"]
        for _, exporter in sending_exporters(path)
        if "batch" in exporter["sending_queue"]
    ]
    assert [batch for batch in batches if "max_size" in batch] == []
    assert batches != []


def sending_exporters(path: Path) -> Iterator[tuple[str, Any]]:
    """The exporters of a file that send."""
    for name, exporter in (read(path).get("exporters") or {}).items():
        if not name.startswith(("prometheus", "debug")):
            yield name, exporter


def depends_on(service: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a service waits for, also where only names are given."""
    found = service.get("depends_on", {})
    return found if isinstance(found, dict) else {name: {} for name in found}
