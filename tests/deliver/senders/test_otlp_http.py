"""One batch to one backend: every class of answer, and how it is asked."""

from __future__ import annotations

import email.utils
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from tests.deliver.delivering import spans_of
from tests.deliver.senders.sending import failure, sender_to
from tests.fakes import RecordingServer, RecordingTally, Reply, make_span, otlp_backend
from tracing.config.backends import Backend
from tracing.deliver.senders.otlp_http import OtlpHttpSender, retry_after_seconds


def test_request_carries_every_span_once_as_gzipped_protobuf() -> None:
    """Path, headers, encoding and spans are what an OTLP/HTTP receiver expects."""
    with RecordingServer() as server:
        sender, tally = sender_to(server, headers={"Authorization": "Basic abc", "X-Own": "yes"})
        sender.deliver(spans_of(3))
        [request] = server.requests
        assert (request.path, list(request.spans)) == ("/v1/traces", spans_of(3))
        given = ("content-type", "content-encoding", "authorization", "x-own")
        assert [request.headers[name] for name in given] == [
            "application/x-protobuf",
            "gzip",
            "Basic abc",
            "yes",
        ]
        assert tally.booked == []


def test_compression_can_be_left_out() -> None:
    """The body goes as it is where the backend's settings say so."""
    with RecordingServer() as server:
        sender, _ = sender_to(server, compression="none")
        sender.deliver(spans_of(2))
        [request] = server.requests
        assert "content-encoding" not in request.headers
        assert list(request.spans) == spans_of(2)


def test_batches_share_one_connection() -> None:
    """A connection is kept alive."""
    with RecordingServer() as server:
        sender, _ = sender_to(server)
        for number in range(5):
            sender.deliver([make_span(number)])
        assert (len(server.requests), server.connections) == (5, 1)


def test_nothing_to_send_sends_nothing() -> None:
    """A batch whose spans were all sent before asks nobody."""
    with RecordingServer() as server:
        sender_to(server)[0].deliver([])
        assert server.requests == []


@pytest.mark.parametrize("body", [b"", b"{}"])
@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_complete_success_is_a_yes(status: int, body: bytes) -> None:
    """Any 2xx of a server that takes spans; test_otlp_answer.py says what it may carry."""
    with RecordingServer(Reply(status, b"" if status == 204 else body)) as server:
        sender, tally = sender_to(server)
        sender.deliver(spans_of(2))
        assert (len(server.requests), tally.booked) == (1, [])


PAGE = Reply(200, b"<html>please\nsign in</html>", {"Content-Type": "text/html; charset=utf-8"})


def test_page_is_no_yes() -> None:
    """A sign-in, a captive portal, a wrong path: told with its words, and the spans wait."""
    with RecordingServer(PAGE) as server:
        sender, tally = sender_to(server)
        error = failure(sender, spans_of(2))
        told = f"POST {server.url}/v1/traces answered 200, no OTLP answer but text/html: "
        assert (str(error), error.refused) == (f"{told}<html>please sign in</html>", True)
        sender.deliver(spans_of(2))
        assert (server.accepted[2:], tally.booked) == (spans_of(2), [])


def test_partial_success_in_json_is_booked() -> None:
    """As in protobuf: the server's number and words."""
    body = b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "quota is used up"}}'
    with RecordingServer(Reply(200, body, {"Content-Type": "application/json"})) as server:
        sender, tally = sender_to(server)
        sender.deliver(spans_of(5))
        assert tally.booked == [("partially rejected", 2, "quota is used up")]


@pytest.mark.parametrize("status", [408, 429, 500, 501, 502, 503, 504, 599])
def test_temporary_answers_are_tried_again_later(status: int) -> None:
    """The whole batch waits, and goes once the backend takes it."""
    with RecordingServer(Reply(status, b"try\nlater  please")) as server:
        sender, tally = sender_to(server)
        error = failure(sender, spans_of(3))
        told = f"POST {server.url}/v1/traces answered {status}: try later please"
        assert (str(error), error.refused, error.retry_after_seconds) == (told, False, None)
        sender.deliver(spans_of(3))
        assert (server.accepted, tally.booked) == (spans_of(3), [])


@pytest.mark.parametrize("status", [401, 403, 404, 405, 415, 300, 304])
def test_refusals_wait_for_a_mend(status: int) -> None:
    """Trying again helps nobody until somebody changes something; nothing is lost meanwhile."""
    with RecordingServer(Reply(status, b"" if status == 304 else b"no")) as server:
        sender, tally = sender_to(server)
        error = failure(sender, spans_of(3))
        words = "(no words)" if status == 304 else "no"
        told = f"POST {server.url}/v1/traces answered {status}: {words}"
        assert (str(error), error.refused) == (told, True)
        sender.deliver(spans_of(3))
        assert (server.accepted, tally.booked) == (spans_of(3), [])


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_told_and_not_followed(status: int) -> None:
    """A key is never carried to another address, and a login page is no yes."""
    with RecordingServer() as elsewhere:
        redirect = Reply(status, b"moved", {"Location": f"{elsewhere.url}/login"})
        with RecordingServer(redirect) as server:
            sender, tally = sender_to(server)
            error = failure(sender, spans_of(2))
            told = f"POST {server.url}/v1/traces answered {status}: "
            told += f"redirected to {elsewhere.url}/login"
            assert (str(error), error.refused, tally.booked) == (told, True, [])
        assert elsewhere.requests == []


def test_servers_words_are_one_line_of_bounded_length() -> None:
    """An error page does not fill the log."""
    with RecordingServer(Reply(503, b"<html>\n" + b"word " * 1000)) as server:
        error = failure(sender_to(server)[0], spans_of(1))
        words = ("<html> " + "word " * 1000)[:300]
        assert str(error) == f"POST {server.url}/v1/traces answered 503: {words}"


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("0", 0.0),
        ("1.5", 1.5),
        (" 30 ", 30.0),
        ("86400", 300.0),
        ("inf", 300.0),
        ("-5", 0.0),
        (email.utils.formatdate(NOW + 20, usegmt=True), 20.0),
        (email.utils.formatdate(NOW - 20, usegmt=True), 0.0),
        (email.utils.formatdate(NOW + 9999, usegmt=True), 300.0),
        ("soon", None),
        ("", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 300.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """Both forms of the header, within bounds; what is neither says nothing."""
    assert retry_after_seconds({"Retry-After": value}, NOW) == seconds


def test_no_retry_after_says_nothing() -> None:
    """The backoff is ours then."""
    assert retry_after_seconds({}, NOW) is None


def test_retry_after_of_an_answer_is_passed_on() -> None:
    """429 with seconds, 503 with a date."""
    date = email.utils.formatdate(time.time() + 60, usegmt=True)
    replies = Reply(429, b"", {"Retry-After": "7"}), Reply(503, b"", {"retry-after": date})
    with RecordingServer(*replies) as server:
        sender, _ = sender_to(server)
        assert failure(sender, spans_of(1)).retry_after_seconds == 7.0
        waits = failure(sender, spans_of(1)).retry_after_seconds
        assert waits is not None
        assert 50 < waits <= 60


def test_backend_that_is_down_is_tried_again_later() -> None:
    """A refused connection costs nothing but time."""
    with RecordingServer(listening=False) as server:
        sender, tally = sender_to(server)
        error = failure(sender, spans_of(3))
        assert error.refused is False
        assert str(error).startswith(f"{server.url}/v1/traces cannot be reached: ")
        assert "onnection refused" in str(error)
        assert "0x" not in str(error)
        server.listen()
        sender.deliver(spans_of(3))
        assert (server.accepted, tally.booked) == (spans_of(3), [])


def test_name_that_no_resolver_knows_is_tried_again_later() -> None:
    """A network that is away looks like this."""
    sender = OtlpHttpSender(otlp_backend("http://host.invalid:4318"), RecordingTally())
    assert "http://host.invalid:4318/v1/traces cannot be reached: " in str(
        failure(sender, spans_of(1))
    )


@pytest.mark.parametrize(
    "reply", [Reply(body=b"half", cut_off=True), Reply(500, cut_off=True), Reply(hang=True)]
)
def test_answer_that_does_not_arrive_whole_is_no_yes(reply: Reply) -> None:
    """Cut off or never begun: the batch is sent again."""
    with RecordingServer(reply) as server:
        sender, tally = sender_to(server, timeout_seconds=0.3)
        began = time.monotonic()
        error = failure(sender, spans_of(2))
        assert time.monotonic() - began < 5
        assert error.refused is False
        assert str(error).startswith(f"{server.url}/v1/traces cannot be reached: ")
        sender.deliver(spans_of(2))
        assert (server.accepted, tally.booked) == (spans_of(2), [])


def test_request_goes_through_the_proxy() -> None:
    """A proxy is asked for the whole URL."""
    with RecordingServer() as proxy:
        backend = otlp_backend("http://collector.invalid:4318", proxy=proxy.url)
        OtlpHttpSender(backend, RecordingTally()).deliver(spans_of(1))
        [request] = proxy.requests
        assert request.path == "http://collector.invalid:4318/v1/traces"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a certificate for 127.0.0.1 that is its own authority, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    directory = tmp_path_factory.mktemp("certificates")
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    kind = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([openssl, *kind, *subject, *files], check=True, capture_output=True)
    return directory


def test_certificates_of_ones_own_are_used(certificates: Path) -> None:
    """An own authority is trusted, and a client certificate is shown, where they are given."""
    cert, key = str(certificates / "cert.pem"), str(certificates / "key.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=cert)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(cert, key)
    with RecordingServer(tls=context) as server:
        given = {"certificate": cert, "client_certificate": cert, "client_key": key}
        sender_to(server, **given)[0].deliver(spans_of(2))
        assert server.accepted == spans_of(2)


def test_foreign_certificate_is_not_trusted(certificates: Path) -> None:
    """Keys are not shown to whom the system's authorities do not know."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    with RecordingServer(tls=context) as server:
        error = failure(sender_to(server)[0], spans_of(1))
        assert "CERTIFICATE_VERIFY_FAILED" in str(error)
        assert server.requests == []


def test_certificate_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """The file may vanish after set-up."""
    backend = Backend(
        "otlp", "otlp_http", "https://127.0.0.1:1/v1/traces", certificate=str(tmp_path / "gone")
    )
    with pytest.raises(OSError, match="No such file"):
        OtlpHttpSender(backend, RecordingTally())
