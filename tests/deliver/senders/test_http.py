"""One request has one deadline, wherever its time goes; what is packed does not fill the memory."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.fakes import otlp_backend, run_python
from tracing.deliver.senders.http import Answer, HttpClient
from tracing.deliver.senders.sender import Unavailable

LIMIT_SECONDS = 0.4
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
PAGE = b"HTTP/1.1 403 No\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
Talk = Callable[[socket.socket, threading.Event], None]


def dripping(beginning: bytes, drop: bytes) -> Talk:
    """Say the beginning at once, and then for ever a little more."""

    def talk(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(beginning)
        while not closing.wait(0.05):
            connection.sendall(drop)

    return talk


def saying(answer: bytes) -> Talk:
    """Answer a request so, whatever it is."""
    return lambda connection, closing: connection.sendall(answer)


def deaf(connection: socket.socket, closing: threading.Event) -> None:
    """Take the request a byte at a time."""
    while not closing.wait(0.05):
        connection.recv(1)


def read_request(connection: socket.socket) -> bytes:
    """Take a request up to its last byte, or whatever a client says that speaks no HTTP."""
    taken = b""
    while more := connection.recv(65_536):
        taken += more
        end = b"\r\n\r\nx" if taken.startswith(b"POST") else b"\r\n\r\n"
        if taken.endswith(end) or taken.startswith(b"\x16"):
            break
    return taken


@contextlib.contextmanager
def listening(*talks: Talk, reads: bool = True, heard: list[bytes] | None = None) -> Iterator[str]:
    """A server that treats one connection after the other so, and gives its URL."""
    heard = [] if heard is None else heard
    closing = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for talk in talks:
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    if reads:
                        heard.append(read_request(connection))
                    talk(connection, closing)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        closing.set()
        thread.join(5)
        assert not thread.is_alive()


def answer_of(url: str, body: bytes = b"x", **options: object) -> Answer:
    """What a POST there is answered."""
    client = HttpClient(otlp_backend(url, timeout_seconds=LIMIT_SECONDS, **options))
    return client.request("POST", f"{url}/v1/traces", body, {})


DRIPS = {
    "status line": dripping(b"HTTP", b"/"),
    "header": dripping(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "headers": dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "continue": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x"),
    "body until the end": dripping(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x"),
    "chunks": dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "trailers": dripping(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"
    ),
    "nothing": lambda connection, closing: closing.wait() and None,
}


@pytest.mark.parametrize("where", DRIPS)
def test_answer_that_drips_is_none_once_its_time_is_over(where: str) -> None:
    """No part of it can take longer than the whole may."""
    began = time.monotonic()
    with listening(DRIPS[where]) as url:
        with pytest.raises(Unavailable) as caught:
            answer_of(url)
        assert time.monotonic() - began < 2
    told = f"{url}/v1/traces cannot be reached: no whole answer within 0.4 s"
    assert (str(caught.value), caught.value.refused) == (told, False)


def test_server_that_hardly_listens_is_left_once_the_time_is_over() -> None:
    """Sending is a part of the exchange."""
    began = time.monotonic()
    with listening(deaf, reads=False) as url:
        with pytest.raises(Unavailable, match=r"no whole answer within 0\.4 s"):
            answer_of(url, b"x" * 50_000_000)
        assert time.monotonic() - began < 2


def test_tls_that_drips_is_left_once_the_time_is_over() -> None:
    """A handshake that goes on and on."""
    began = time.monotonic()
    record = b"\x16\x03\x03\x00\xff"  # of a handshake, and longer than what follows
    with listening(dripping(record, b"\x00")) as url:
        with pytest.raises(Unavailable, match=r"no whole answer within 0\.4 s"):
            answer_of(url.replace("http:", "https:"))
        assert time.monotonic() - began < 2


def test_proxy_that_drips_is_left_once_the_time_is_over() -> None:
    """The way to a backend is a part of the exchange."""
    began = time.monotonic()
    with listening(dripping(b"HTTP/1.1 200 ", b"O")) as url:
        with pytest.raises(Unavailable, match=r"no whole answer within 0\.4 s"):
            answer_of("https://backend.invalid", proxy=url)
        assert time.monotonic() - began < 2


def test_next_request_has_its_own_time() -> None:
    """A client whose request ran out of time asks anew, and is answered."""
    with listening(DRIPS["header"], saying(OK)) as url:
        client = HttpClient(otlp_backend(url, timeout_seconds=LIMIT_SECONDS))
        with pytest.raises(Unavailable):
            client.request("POST", f"{url}/v1/traces", b"x", {})
        assert client.request("POST", f"{url}/v1/traces", b"x", {}).status == 200


def test_kept_connection_is_not_ended_by_a_time_that_is_over() -> None:
    """Requests at a slower pace than their timeout share a connection."""

    def patient(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(OK)
        read_request(connection)
        connection.sendall(OK)

    with listening(patient) as url:
        client = HttpClient(otlp_backend(url, timeout_seconds=LIMIT_SECONDS))
        for _ in range(2):
            assert client.request("POST", f"{url}/v1/traces", b"x", {}).status == 200
            time.sleep(LIMIT_SECONDS * 1.5)


def test_proxy_gets_its_password_and_the_backend_does_not() -> None:
    """Percent-encoded as in every URL; only the way to the proxy carries it."""
    asked: list[bytes] = []
    with listening(saying(OK), heard=asked) as url:
        way = url.replace("http://", "http://me:pass%3Aw%C3%B6rd@")
        assert answer_of("http://backend.invalid", proxy=way).status == 200
    [request] = asked
    wanted = base64.b64encode("me:pass:wörd".encode()).decode()
    assert request.startswith(b"POST http://backend.invalid/v1/traces HTTP/1.1\r\n")
    assert f"proxy-authorization: basic {wanted}".lower() in request.decode().lower()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("answer", "refused", "words"),
    [
        (b"HTTP/1.1 407 No\r\nContent-Length: 3\r\n\r\nwho", True, "407"),
        (b"HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\ndenied", True, "403"),
        (PAGE, True, "403"),
        (b"", False, ""),
    ],
)
def test_failure_of_a_proxy_names_it_without_its_password(
    scheme: str, answer: bytes, refused: bool, words: str
) -> None:
    """So nobody looks for it at the backend; the mend names the proxy's variables."""
    with listening(saying(answer)) as url:
        way = url.replace("http://", "http://me:very-secret@")
        with pytest.raises(Unavailable) as caught:
            answer_of(f"{scheme}://backend.invalid", proxy=way)
    told = f"{scheme}://backend.invalid/v1/traces cannot be reached through the proxy {url}: "
    assert str(caught.value).startswith(told)
    assert words in str(caught.value)[len(told) :]
    assert "very-secret" not in str(caught.value)
    assert caught.value.refused is refused
    assert caught.value.mend == "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY"


def test_proxy_that_nobody_set_is_one_all_the_same() -> None:
    """No backend asks for the password of a proxy."""
    asks = b"HTTP/1.1 407 No\r\nContent-Length: 3\r\n\r\nwho"
    with listening(saying(asks)) as url, pytest.raises(Unavailable) as caught:
        answer_of(url)
    assert str(caught.value) == f"{url}/v1/traces cannot be reached: 407: who"
    assert caught.value.refused
    assert caught.value.mend == "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "text/html"),
        (403, "application/json; charset=utf-8"),
        (403, "application/x-protobuf"),
        (403, "application/xml"),
    ],
)
def test_refusal_of_a_backend_comes_back_by_a_proxy(status: int, kind: str) -> None:
    """As it was said: its keys or its permissions are in doubt, and not the proxy."""
    said = f"HTTP/1.1 {status} No\r\nContent-Type: {kind}\r\nContent-Length: 2\r\n\r\n{{}}"
    with listening(saying(said.encode())) as url:
        answer = answer_of("http://backend.invalid", proxy=url)
    assert (answer.status, answer.body) == (status, b"{}")


def test_page_of_a_backend_without_a_proxy_is_its_own() -> None:
    """Whoever denies it there, no variable of a proxy mends it."""
    with listening(saying(PAGE)) as url:
        assert answer_of(url).status == 403


def test_backend_without_a_proxy_is_said_to_be_away_itself() -> None:
    """No mend but its own."""
    with pytest.raises(Unavailable) as caught:
        answer_of("http://127.0.0.1:9")
    assert (caught.value.mend, "proxy" in str(caught.value)) == ("", False)


PACKED = """
import json, resource, socket, sys, threading
from isal import igzip
from tests.fakes import otlp_backend
from tracing.deliver.senders.http import HttpClient
from tracing.deliver.senders.sender import Unavailable

body, encoding = bytes(2**28), sys.argv[1]
for _ in encoding.split(","):
    body = igzip.compress(body)
head = f"HTTP/1.1 200 OK\\r\\nContent-Encoding: {encoding}\\r\\nContent-Length: {len(body)}"
server = socket.create_server(("127.0.0.1", 0))

def serve():
    connection, _ = server.accept()
    connection.recv(65_536)
    try:
        connection.sendall(head.encode() + b"\\r\\n\\r\\n" + body)
    except OSError:
        pass
    connection.close()

threading.Thread(target=serve, daemon=True).start()
url = f"http://127.0.0.1:{server.getsockname()[1]}"
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    HttpClient(otlp_backend(url)).request("POST", url, b"x", {})
    said = "taken"
except Unavailable as error:
    said = str(error).rpartition(": ")[2]
print(json.dumps([said, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]))
"""


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip"])
def test_packed_answer_does_not_fill_the_memory(encoding: str) -> None:
    """256 MiB of zeros, packed once and twice: given up on, at a few MiB."""
    said, kib = json.loads(run_python(PACKED, encoding))
    assert said == "the answer does not come to its end"
    assert kib < 24 * 1024
