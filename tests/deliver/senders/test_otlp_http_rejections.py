"""Batches that a backend does not take as they are, and what becomes of each span."""

from __future__ import annotations

import pytest

from tests.deliver.delivering import names_of, spans_of
from tests.deliver.senders.sending import failure, sender_to
from tests.fakes import OK, RecordingServer, Reply, make_span, partial_success
from tracing.span import Span
from tracing.spool.truncate import MARK


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
