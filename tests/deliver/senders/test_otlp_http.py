"""One batch to one backend: every class of answer, and what becomes of each span."""

from __future__ import annotations

import email.utils
import shutil
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import (
    OK,
    RecordingServer,
    RecordingTally,
    Reply,
    make_span,
    otlp_backend,
    partial_success,
)
from tracing.config.backends import Backend
from tracing.deliver.senders.otlp_http import OtlpHttpSender, Unavailable, retry_after_seconds
from tracing.span import Span
from tracing.spool.truncate import MARK


def spans_of(count: int, **changes: Any) -> list[Span]:
    """Numbered spans."""
    return [make_span(number, **changes) for number in range(1, count + 1)]


def names_of(spans: list[Span]) -> list[str]:
    """Their names, sorted."""
    return sorted(span.name for span in spans)


def sender_to(server: RecordingServer, **options: Any) -> tuple[OtlpHttpSender, RecordingTally]:
    """A sender to the server, and what it books."""
    tally = RecordingTally()
    return OtlpHttpSender(otlp_backend(server.url, **options), tally), tally


def failure(sender: OtlpHttpSender, spans: list[Span]) -> Unavailable:
    """Why the batch could not be delivered."""
    with pytest.raises(Unavailable) as caught:
        sender.deliver(spans)
    return caught.value


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


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\x00<html>what?</html>\xff\xff"])
@pytest.mark.parametrize("status", [200, 202])
def test_any_complete_success_is_a_yes(status: int, body: bytes) -> None:
    """Whatever the body of a 2xx is, the spans are taken."""
    with RecordingServer(Reply(status, body)) as server:
        sender, tally = sender_to(server)
        sender.deliver(spans_of(2))
        assert (len(server.requests), tally.booked) == (1, [])


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


def test_batch_that_is_too_large_is_split_until_it_passes() -> None:
    """413 for more than two spans: all arrive, each once, none is changed."""
    with RecordingServer() as server:
        server.reply = lambda spans: OK if len(spans) <= 2 else Reply(413, b"too large")
        sender, tally = sender_to(server)
        sender.deliver(spans_of(9))
        assert sorted(server.accepted, key=lambda span: span.span_id) == spans_of(9)
        assert tally.booked == []


def test_span_that_is_too_large_is_cut_and_not_lost() -> None:
    """A single span over the limit loses the end of its largest text, with a mark."""
    big = make_span(2, attributes={"small": "kept", "big": "x" * 50_000, "mid": "y" * 1000})

    def limited(spans: tuple[Span, ...]) -> Reply:
        size = sum(len(str(span.attributes.get("big", ""))) for span in spans)
        return Reply(413, b"at most 10 kB") if size > 10_000 else OK

    with RecordingServer() as server:
        server.reply = limited
        sender, tally = sender_to(server)
        sender.deliver([make_span(1), big, make_span(3)])
        arrived = sorted(server.accepted, key=lambda span: span.span_id)
        text = str(arrived[1].attributes["big"])
        assert [arrived[0], arrived[2]] == [make_span(1), make_span(3)]
        assert arrived[1] == big._replace(attributes={**big.attributes, "big": text})
        assert (text[:10], text[-len(MARK) :]) == ("x" * 10, MARK)
        assert len(text) <= 10_000
        assert tally.booked == [("truncated", "span 2", "big")]


def test_span_that_cannot_be_made_small_enough_is_quarantined() -> None:
    """When nothing is left to cut, the span is kept apart with the server's words."""
    with RecordingServer() as server:
        server.reply = lambda spans: Reply(413, b"no") if "span 2" in names_of([*spans]) else OK
        sender, tally = sender_to(server)
        sender.deliver(spans_of(3))
        assert server.accepted_names() == ["span 1", "span 3"]
        assert tally.booked == [("quarantined", "span 2", "413: no")]


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("bad", [1, 5, 8])
def test_bad_span_is_found_and_quarantined_with_the_servers_words(status: int, bad: int) -> None:
    """The others arrive, each once."""
    with RecordingServer() as server:
        server.reply = lambda spans: (
            Reply(status, b"bad span id") if f"span {bad}" in names_of([*spans]) else OK
        )
        sender, tally = sender_to(server)
        sender.deliver(spans_of(8))
        assert server.accepted_names() == names_of(
            [s for s in spans_of(8) if s.name != f"span {bad}"]
        )
        assert tally.booked == [("quarantined", f"span {bad}", f"{status}: bad span id")]


def test_several_bad_spans_are_all_found() -> None:
    """One bad span does not hide another."""
    with RecordingServer() as server:
        server.reply = lambda spans: (
            Reply(400, b"odd") if any(span.span_id[-1] % 10 == 3 for span in spans) else OK
        )
        sender, tally = sender_to(server)
        sender.deliver(spans_of(40))
        assert len(server.accepted) == 36
        assert sorted(tally.booked) == [
            ("quarantined", f"span {number}", "400: odd") for number in (13, 23, 3, 33)
        ]


@pytest.mark.parametrize("count", [1, 2, 16, 100, 512])
def test_backend_that_rejects_everything_quarantines_nothing(count: int) -> None:
    """A 400 to each and all is a wrong address or a proxy, not hundreds of bad spans."""
    with RecordingServer() as server:
        server.reply = Reply(400, b"malformed")
        sender, tally = sender_to(server)
        error = failure(sender, spans_of(count))
        told = f"POST {server.url}/v1/traces answered 400: malformed"
        assert (str(error), error.refused, tally.booked) == (told, True, [])
        assert len(server.requests) <= 64
        server.reply = OK
        sender.deliver(spans_of(count))
        assert sorted(server.accepted, key=lambda span: span.span_id) == spans_of(count)


def test_backend_that_rejects_everything_from_now_on_quarantines_nothing() -> None:
    """Also where a part of the batch was accepted before."""
    with RecordingServer(Reply(413), OK, Reply(503)) as server:
        server.reply = Reply(400, b"malformed")
        sender, tally = sender_to(server)
        assert failure(sender, spans_of(8)).refused is False
        assert failure(sender, spans_of(8)).refused is True
        assert (server.accepted_names(), tally.booked) == (names_of(spans_of(4)), [])


@pytest.mark.parametrize("first", [400, 200])
def test_backend_that_rejects_every_other_request_quarantines_nothing(first: int) -> None:
    """A span is asked for twice before it is called bad."""
    turn = iter(range(10_000))
    with RecordingServer() as server:
        server.reply = lambda spans: (
            Reply(400, b"?") if (next(turn) % 2 == 0) is (first == 400) else OK
        )
        sender, tally = sender_to(server)
        for start in range(3):
            sender.deliver([make_span(start * 100 + number) for number in range(1, 33)])
        expected = [make_span(start * 100 + n) for start in range(3) for n in range(1, 33)]
        assert tally.booked == []
        assert sorted(server.accepted, key=lambda span: span.span_id) == expected


def test_what_was_accepted_is_not_sent_again() -> None:
    """A batch that failed half way goes on with the other half."""
    with RecordingServer(Reply(413), OK, Reply(503)) as server:
        sender, tally = sender_to(server)
        assert failure(sender, spans_of(8)).refused is False
        sender.deliver(spans_of(10))
        assert sorted(server.accepted, key=lambda span: span.span_id) == spans_of(10)
        assert tally.booked == []


def test_later_version_of_an_accepted_span_is_sent() -> None:
    """Once a batch is through, the same span may come again, and say more."""
    with RecordingServer() as server:
        sender, _ = sender_to(server)
        later = make_span(1, attributes={"more": True})
        sender.deliver([make_span(1)])
        sender.deliver([later])
        assert server.accepted == [make_span(1), later]


def test_partial_success_is_booked_with_the_servers_words() -> None:
    """The protocol forbids to send again what a server did not take, so it is counted."""
    with RecordingServer(partial_success(2, "quota is used up")) as server:
        sender, tally = sender_to(server)
        sender.deliver(spans_of(5))
        assert tally.booked == [("partially rejected", 2, "quota is used up")]
        assert len(server.requests) == 1


def test_warning_of_a_server_is_booked() -> None:
    """A message without a rejected span is a warning."""
    with RecordingServer(partial_success(0, "this endpoint goes away")) as server:
        sender, tally = sender_to(server)
        sender.deliver(spans_of(1))
        assert tally.booked == [("partially rejected", 0, "this endpoint goes away")]


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
