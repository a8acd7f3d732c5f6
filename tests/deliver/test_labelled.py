"""What a call is labelled with is its own agent's, whoever delivers its spans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.deliver.keepers import MakeKeeper, drainer_pid
from tests.fakes import (
    RecordingServer,
    Reply,
    append,
    make_span,
    otlp_backend,
    until,
    write_segment,
)
from tracing.config.backends import Backend, labels_of
from tracing.config.langfuse import DIALECT
from tracing.deliver.drainer import Drainer
from tracing.deliver.status import read_backends
from tracing.span import Span
from tracing.spool.losses import Ledger
from tracing.spool.records import start_frame
from tracing.spool.segments import SegmentWriter

SHOWN = {
    "langfuse.trace.name": "trace_name",
    "langfuse.trace.tags": "tags",
    "langfuse.environment": "environment",
    "langfuse.release": "release",
    "langfuse.version": "version",
}
ONES = {
    "trace_name": "first",
    "tags": ["one"],
    "environment": "staging",
    "release": "1",
    "version": "a",
    "cost": {"nova": {"seconds": 1.0}},
}
OTHERS = {
    "trace_name": "second",
    "tags": ["two"],
    "environment": "production",
    "release": "2",
    "version": "b",
    "cost": {"nova": {"seconds": 2.0}},
}


def backend(url: str, labels: dict[str, Any]) -> Backend:
    """A collector that forwards to Langfuse."""
    return otlp_backend(url, dialect=DIALECT, dialect_options=labels)


def record(spool: Path, labels: dict[str, Any], *spans: Span) -> None:
    """What an agent with these labels wrote before it died; open spans are left open."""
    writer = SegmentWriter(spool, resource={}, labels=labels, ledger=Ledger(spool))
    writer.open()
    append(writer, *[span for span in spans if not span.is_open])
    for span in spans:
        if span.is_open:
            writer.append(start_frame(span))
    writer.close()
    assert writer.segment_path is None


def labels_by_span(spans: list[Span]) -> dict[str, dict[str, Any]]:
    """What each span says of itself, by its number."""
    return {
        str(span.attributes["number"]): {
            name: span.attributes[key] for key, name in SHOWN.items() if key in span.attributes
        }
        for span in spans
    }


def without_cost(labels: dict[str, Any]) -> dict[str, Any]:
    """The labels that every span shows."""
    return {name: value for name, value in labels.items() if name != "cost"}


def test_labels_of_two_agents_in_one_spool_stay_theirs(spool: Path) -> None:
    """Also of spans that their agent left open, in whatever order the batch has them."""
    with RecordingServer() as server:
        one, other = backend(server.url, ONES), backend(server.url, OTHERS)
        left_open = make_span(2)._replace(end_time_unix_nano=0)
        record(spool, labels_of([one]), make_span(1), left_open)
        record(spool, labels_of([other]), make_span(3))
        record(spool, labels_of([one]), make_span(4))
        Drainer(spool, [other]).run()
        found = labels_by_span(server.accepted)
    ones, others = without_cost(ONES), without_cost(OTHERS)
    assert found == {"1": ones, "2": ones, "3": others, "4": ones}


def test_prices_are_those_of_the_agent_that_recorded(spool: Path) -> None:
    """A second is what it cost there."""
    heard = {
        "gen_ai.request.model": "nova",
        "lk.tts_metrics": '{"audio_duration": 10.0, "metadata": {"model_name": "nova"}}',
    }
    with RecordingServer() as server:
        one, other = backend(server.url, ONES), backend(server.url, OTHERS)
        for number, labels in enumerate((one, other), start=1):
            record(spool, labels_of([labels]), make_span(number, "tts_request", attributes=heard))
        Drainer(spool, [other]).run()
        cost = "langfuse.observation.cost_details"
        assert {span.span_id[-1]: span.attributes[cost] for span in server.accepted} == {
            1: '{"milliseconds":10.0,"total":10.0}',
            2: '{"milliseconds":20.0,"total":20.0}',
        }


def test_segment_of_an_older_version_gets_the_labels_of_who_delivers(spool: Path) -> None:
    """It says nothing of its own; until now they all did."""
    write_segment(spool, make_span(1))
    with RecordingServer() as server:
        Drainer(spool, [backend(server.url, ONES)]).run()
        assert labels_by_span(server.accepted) == {"1": without_cost(ONES)}


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        (None, {"agent_turn", "llm_node", "llm call"}),
        ({}, {"agent_turn", "llm_node", "llm call"}),
        ({"detail": "full"}, {"agent_turn", "llm_node", "llm call"}),
        ({"detail": "call"}, {"agent_turn", "llm call"}),
    ],
    ids=["before labels", "before detail", "full", "call"],
)
def test_spans_of_a_version_that_knew_no_detail_are_all_sent(
    spool: Path, said: dict[str, Any] | None, sent: set[str]
) -> None:
    """They do not say what is shown above them, so they would be orphans."""
    turn = make_span(1, "agent_turn")
    node = make_span(2, "llm_node")._replace(parent_span_id=turn.span_id)
    asked = make_span(3, "llm_request")._replace(parent_span_id=node.span_id)
    with RecordingServer() as server:
        if said is None:
            write_segment(spool, turn, node, asked)
        else:
            record(spool, labels_of([backend(server.url, said)]), turn, node, asked)
        Drainer(spool, [backend(server.url, {"detail": "call"})]).run()
        assert {span.name.replace(" turn", "_turn") for span in server.accepted} == sent


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"otlp": {"dialect": "", "options": {}}},
        {"otlp": {"dialect": "tracing.other:Dialect", "options": ONES}},
        {"otlp": {"dialect": DIALECT, "options": {"of a newer version": 1}}},
        {"otlp": {"dialect": DIALECT, "options": ["no mapping"]}},
        {"otlp": "no mapping"},
    ],
)
def test_nobody_else_s_labels_take_the_place_of_those_that_do_not_fit(
    spool: Path, labels: dict[str, Any]
) -> None:
    """No label is better than a wrong one; the spans are delivered."""
    record(spool, labels, make_span(1))
    with RecordingServer() as server:
        Drainer(spool, [backend(server.url, ONES)]).run()
        assert labels_by_span(server.accepted) == {"1": {}}


def test_backend_without_a_dialect_gets_spans_as_they_are(spool: Path) -> None:
    """Labels of another dialect are no attributes."""
    with RecordingServer() as server:
        record(spool, labels_of([backend(server.url, ONES)]), make_span(1, resource={}))
        Drainer(spool, [otlp_backend(server.url)]).run()
        assert server.accepted == [make_span(1, resource={})]


def test_agents_that_differ_in_a_label_leave_each_others_drainers_alone(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """A backend that refuses is refused by no label: only its address and key are compared."""
    with RecordingServer() as server:
        server.reply = Reply(401)
        append(writer, make_span(1))
        one = make_keeper(backend(server.url, ONES), start=False)
        other = make_keeper(backend(server.url, OTHERS), start=False)
        one._tend()
        until(lambda: [said["state"] for said in read_backends(spool)] == ["paused"])
        drainer = drainer_pid(spool)
        for _ in range(20):
            one._tend()
            other._tend()
        until(lambda: len(server.requests) > 2)
        assert drainer_pid(spool) == drainer != 0
