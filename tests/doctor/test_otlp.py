"""Each fault of an OTLP endpoint, played by a stand-in: its line, and no secret in any."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.doctor.servers import (
    ApiServer,
    drips,
    hangs_up,
    listening,
    says_nothing,
    serve,
    speaks_grpc,
)
from tests.fakes import Reply
from tracing.config.backends import Backend
from tracing.config.load import load_settings
from tracing.config.settings import backends_of
from tracing.doctor.examine import examine
from tracing.doctor.findings import Finding
from tracing.doctor.otlp import look_at_otlp
from tracing.doctor.reach import Place

SECRET = "a-token-for-otlp-5678"
PATH = "/v1/traces"
Answer = Callable[[str, str, Mapping[str, str], bytes], Reply]


def look(url: str, **environ: str) -> list[Finding]:
    """What is found of the endpoint with this whole URL; no secret is in it."""
    settings = load_settings(
        "otlp",
        environ={
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer {SECRET}",
            **environ,
        },
    )
    [backend] = backends_of(settings)
    found = list(look_at_otlp(Place(backend, "OTEL_EXPORTER_OTLP_ENDPOINT")))
    assert [one for one in found if SECRET in one.line] == []
    return found


def collector(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """Takes spans where a collector does, and says what it was asked elsewhere."""
    if path != PATH:
        return Reply(404, f"404 page not found {headers.get('authorization')}".encode())
    return Reply(200, b"", {"Content-Type": "application/x-protobuf"})


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The base URL of a server."""
    server = serve(answer)
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def always(reply: Reply) -> Answer:
    """The same answer to everything."""
    return lambda *_: reply


def test_empty_export_is_answered() -> None:
    """As OTLP answers; nothing is stored by it."""
    with serving(collector) as url:
        assert look(url + PATH) == [
            Finding("otlp, clock", "ok", "as the server's"),
            Finding("otlp, endpoint", "ok", f"{url}{PATH} takes OTLP"),
        ]


HTML = {"Content-Type": "text/html"}
FAULTS: Mapping[str, tuple[str, Answer, str]] = {
    "path doubled": (
        PATH + PATH,
        collector,
        f"mend otlp, endpoint: the path of URL{PATH}{PATH} is wrong, URL{PATH} takes OTLP: "
        f"set OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=URL{PATH}, or OTEL_EXPORTER_OTLP_ENDPOINT=URL, "
        f"which gets {PATH} appended",
    ),
    "path missing": (
        "",
        collector,
        f"mend otlp, endpoint: the path of URL is wrong, URL{PATH} takes OTLP: "
        f"set OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=URL{PATH}, or OTEL_EXPORTER_OTLP_ENDPOINT=URL, "
        f"which gets {PATH} appended",
    ),
    "path of another signal": (
        "/v1/metrics",
        collector,
        f"mend otlp, endpoint: the path of URL/v1/metrics is wrong, URL{PATH} takes OTLP: "
        f"set OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=URL{PATH}, or OTEL_EXPORTER_OTLP_ENDPOINT=URL, "
        f"which gets {PATH} appended",
    ),
    "no such path": (
        PATH,
        always(Reply(404, b"nothing here")),
        f"mend otlp, endpoint: POST URL{PATH} answered 404: nothing here: "
        "check OTEL_EXPORTER_OTLP_ENDPOINT: collectors take OTLP at :4318/v1/traces",
    ),
    "another server says yes": (
        PATH,
        always(Reply(200, b"<html>Sign in", HTML)),
        f"mend otlp, endpoint: POST URL{PATH} answered 200, no OTLP answer but text/html: "
        "<html>Sign in: check OTEL_EXPORTER_OTLP_ENDPOINT: collectors take OTLP at "
        ":4318/v1/traces",
    ),
    "wrong key": (
        PATH,
        always(Reply(401, f"no such token {SECRET}".encode())),
        f"mend otlp, endpoint: POST URL{PATH} answered 401: no such token [secret]: "
        "check OTEL_EXPORTER_OTLP_HEADERS, or headers=",
    ),
    "overloaded": (
        PATH,
        always(Reply(503, b"sending queue is full")),
        f"unknown otlp, endpoint: POST URL{PATH} answered 503: sending queue is full: "
        "see the server's log; spans wait meanwhile",
    ),
}
"""By fault: the path that is set, the server, and the one line that is not ok."""


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_the_endpoint_has_its_line(fault: str) -> None:
    """What, why, and what to do."""
    path, answer, said = FAULTS[fault]
    with serving(answer) as url:
        told = [f"{one.state} {one.line}".replace(url, "URL") for one in look(url + path)]
    assert [line for line in told if not line.startswith("ok ")] == [said]


def test_endpoint_of_metrics_is_looked_at_by_its_own_path(tmp_path: Path) -> None:
    """As that of spans; here the variable for spans was copied."""

    def takes_metrics(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        return Reply(200) if path == "/v1/metrics" else Reply(404, b"404 page not found")

    with serving(takes_metrics) as url:
        environ = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": url + PATH, "TRACING_METRICS": "1"}
        found = examine(lambda: load_settings("local", environ=environ), tmp_path)
    assert [one.line for one in found if one.state == "mend"] == [
        f"metrics, endpoint: the path of {url}{PATH} is wrong, {url}/v1/metrics takes OTLP: "
        f"set OTEL_EXPORTER_OTLP_METRICS_ENDPOINT={url}/v1/metrics, or "
        f"OTEL_EXPORTER_OTLP_ENDPOINT={url}, which gets /v1/metrics appended"
    ]


def test_server_of_langfuse_is_known() -> None:
    """Its OTLP has another path, and its keys other variables."""
    with ApiServer() as server:
        found = look(server.url + PATH)[-1]
        text = f"{server.url}{PATH} is a Langfuse server's (4.16.0)"
    how = "set LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and LANGFUSE_BASE_URL instead"
    assert found == Finding("otlp, endpoint", "mend", text, how)


SOCKETS: Mapping[str, tuple[Callable[[socket.socket], None], str]] = {
    "gRPC": (
        speaks_grpc,
        "HOST speaks gRPC, which is not spoken here",
    ),
    "hangs up": (
        hangs_up,
        "HOST hangs up or speaks no HTTP (Remote end closed connection without response)",
    ),
    "says nothing": (
        says_nothing,
        f"http://HOST{PATH} cannot be reached: no whole answer within 5 s",
    ),
    "drips": (
        drips,
        f"http://HOST{PATH} cannot be reached: no whole answer within 5 s",
    ),
}
"""By fault: what the server does with a connection, and how its line begins."""


@pytest.mark.parametrize("fault", SOCKETS)
def test_server_that_speaks_no_http_is_told(fault: str) -> None:
    """Within the time of one step."""
    talk, said = SOCKETS[fault]
    with listening(talk) as port:
        [found] = look(f"http://127.0.0.1:{port}{PATH}")
    assert (found.name, found.state) == ("otlp, connection", "mend")
    assert found.text.replace(f"127.0.0.1:{port}", "HOST").startswith(said)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in found.mend


def test_tls_that_is_not_spoken_is_told() -> None:
    """https:// in front of a plain server."""
    with serving(collector) as url:
        address = url.removeprefix("http://")
        [found] = look(f"https://{address}{PATH}")
    how = "give http:// or another port in OTEL_EXPORTER_OTLP_ENDPOINT"
    assert found == Finding("otlp, TLS", "mend", f"{address} speaks no TLS", how)


def test_nobody_listens() -> None:
    """The commonest of all, in containers too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    [found] = look(f"http://127.0.0.1:{port}{PATH}")
    assert found == Finding(
        "otlp, connection",
        "mend",
        f"nothing listens at 127.0.0.1:{port}",
        "start the server, or check OTEL_EXPORTER_OTLP_ENDPOINT; in a container, this address is "
        "the container itself",
    )


def test_name_without_address_is_told() -> None:
    """Before anything is sent."""
    [found] = look(f"http://collector.invalid:4318{PATH}")
    assert (found.name, found.state) == ("otlp, DNS", "mend")
    assert found.text.startswith("collector.invalid has no address here (")
    how = "check OTEL_EXPORTER_OTLP_ENDPOINT, and the DNS of this machine or container"
    assert found.mend == how


def proxied(monkeypatch: pytest.MonkeyPatch, proxy: str) -> list[Finding]:
    """What is found of an endpoint that is to be asked by a proxy."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    return look(f"http://collector.example:4318{PATH}")


def test_proxy_that_passes_on_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It resolves the name, which need not be known here."""
    taken = always(Reply(200, b"", {"Content-Type": "application/x-protobuf"}))
    with serving(taken) as url:
        found = proxied(monkeypatch, url)[-1]
    text = f"http://collector.example:4318{PATH} takes OTLP by way of the proxy"
    assert found == Finding("otlp, endpoint", "ok", text)


def test_proxy_that_wants_a_password_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the one that it was given is not."""
    with serving(always(Reply(407, b"who are you?"))) as url:
        found = proxied(monkeypatch, url.replace("//", "//user:proxy-pass-12@"))[-1]
    assert (found.name, found.state) == ("otlp, proxy", "mend")
    assert found.text.endswith(f"through the proxy {url}: 407: who are you?")
    assert found.mend == "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY"
    assert "proxy-pass-12" not in found.line


PAGE = Reply(403, b"<html>ERR_ACCESS_DENIED", {"Content-Type": "text/html"})
JSON = {"Content-Type": "application/json"}


def test_proxy_that_does_not_let_pass_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its page is no word of the endpoint, whose headers are not in doubt."""
    with serving(always(PAGE)) as url:
        found = proxied(monkeypatch, url)[-1]
    assert found == Finding(
        "otlp, proxy",
        "mend",
        f"http://collector.example:4318{PATH} cannot be reached through the proxy {url}: "
        "403: <html>ERR_ACCESS_DENIED",
        "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY",
    )


@pytest.mark.parametrize("status", [403, 407])
def test_proxy_that_opens_no_tunnel_is_told(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """On the way to https nothing but the proxy has answered yet."""
    with serving(always(Reply(status, b"not there"))) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        [found] = look(f"https://collector.example:4318{PATH}")
    assert (found.name, found.state) == ("otlp, proxy", "mend")
    assert f"through the proxy {url}: Tunnel connection failed: {status}" in found.text
    assert found.mend == "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY"


def test_proxy_that_nobody_set_is_told() -> None:
    """One that stands on the way unasked, and wants a password."""
    with serving(always(Reply(407, b"who are you?"))) as url:
        found = look(url + PATH)[-1]
    assert found == Finding(
        "otlp, proxy",
        "mend",
        f"{url}{PATH} cannot be reached: 407: who are you?",
        "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY",
    )


@pytest.mark.parametrize("reply", [Reply(401, b"no token"), Reply(403, b"{}", JSON)])
def test_endpoint_that_refuses_behind_a_proxy_is_told(
    monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    """A proxy says neither."""
    with serving(always(reply)) as url:
        found = proxied(monkeypatch, url)[-1]
    assert found.name == "otlp, endpoint"
    assert found.mend == "check OTEL_EXPORTER_OTLP_HEADERS, or headers="


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "http://proxy.invalid:3128"])
def test_proxy_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """By its address or by its name."""
    [found] = proxied(monkeypatch, proxy)
    assert (found.name, found.state) == ("otlp, proxy", "mend")
    assert found.mend.startswith("check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY")


def test_place_names_what_is_asked() -> None:
    """Host and port, without what else is in a URL."""
    place = Place(Backend("x", "", url="https://u:p@h.example:99/v1?q=1"), "X")
    assert (place.host, place.named("TLS")) == ("h.example", "x, TLS")
