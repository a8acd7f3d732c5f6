"""What stays where content is withheld, name by name; and that it is no list of what goes."""

from __future__ import annotations

import json
import random
import string
from typing import Any

import pytest
from livekit.agents.telemetry import pii, trace_types

from tests.dialects.recorded import RECORDINGS
from tests.fakes import make_span
from tests.privacy.marked import OTHERS
from tracing.harmless.filter import WITHHELD, Harmless, without_known_content
from tracing.otlp_json import read_spans
from tracing.span import Event, Link

SAID = "the secret text"

TECHNICAL = [
    *("lk.job_id", "lk.room_sid", "lk.function_tool.name", "lk.speech_id", "lk.llm_metrics"),
    *("gen_ai.request.model", "gen_ai.tool.name", "gen_ai.agent.name", "error.type"),
    *("exception.type", "http.request.method", "http.route", "server.address", "db.system"),
    *("openinference.span.kind", "langfuse.observation.type", "traceloop.span.kind"),
    *("turn.kind", "turn.stt.model_name", "call.options.llm_model"),
    *("shown.parent_span_id", "root.summary.close_reason", "root.summary.options.changed"),
    *("service.name", "host.name", "k8s.pod.name"),
]
CONTENT = [
    *(key for keys in OTHERS.values() for key in keys),
    *("lk.pii.room_name", "lk.room_name", "lk.pii.participant_identity", "lk.user_input"),
    *("lk.chat_ctx", "lk.sip.trunkPhoneNumber", "lk.sip.h.X-Caller", "lk.rpc.caller_identity"),
    *("lk.shutdown.reason", "lk.blocking.task", "lk.amd.reason", "exception.stacktrace"),
    *("turn.user_text", "turn.agent_text", "conversation.messages", "call.outcome_reason"),
    *("recording.path", "process.command_args", "gen_ai.prompt.variable.name", "piiless.key"),
]


@pytest.mark.parametrize("key", TECHNICAL)
def test_texts_known_to_be_technical_stay(key: str) -> None:
    """They come from code, from catalogues, or are ids."""
    assert Harmless().attributes({key: "x"}) == {key: "x"}
    assert Harmless().attributes({key: ["x", "y"]}) == {key: ["x", "y"]}


@pytest.mark.parametrize("key", CONTENT)
def test_other_texts_go_and_numbers_stay(key: str) -> None:
    """Under the very same name: also in lists, in maps, and as bytes."""
    for text in (SAID, SAID.encode(), [SAID], [1, SAID], {"k": SAID}, [[SAID]], {"k": 1}):
        assert Harmless().attributes({key: text}) == {}
    for number in (1, 0.5, True, [1, 2], [True], [[0.5]], []):
        assert Harmless().attributes({key: number}) == {key: number}


def test_texts_under_names_of_no_list_never_pass() -> None:
    """Whatever the name: it has to be known, and is not unknown by luck."""
    chance = random.Random(7)
    letters = string.ascii_lowercase + "._"
    for _ in range(2_000):
        key = "".join(chance.choices(letters, k=chance.randint(1, 30)))
        assert Harmless().attributes({f"x{key}": SAID}) == {}


def test_the_application_vouches_for_names() -> None:
    """For attributes and events, by their whole name."""
    span = make_span(1, attributes={"order.id": "7", "order.note": SAID})
    span = span._replace(events=(Event("picked", 1, {"order.id": "7", "who": SAID}),))
    kept = Harmless(["order.id", "picked"]).span(span)
    assert kept.attributes == {"order.id": "7"}
    assert kept.events == (Event("picked", 1, {"order.id": "7"}),)
    assert [key in Harmless(["order.id"]) for key in ("order.id", "order.note")] == [True, False]


_JUDGED = {"name": "a", "verdict": "fail"}
_RAN = {"name": "book", "duration_seconds": 0.5, "is_error": False}


@pytest.mark.parametrize(
    ("key", "value", "left"),
    [
        ("exception.message", SAID, WITHHELD),
        ("call.tags", ["lk.fail", "mood:bad", "lk.judge.a:pass"], ["lk.fail", "lk.judge.a:pass"]),
        ("call.tags", SAID, None),
        ("call.evaluations", json.dumps([{**_JUDGED, "reasoning": SAID}]), json.dumps([_JUDGED])),
        ("call.evaluations", SAID, None),
        ("turn.tools", json.dumps([_RAN]), json.dumps([_RAN])),
        ("turn.tools", json.dumps([{"name": SAID}]), json.dumps([{"name": WITHHELD}])),
        ("turn.refused_tools", [SAID], None),
        ("call.evaluations", '["x"]', None),
        ("turn.error", "stt_error", "stt_error"),
        ("turn.error", SAID, WITHHELD),
    ],
)
def test_of_some_texts_a_part_stays(key: str, value: Any, left: Any) -> None:
    """A verdict without its reason, LiveKit's tags, that there was an error."""
    assert Harmless().attributes({key: value}) == ({} if left is None else {key: left})


@pytest.mark.parametrize(
    ("name", "attributes", "left"),
    [
        ("agent_turn", {}, "agent_turn"),
        ("my own step", {"note": SAID}, "my own step"),
        (f"GET /callers/{SAID}", {"http.request.method": "GET"}, "GET"),
        (f"GET /callers/{SAID}", {"http.method": "GET", "http.route": "/c/{id}"}, "GET /c/{id}"),
        (f"fetch {SAID}", {"url.full": SAID}, "url"),
        ("fetch_menu", {"url.full": SAID}, "fetch_menu"),
        (f"SELECT '{SAID}'", {"db.statement": SAID}, "db"),
        (f"SELECT '{SAID}'", {"db.operation.name": "SELECT"}, "SELECT"),
        (f"publish to {SAID}", {"messaging.system": "kafka"}, "messaging"),
        (f"https://a.example/{SAID}", {}, WITHHELD),
    ],
)
def test_a_span_keeps_its_name_unless_it_holds_an_address_or_a_statement(
    name: str, attributes: dict[str, Any], left: str
) -> None:
    """Then what code made of it: the method, the route's template, the operation."""
    assert Harmless().span(make_span(1, name, attributes=attributes)).name == left


def test_a_span_keeps_its_shape() -> None:
    """Ids, times, kind, status, scope, and the numbers of events and links."""
    span = make_span(
        1,
        "a step",
        attributes={"note": SAID, "n": 1},
        events=(Event("exception", 1, {"exception.type": "E", "exception.message": SAID}),),
        links=(Link(b"t" * 16, b"s" * 8, {"because": SAID, "n": 2}),),
        status_code=2,
        status_message=SAID,
        trace_state=f"vendor={SAID}",
        resource={"service.name": "test", "caller": SAID},
    )
    span = span._replace(events=(*span.events, Event(SAID, 2, {"n": 3, "text": SAID})))
    exception = {"exception.type": "E", "exception.message": WITHHELD}
    assert Harmless().span(span) == span._replace(
        attributes={"n": 1},
        events=(Event("exception", 1, exception), Event(WITHHELD, 2, {"n": 3})),
        links=(Link(b"t" * 16, b"s" * 8, {"n": 2}),),
        status_message=WITHHELD,
        trace_state="",
        resource={"service.name": "test"},
    )


def test_everything_that_livekit_withholds_is_withheld() -> None:
    """Every attribute that LiveKit knows, by its own filter, and our list for start records."""
    known = {v for k, v in vars(trace_types).items() if k.startswith("ATTR_")}
    withheld = {name for name in known if pii.is_pii_attribute(name)}
    assert len(withheld) > 20
    assert [name for name in withheld if name in Harmless()] == []
    told = dict.fromkeys(withheld, SAID)
    rest = {"gen_ai.retrieval.query.text", "gen_ai.retrieval.documents"}
    rest |= {"gen_ai.memory.query.text", "gen_ai.memory.records", "gen_ai.prompt.variable"}
    assert set(without_known_content(told)) <= rest


@pytest.mark.parametrize("version", ["1.5.17", "1.6.10", "1.7.1", "1.8.9"])
def test_no_recording_of_any_version_says_anything(version: str) -> None:
    """What was said in a recorded call is in no byte of what stays."""
    for path in sorted((RECORDINGS / version).glob("*.json")):
        kept = repr([Harmless().span(span) for span in read_spans(path)])
        for words in ("Oslo", "Sunny", "restaurant.", "book it", "my bill", "front-desk"):
            assert words not in kept, path.name
