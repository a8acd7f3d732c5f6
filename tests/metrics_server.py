"""A real OTLP/HTTP server for metrics on loopback, and what it got as plain values."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)


class Point(NamedTuple):
    """One data point: a number, or of a histogram its count."""

    instance: str
    scope: str
    name: str
    unit: str
    labels: dict[str, Any]
    value: float
    bounds: tuple[float, ...] = ()
    sum: float = 0.0
    exemplar_traces: tuple[str, ...] = ()
    exemplar_labels: tuple[str, ...] = ()


class Request(NamedTuple):
    """One request; header names are lower case."""

    at: float
    path: str
    headers: dict[str, str]
    points: list[Point]


class MetricsServer:
    """Decodes and keeps what it gets; with `hangs` it takes requests and never answers."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.requests: list[Request] = []
        self.hangs = hangs
        self.closing = threading.Event()
        self._http = _HttpServer(("127.0.0.1", 0), _Handler)
        self._http.recorder = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> MetricsServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def points(self) -> list[Point]:
        """All that came."""
        return [point for request in self.requests for point in request.points]

    def latest(self, name: str) -> list[Point]:
        """Each series of a metric as it was last."""
        found = {
            (point.instance, str(sorted(point.labels.items()))): point
            for point in self.points
            if point.name == name
        }
        return list(found.values())

    def total(self, name: str) -> float:
        """The sum over all series of a metric, as they were last."""
        return sum(point.value for point in self.latest(name))


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    recorder: MetricsServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HttpServer

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers["content-length"]))
        recorder = self.server.recorder
        recorder.requests.append(Request(time.time(), self.path, headers, list(_points(body))))
        if recorder.hangs:
            recorder.closing.wait()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _points(body: bytes) -> Iterator[Point]:
    for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        instance = _labels(group.resource.attributes)["service.instance.id"]
        for scoped in group.scope_metrics:
            for metric in scoped.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points:
                    who = (instance, scoped.scope.name, metric.name, metric.unit)
                    yield _point(who, kind, point)


def _point(who: tuple[str, str, str, str], kind: str, point: Any) -> Point:
    labels = _labels(point.attributes)
    if kind != "histogram":
        return Point(*who, labels, getattr(point, point.WhichOneof("value")))
    return Point(
        *who,
        labels,
        point.count,
        tuple(point.explicit_bounds),
        point.sum,
        tuple(exemplar.trace_id.hex() for exemplar in point.exemplars),
        tuple(a.key for exemplar in point.exemplars for a in exemplar.filtered_attributes),
    )


def _labels(attributes: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}
