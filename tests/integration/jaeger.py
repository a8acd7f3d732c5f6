"""Jaeger with its memory store, on loopback, and what its API tells of a trace."""

from __future__ import annotations

import urllib.parse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.integration import processes
from tests.integration.processes import free_port, get_json, wait_for
from tests.integration.programs import require
from tracing.otlp_json import decode
from tracing.span import Span

_START_SECONDS = 30.0
_CONFIGURATION = """\
extensions:
  jaeger_storage:
    backends:
      memory: {{memory: {{max_traces: 1000}}}}
  jaeger_query:
    storage: {{traces: memory}}
    http: {{endpoint: 127.0.0.1:{query}}}
    grpc: {{endpoint: 127.0.0.1:{grpc}}}
  healthcheckv2:
    use_v2: true
    http: {{endpoint: 127.0.0.1:{health}}}
receivers:
  otlp:
    protocols:
      http: {{endpoint: 127.0.0.1:{otlp}}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
service:
  extensions: [jaeger_storage, jaeger_query, healthcheckv2]
  telemetry:
    metrics: {{level: none}}
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [jaeger_storage_exporter]
"""
"""What it does by default, without the ports that nobody uses here."""


class Jaeger:
    """Knows its ports before it runs, so that others can be told of it while it is down."""

    def __init__(self, directory: Path) -> None:
        names = ("query", "grpc", "health", "otlp")
        self._port = {name: free_port() for name in names}
        self._log = directory / "jaeger.log"
        self._configuration = directory / "jaeger.yaml"
        self._configuration.write_text(_CONFIGURATION.format(**self._port))
        self._program = require("jaeger")
        self._process = ExitStack()

    def __enter__(self) -> Jaeger:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()

    @property
    def otlp_url(self) -> str:
        """Where it takes OTLP over HTTP."""
        return f"http://127.0.0.1:{self._port['otlp']}"

    def start(self) -> None:
        """Run it until it says that it is healthy."""
        running = processes.running(
            [self._program, "--config", self._configuration],
            log=self._log,
            environ={"OTEL_TRACES_SAMPLER": "always_off"},  # else it traces itself
        )
        self._process.enter_context(running)
        url = f"http://127.0.0.1:{self._port['health']}/status"
        wait_for(lambda: processes.answers(url), _START_SECONDS, f"Jaeger; see {self._log}")

    def spans(self, trace_id: bytes) -> list[Span]:
        """The spans of a trace by its API for programs, as OTLP; none where it is not known."""
        found = self._ask(f"/api/v3/traces/{trace_id.hex()}")
        return [_without_remarks(span) for span in decode(found["result"])] if found else []

    def spans_of(self, service: str) -> list[Span]:
        """The spans of all traces of a service, by the same API."""
        arguments = {
            "query.service_name": service,
            "query.start_time_min": "2000-01-01T00:00:00Z",
            "query.start_time_max": "2100-01-01T00:00:00Z",
            "query.num_traces": "100",
        }
        found = self._ask(f"/api/v3/traces?{urllib.parse.urlencode(arguments)}")
        return list(decode(found["result"])) if found else []

    def page(self, trace_id: bytes) -> list[dict[str, Any]]:
        """The spans of a trace as its pages get them."""
        found = self._ask(f"/api/traces/{trace_id.hex()}")
        [trace] = found["data"]
        spans: list[dict[str, Any]] = trace["spans"]
        return spans

    def _ask(self, path: str) -> Any:
        return get_json(f"http://127.0.0.1:{self._port['query']}{path}")


def _without_remarks(span: Span) -> Span:
    """The span as it came: whoever looks at half a trace leaves Jaeger's warnings on its spans."""
    kept = {key: value for key, value in span.attributes.items() if key != "@jaeger@warnings"}
    return span._replace(attributes=kept)
