"""A real Kafka broker on loopback: `python -m tests.integration.kafka` fetches it with Maven."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.processes import free_port, running, wait_for
from tests.integration.programs import Program

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


def _fetch(target: Path) -> None:
    """The broker with all it needs, and a launcher beside it."""
    with tempfile.TemporaryDirectory(prefix="kafka-") as name:
        pom = Path(name) / "pom.xml"
        pom.write_text(_POM.format(version=KAFKA.version))
        jars = f"-DoutputDirectory={target.parent / 'jars'}"
        command = ("mvn", "-q", "-B", f"--file={pom}", "dependency:copy-dependencies", jars)
        subprocess.run(command, check=True)
    target.write_text(_LAUNCHER)
    target.chmod(0o755)


KAFKA = Program("kafka", "3.9.1", _fetch)


def require_kafka() -> Path:
    """Its launcher; skips the test where it was not fetched."""
    if not KAFKA.cached.is_file():
        pytest.skip("Kafka is not fetched: python -m tests.integration.kafka, with Maven")
    if not shutil.which("java"):
        pytest.skip("Kafka needs java")
    return KAFKA.cached


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


def main() -> int:
    """Fetch it where it is missing."""
    if not KAFKA.cached.is_file():
        KAFKA.cached.parent.mkdir(parents=True, exist_ok=True)
        _fetch(KAFKA.cached)
    print(KAFKA.cached)
    return 0


if __name__ == "__main__":
    sys.exit(main())
