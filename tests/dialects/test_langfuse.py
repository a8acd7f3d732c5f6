"""The dialect span by span: identity, limits, levels, and what stays untouched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tracing.dialects.langfuse import LangfuseDialect, valid_environment
from tracing.span import STATUS_ERROR, Span

from . import langfuse_rules as langfuse
from .spans import START, event, livekit_span


def translate(span: Span, **options: Any) -> Span:
    translated = LangfuseDialect(**{"detail": "full", **options})(span)
    assert translated is not None
    return translated


def show(name: str, attributes: dict[str, Any] | None = None, **fields: Any) -> langfuse.Shown:
    return langfuse.observation(translate(livekit_span(name, attributes, **fields)))


# Identity


def test_identity_is_on_every_span() -> None:
    """Nothing is inherited from the root, so every span says it."""
    options = {
        "trace_name": "front desk",
        "tags": ["voice", "demo", ""],
        "environment": "Staging (EU)",
        "release": "v1.2",
        "version": "7",
    }
    attributes = {"session.id": "call-1", "user.id": "alice"}
    expected = {
        "langfuse.session.id": "call-1",
        "langfuse.user.id": "alice",
        "langfuse.trace.name": "front desk",
        "langfuse.trace.tags": ["voice", "demo"],
        "langfuse.environment": "staging--eu-",
        "langfuse.release": "v1.2",
        "langfuse.version": "7",
    }
    for name in ("agent_turn", "eou_wait", "llm_request"):
        found = translate(livekit_span(name, attributes), **options).attributes
        assert {key: found[key] for key in expected} == expected
    foreign = livekit_span("GET /menu", attributes, scope_name="httpx")
    assert expected.items() <= translate(foreign, **options).attributes.items()


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"lk.agent_name": "front-desk"}, "front-desk"),
        ({"lk.agent_name": "", "agent.label": "agents.FrontDesk"}, "FrontDesk"),
        ({"agent.label": "restaurant"}, "restaurant"),
        ({"lk.agent_label": "agents.Second"}, None),
        ({}, None),
    ],
)
def test_trace_is_named_for_the_agent(attributes: dict[str, Any], name: str | None) -> None:
    """By the name it was dispatched under, else by its first agent's label, on every span."""
    span = translate(livekit_span("agent_turn", attributes))
    assert span.attributes.get("langfuse.trace.name") == name


def test_limits_are_kept() -> None:
    """200 characters, beyond which Langfuse drops the value."""
    span = livekit_span("eou_wait", {"session.id": "s" * 300, "user.id": "u" * 300})
    found = translate(span, trace_name="n" * 300, tags=["t" * 300], release="r" * 300).attributes
    assert [len(str(found[f"langfuse.{key}"])) for key in ("session.id", "user.id")] == [200] * 2
    assert [len(str(found[f"langfuse.{key}"])) for key in ("trace.name", "release")] == [200] * 2
    assert found["langfuse.trace.tags"] == ["t" * 200]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("production", "production"),
        ("Prod EU/West", "prod-eu-west"),
        ("langfuse-staging", "staging"),
        ("x" * 50, "x" * 40),
        ("", ""),
        ("langfuse", ""),
    ],
)
def test_environment_is_one_that_langfuse_takes(given: str, expected: str) -> None:
    """What we send is what is shown, never a silent "default"."""
    assert valid_environment(given) == expected
    span = translate(livekit_span("x"), environment=given)
    assert langfuse.environment(span) == (expected or "default")


def test_environment_of_the_resource_is_made_valid() -> None:
    """`OTEL_RESOURCE_ATTRIBUTES` may hold what Langfuse would not take."""
    span = livekit_span("x", resource={"deployment.environment.name": "Prod EU"})
    assert langfuse.environment(translate(span)) == "prod-eu"
    assert langfuse.environment(translate(span, environment="mine")) == "mine"


def test_what_somebody_set_for_langfuse_wins() -> None:
    """Such as a prompt's name set in `llm_node`, or an input set by hand."""
    attributes = {
        "langfuse.observation.prompt.name": "front-desk",
        "langfuse.observation.prompt.version": 3,
        "langfuse.observation.input": "mine",
        "langfuse.session.id": "mine too",
        "session.id": "ours",
    }
    found = translate(livekit_span("llm_request", attributes)).attributes
    assert attributes.items() <= {**found, "session.id": "ours"}.items()


def test_foreign_spans_keep_everything() -> None:
    """What is not LiveKit's is shown as its maker meant it."""
    span = livekit_span(
        "chat gpt-4o", {"gen_ai.request.model": "gpt-4o"}, scope_name="my.app", events=(event("e"),)
    )
    assert translate(span) == span
    root = span._replace(
        parent_span_id=b"",
        attributes={"conversation.messages": '[{"role":"user","content":"hi"}]'},
    )
    assert translate(root).attributes["langfuse.observation.input"] == (
        '[{"role":"user","content":"hi"}]'
    )


@pytest.mark.parametrize("name", ["agent_turn", "function_tool", "agent_session", "GET /menu"])
@pytest.mark.parametrize("of", ["observation.metadata", "trace.metadata", "metadata"])
@pytest.mark.parametrize("key", ["tools", "attributes", "tools.weather"])
def test_no_metadata_is_what_the_server_claims(name: str, of: str, key: str) -> None:
    """It would be moved into the input, or replace what else there is."""
    scope = "httpx" if name.startswith("GET") else "livekit-agents"
    for attributes in (
        {f"langfuse.{of}.{key}": "[1]"},
        {f"langfuse.{of}": json.dumps({key: "[1]", "kept": "yes"})},
    ):
        span = livekit_span(name, {"turn.tools": "[]", **attributes}, scope_name=scope)
        found = translate(span).attributes
        whole = json.loads(str(found.get(f"langfuse.{of}", "{}")))
        keys = {*whole, *(k.removeprefix(f"langfuse.{of}.") for k in found)}
        assert keys.isdisjoint({"tools", "attributes", "tools.weather"})
        assert f"own_{key}" in keys


def test_input_of_a_turn_that_used_a_tool_is_what_the_user_said() -> None:
    """What the tools did is metadata, under a name that the server leaves there."""
    ran = '[{"name": "get_weather", "duration_seconds": 0.2, "is_error": false}]'
    shown = show("agent_turn", {"lk.pii.user_input": "hi", "turn.tools": ran})
    assert (shown.input, shown.metadata["tool_runs"]) == ("hi", ran)


@pytest.mark.parametrize(
    ("name", "parent", "options", "shown_as"),
    [
        ("job_entrypoint", b"", {}, "call host"),
        ("job_entrypoint", b"p" * 8, {}, "call host"),
        ("agent_session", b"", {}, "call host"),
        ("agent_session", b"p" * 8, {}, "call"),
        ("agent_session", b"", {"trace_name": "front desk"}, "front desk"),
        ("on_enter", b"", {}, "on_enter"),
    ],
)
def test_root_is_named_for_the_page(
    name: str, parent: bytes, options: dict[str, Any], shown_as: str
) -> None:
    """The page's title is the root's name: the agent's, or the name that traces were given."""
    span = livekit_span(name, {"agent.label": "agents.host"}, parent_span_id=parent)
    assert langfuse.name_of(translate(span, **options)) == shown_as


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"},
        {"llm.model_name": "gpt-4o", "llm.token_count.prompt": 100},
        {"langfuse.observation.type": "generation", "model": "gpt-4o"},
        {"langfuse.observation.model.name": "gpt-4o"},
    ],
)
def test_a_call_that_livekit_counts_is_a_plain_span(attributes: dict[str, Any]) -> None:
    """Its input and output stay; nothing is counted, nor estimated from them."""
    used = {
        "gen_ai.usage.input_tokens": 100,
        "langfuse.observation.usage_details": '{"input": 100}',
        "langfuse.observation.cost_details": '{"total": 1}',
        "langfuse.observation.input": "hi",
    }
    span = livekit_span("chat", {**attributes, **used}, scope_name="another")
    kept = langfuse.observation(translate(span))
    assert (kept.type, kept.model, kept.total_tokens) == ("GENERATION", "gpt-4o", 100)
    for why in ("model.is_counted_above", "model.holds_calls"):
        counted = span._replace(attributes={**span.attributes, why: True})
        plain = langfuse.observation(translate(counted))
        assert (plain.type, plain.model, plain.usage, plain.cost) == ("SPAN", None, {}, {})
        assert plain.input == "hi"


def test_a_request_that_was_told_nothing_has_what_another_instrumentation_knew() -> None:
    """LiveKit's metrics have zeros then."""
    told = {"gen_ai.usage.input_tokens": 206, "gen_ai.usage.output_tokens": 9}
    zeros = {"lk.llm_metrics": '{"prompt_tokens": 0, "completion_tokens": 0}'}
    shown = show("llm_request", {"gen_ai.request.model": "gpt-4o", **told, **zeros})
    assert (shown.type, shown.usage) == ("GENERATION", {"input": 206, "output": 9, "total": 215})
    assert "usage" not in shown.metadata


def test_a_frameworks_request_is_the_span_around_what_it_asked() -> None:
    """Another instrumentation counts what is below it."""
    shown = show("llm_request", {"model.holds_calls": True, "gen_ai.request.model": "unknown"})
    assert (shown.name, shown.type, shown.model, shown.usage) == ("llm call", "SPAN", None, {})


@pytest.mark.parametrize("detail", ["call", "full"])
def test_what_is_no_call_is_sent_only_in_full(detail: str) -> None:
    """Such as a client's warm-up, whose trace has nothing of LiveKit's."""
    attributes = {"shown.is_outside_calls": True}
    span = livekit_span("GET /", attributes, scope_name="httpx", parent_span_id=b"")
    assert (LangfuseDialect(detail=detail)(span) is None) == (detail == "call")
    in_a_call = span._replace(attributes={"shown.parent_span_id": "aa" * 8})
    found = LangfuseDialect(detail=detail)(in_a_call)
    assert found is not None
    assert found.parent_span_id == (b"" if detail == "full" else b"\xaa" * 8)


# What single spans show


@pytest.mark.parametrize(
    ("recorded", "given", "answered"),
    [
        (
            [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
            [{"role": "user", "content": "hi"}],
            {"role": "assistant", "content": "hello"},
        ),
        (
            [{"role": "assistant", "content": "hello"}],
            "(the agent spoke first)",
            {"role": "assistant", "content": "hello"},
        ),
        ([{"role": "user", "content": "hi"}], [{"role": "user", "content": "hi"}], None),
        ([], None, None),
    ],
)
def test_conversation_is_the_traces_input_and_output(
    recorded: list[Any], given: Any, answered: Any
) -> None:
    """Everything said before, and the last answer; also where the root's parent is remote."""
    attributes = {"conversation.messages": json.dumps(recorded)}
    for parent in (b"", b"\7" * 8):
        root = show("agent_session", attributes, parent_span_id=parent)
        assert (root.input, root.output) == (given, answered)


@pytest.mark.parametrize("prefix", ["call.", "root.summary."])
@pytest.mark.parametrize(
    ("recorded", "told", "given", "answered"),
    [
        ([{"role": "user", "content": "hi"}], {"turns": 1}, 1, "(not answered)"),
        (
            [{"role": "user", "content": "hi"}],
            {"turns": 1, "close_reason": "error", "errors.llm": 4, "errors.stt": 1},
            1,
            "(not answered; closed by an error; errors of llm, stt)",
        ),
        (None, {"turns": 0}, "(nothing was said)", "(not answered)"),
        (None, {"turns": 2}, None, None),  # and withheld
        (None, {}, None, None),
    ],
)
def test_a_call_without_an_answer_says_so_in_words(
    prefix: str, recorded: Any, told: dict[str, Any], given: Any, answered: str | None
) -> None:
    """And which errors there were; a call that goes on says nothing yet."""
    attributes = {prefix + key: value for key, value in told.items()}
    if recorded:
        attributes["conversation.messages"] = json.dumps(recorded)
    root = show("job_entrypoint", attributes, parent_span_id=b"")
    assert (root.input, root.output) == (recorded if given == 1 else given, answered)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("greeting", "(the agent speaks first)"),
        ("say", "(said by the application)"),
        ("prompted", "(asked for by the application)"),
        ("tool_follow_up", "(after a tool)"),
        ("reply", "(nothing was asked)"),
    ],
)
def test_a_turn_that_nobody_asked_for_says_so_in_words(kind: str, words: str) -> None:
    """An output without an input looks like an error; withheld, there is neither."""
    said = {"turn.kind": kind, "turn.agent_text": "Hello."}
    assert (show("agent_turn", said).input, show("agent_turn", said).output) == (words, "Hello.")
    assert show("agent_turn", {"turn.kind": kind}).input is None


@pytest.mark.parametrize(
    ("resource", "service"),
    [
        ({"service.name": "unknown_service:python"}, "host"),
        ({"service.name": "unknown_service"}, "host"),
        ({}, "host"),
        ({"service.name": "front-desk"}, "front-desk"),
    ],
)
def test_the_service_is_the_agent_where_nobody_named_one(
    resource: dict[str, Any], service: str
) -> None:
    """And spans of one resource keep one."""
    dialect = LangfuseDialect()
    span = livekit_span("agent_turn", {"agent.label": "agents.host"}, resource=resource)
    first, second = dialect(span), dialect(span)
    assert first is not None
    assert second is not None
    assert first.resource["service.name"] == service
    assert first.resource is second.resource


def test_a_realtime_models_first_token_is_said_once() -> None:
    """The page's badge and the metadata are one number, whatever the two clocks say."""
    attributes = {
        "langfuse.observation.completion_start_time": "2026-11-18T11:06:40.250Z",
        "gen_ai.response.time_to_first_chunk": 0.75,
    }
    shown = show("realtime_inference", attributes)
    assert (shown.time_to_first_token, shown.metadata["time_to_first_token_seconds"]) == (
        0.25,
        "0.25",
    )


def test_instructions_of_a_prompted_turn_are_its_input() -> None:
    """`generate_reply(instructions=...)`, alone and with what the user said."""
    asked = {"lk.pii.instructions": "Greet the caller."}
    assert show("agent_turn", asked).input == "Greet the caller."
    assert show("agent_turn", {**asked, "lk.pii.user_input": "hi"}).input == [
        {"role": "system", "content": "Greet the caller."},
        {"role": "user", "content": "hi"},
    ]


@pytest.mark.parametrize(
    ("attributes", "level", "message"),
    [
        ({"lk.interrupted": False}, "DEFAULT", None),
        (
            {
                "lk.interrupted": True,
                "lk.interruption.source": "user_turn",
                "lk.playout.position": 1.26,
            },
            "WARNING",
            "interrupted by the user, 1.3 s heard",
        ),
        (
            {"lk.interrupted": True, "lk.interruption.source": "programmatic"},
            "DEFAULT",
            "cut short",
        ),
        ({"lk.interrupted": True, "turn.error": "no voice"}, "ERROR", "no voice"),
        ({"turn.kind": "discarded"}, "DEFAULT", "nothing of it was said"),
    ],
)
def test_how_a_turn_ended(attributes: dict[str, Any], level: str, message: str | None) -> None:
    """Only the user's interruption is a warning, only a failure an error."""
    shown = show("agent_turn", attributes)
    assert (shown.level, shown.status_message) == (level, message)


@pytest.mark.parametrize(
    ("name", "attributes", "level"),
    [
        ("llm_request", {}, "ERROR"),
        ("llm_request", {"attempt.is_fallback": True}, "WARNING"),
        ("tts_request", {"attempt.is_fallback": True}, "WARNING"),
        ("llm_request", {"lk.fallback.recovery": True}, "DEBUG"),
        ("llm_request_run", {}, "WARNING"),
        ("llm_request_run", {"attempt.is_probe": True}, "DEBUG"),
        ("llm_fallback_adapter", {"error.is_below": True}, "ERROR"),
        ("llm_node", {}, "ERROR"),
        ("llm_node", {"error.is_below": True}, "DEBUG"),
        ("on_user_turn_completed", {}, "ERROR"),
        ("function_tool", {}, "ERROR"),
    ],
)
def test_where_a_failure_is_an_error(name: str, attributes: dict[str, Any], level: str) -> None:
    """Where it happened, unless somebody else took over."""
    shown = show(name, attributes, status_code=STATUS_ERROR, status_message="boom")
    assert (shown.level, shown.status_message or "boom") == (level, "boom")


def test_the_loop_that_was_blocked_is_seen() -> None:
    """LiveKit's own watch over the event loop."""
    warned = show("event_loop_blocked", {"lk.blocking.severity": "warning"})
    failed = show("event_loop_blocked", {"lk.blocking.severity": "error"})
    assert [(o.name, o.level, o.status_message) for o in (warned, failed)] == [
        ("event loop blocked", "WARNING", "for 2.00 s"),
        ("event loop blocked", "ERROR", "for 2.00 s"),
    ]


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [
        (
            {"langfuse.observation.completion_start_time": '"2026-11-18T11:06:40.250000+00:00"'},
            0.25,
        ),
        ({"langfuse.observation.completion_start_time": "2026-11-18T11:06:40.250Z"}, 0.25),
        ({"langfuse.observation.completion_start_time": "2026-11-18T11:06:39+00:00"}, None),
        ({"langfuse.observation.completion_start_time": "2026-11-18T11:06:59+00:00"}, None),
        ({"gen_ai.response.time_to_first_chunk": 0.5}, 0.5),
        ({"lk.llm_metrics": '{"ttft": 0.75}'}, 0.75),
        ({"lk.llm_metrics": '{"ttft": -1.0}'}, None),
        ({}, None),
    ],
)
def test_time_to_first_token(attributes: dict[str, Any], seconds: float | None) -> None:
    """As LiveKit says, if it can be true."""
    assert START == 1_795_000_000_000_000_000
    assert show("llm_request", attributes).time_to_first_token == seconds


def test_numbers_that_mean_unknown_are_absent() -> None:
    """LiveKit's int 0 on `user_turn`."""
    shown = show("user_turn", {"lk.end_of_turn_delay": 0, "lk.transcription_delay": 0.2})
    assert shown.metadata["transcription_delay_seconds"] == "0.2"
    assert "end_of_turn_delay_seconds" not in shown.metadata


def test_stamps_become_metadata_under_short_names() -> None:
    """And are not repeated under their own."""
    attributes = {
        "turn.user_bot_latency_seconds": 0.8,
        "turn.part_seconds.llm": 0.3,
        "turn.number": 2,
        "turn.user_text": "hi",
        "lk.speech_id": "speech_1",
    }
    shown = show("agent_turn", attributes)
    assert (shown.name, shown.input) == ("agent turn", "hi")
    own = {key: value for key, value in shown.metadata.items() if "langfuse" not in key}
    assert own == {
        "user_bot_latency_seconds": "0.8",
        "part_seconds_llm": "0.3",
        "number": "2",
        "attributes.lk.speech_id": "speech_1",
    }


def test_many_events_are_bounded() -> None:
    """The latest of a very long call."""
    events = tuple(event("agent_state_changed", n=str(n)) for n in range(1000))
    shown = show("agent_session", events=events)
    kept = json.loads(shown.metadata["events"])
    assert (len(kept), kept[-1]) == (200, "0.000 agent_state_changed 999")


def test_options_come_out_of_json() -> None:
    """As the drainer gets them."""
    options = json.loads(
        '{"trace_name": null, "tags": [], "environment": null, "release": null,'
        ' "version": null, "cost": {"nova-3": {"seconds": 0.0001}}, "detail": "call"}'
    )
    span = LangfuseDialect(**options)(livekit_span("agent_turn"))
    assert span is not None
    assert "langfuse.trace.tags" not in span.attributes


def test_the_drainer_imports_neither_livekit_nor_opentelemetry() -> None:
    """The dialect runs in a small process that starts fast."""
    code = (
        "import sys, tracing.dialects.langfuse;"
        "print([m for m in sys.modules if m.split('.')[0] in ('livekit', 'opentelemetry')])"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert run.stdout.strip() == "[]"
