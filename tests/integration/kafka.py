"""A real Kafka broker on loopback."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.processes import free_port, running, wait_for
from tests.integration.programs import require

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={logs}
num.partitions=4
message.max.bytes=16000000
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
"""
_CLUSTER_ID = "dHJhY2luZy1pbi10ZXN0cw"
"""Any 16 bytes, as URL-safe base64."""


def require_kafka() -> Path:
    """Its launcher; skips the test with the reason where it cannot be had."""
    launcher = require("kafka")
    if not shutil.which("java"):
        pytest.skip("Kafka needs java")
    return launcher


@contextmanager
def running_kafka(launcher: Path, directory: Path) -> Iterator[str]:
    """A broker that makes topics as they are named; its address."""
    directory.mkdir()
    broker, controller = free_port(), free_port()
    properties = directory / "server.properties"
    properties.write_text(
        _PROPERTIES.format(broker=broker, controller=controller, logs=directory / "logs")
    )
    log = directory / "log"
    format_storage = (launcher, "kafka.tools.StorageTool", "format")
    with running((*format_storage, "-t", _CLUSTER_ID, "-c", properties), log=log) as formatting:
        assert formatting.wait(60) == 0, f"see {log}"
    with running((launcher, "kafka.Kafka", properties), log=log):
        wait_for(lambda: _listens(broker), 60, f"Kafka; see {log}")
        yield f"127.0.0.1:{broker}"


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
