"""What comes after set-up: a later set-up, another provider, a shutdown by somebody else."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from livekit.agents.telemetry import set_tracer_provider
from livekit.agents.telemetry import tracer as livekit_tracer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from tests.fakes import RecordingServer, call, until
from tracing import ConfigError, Tracing, setup_tracer
from tracing.doctor.spool import look_at_spools
from tracing.handle import current_tracing
from tracing.span import STATUS_ERROR

SAID = (
    "setup_tracer was called again with {}, which does not apply: the first call's settings are "
    "in force. Give them there, or call shutdown() before."
)


def first(server: RecordingServer, **options: Any) -> Tracing:
    """The set-up that counts."""
    return setup_tracer("otlp", endpoint=server.url, environment="staging", **options)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What we warned of."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("tracing")
    ]


def of_room(known: Any) -> str:
    """A session id of one's own."""
    return f"of {known}"


@pytest.mark.parametrize(
    ("again", "ignored"),
    [
        ({}, None),
        ({"environment": "staging"}, None),
        ({"backend": "otlp"}, None),
        ({"capture_content": True}, None),
        ({"session_id": of_room}, None),
        ({"backend": "local"}, "backend="),
        ({"environment": "production"}, "environment="),
        ({"backend": "otlp", "environment": "production"}, "environment="),
        ({"endpoint": "http://127.0.0.1:1"}, "endpoint="),
        ({"directory": "elsewhere"}, "directory="),
        ({"session_id": "another", "user_id": "me"}, "session_id=, user_id="),
        ({"metrics": True}, "metrics="),
        ({"logs": "warning"}, None),
        ({"logs": "info"}, "logs="),
        ({"logs": False}, "logs="),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value or ()),
)
def test_later_set_up_that_asks_for_something_else_is_told_once(
    server: RecordingServer,
    in_thread: None,
    caplog: pytest.LogCaptureFixture,
    again: dict[str, Any],
    ignored: str | None,
) -> None:
    """What asks for nothing, or for what is in force, is heard in silence."""
    handle = first(server, session_id=of_room)
    given = {"endpoint": server.url, **again} if "backend" in again else again
    given = {k: v for k, v in given.items() if again.get("backend") != "local" or k == "backend"}
    for _ in range(3):
        assert setup_tracer(**given) is handle
    assert warnings(caplog) == ([SAID.format(ignored)] if ignored else [])


def test_later_set_up_that_is_wrong_is_told(
    server: RecordingServer, in_thread: None, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not stop a call that is traced."""
    handle = first(server)
    for _ in range(3):
        assert setup_tracer("langfuse") is handle
    (said,) = warnings(caplog)
    assert said.startswith("setup_tracer was called again otherwise, and wrongly: tracing cannot")
    assert "LANGFUSE_PUBLIC_KEY is not set" in said


def texts(server: RecordingServer) -> set[object]:
    """What was said, as the server got it."""
    return {span.attributes.get("lk.pii.user_transcript") for span in server.accepted}


def say(text: str) -> None:
    """One user turn."""
    livekit_tracer.start_span("user_turn", attributes={"lk.pii.user_transcript": text}).end()


def test_later_set_up_that_withholds_is_obeyed_from_then_on(
    server: RecordingServer, in_thread: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Also in words, as `os.getenv` gives them; and nobody takes it back."""
    handle = first(server)
    say("before")
    for word in ("false", True):
        setup_tracer(capture_content=word)  # type: ignore[arg-type]
        say(f"after {word}")
    assert handle.flush(20)
    assert texts(server) == {"before", None}
    assert warnings(caplog) == [SAID.format("capture_content=")]


def test_later_demand_that_cannot_be_read_withholds_and_is_told(
    server: RecordingServer, in_thread: None, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have meant no."""
    handle = first(server)
    setup_tracer(capture_content="nein")  # type: ignore[arg-type]
    say("secret")
    assert handle.flush(20)
    assert texts(server) == {None}
    (said,) = warnings(caplog)
    assert "capture_content= is 'nein': give true or false" in said
    assert "secret" not in repr(handle.asked)


def test_later_masks_are_obeyed_from_then_on_after_the_first(
    server: RecordingServer, in_thread: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Each once, in the order in which they came."""
    handle = first(server, mask=lambda text: text.replace("card", "[1]"))
    for _ in range(3):
        setup_tracer(mask=lambda text: text.replace("[1]", "[2]").replace("pin", "[3]"))
    say("card and pin")
    assert handle.flush(20)
    assert texts(server) == {"[2] and [3]"}
    assert warnings(caplog) == []
    assert handle.asked is not None
    assert len(handle.asked.arguments["mask"].masks) == 2


def test_masks_have_a_bound_that_is_said(
    server: RecordingServer, in_thread: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A job that makes a mask of its own does not slow down those after it for ever."""

    def mask_of(number: int) -> Any:
        return lambda text: text.replace("x", f"x{number}"[:2])

    handle = first(server)
    for number in range(20):
        setup_tracer(mask=mask_of(number))
    assert handle.asked is not None
    assert len(handle.asked.arguments["mask"].masks) == 16
    assert warnings(caplog) == [SAID.format("mask=")]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"strict": "no way"}, "strict= is 'no way': give True or False"),
        ({"session_id": 5}, "session_id= is a int: give a text"),
        ({"user_id": ["me"]}, "user_id= is a list: give a text"),
        ({"mask": "card"}, "mask= is 'card': give a function, text -> text"),
    ],
    ids=str,
)
def test_arguments_of_the_wrong_type_are_problems(wrong: dict[str, Any], said: str) -> None:
    """Those that are no settings, too."""
    with pytest.raises(ConfigError) as caught:
        setup_tracer("local", **wrong)
    assert caught.value.problems == (said,)
    assert current_tracing() is None


def test_strict_may_be_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """A text is not a yes."""
    assert setup_tracer("langfuse", strict="false").enabled is False  # type: ignore[arg-type]
    assert warnings(caplog)[0].endswith("Nothing is recorded.")


# Another provider, and its shutdown.


def test_log_lines_of_a_call_are_delivered_until_shutdown(
    server: RecordingServer, in_thread: None
) -> None:
    """A later pipeline in the same process records each line once."""
    app = logging.getLogger("my.app")
    for number in range(2):
        handle = first(server)
        with livekit_tracer.start_as_current_span("agent_session"):
            app.warning("line %d", number)
        assert handle.flush(20)
        handle.shutdown()
        app.warning("after the shutdown")
    assert [line.message for line in server.logs if line.logger == "my.app"] == ["line 0", "line 1"]


def test_log_lines_may_be_off(server: RecordingServer, in_thread: None) -> None:
    """Then there is no handler, and no reader for them."""
    handle = setup_tracer("otlp", endpoint=server.url, logs=False)
    before = list(logging.root.handlers)
    with livekit_tracer.start_as_current_span("agent_session"):
        logging.getLogger("my.app").error("a line")
    assert logging.root.handlers == before
    assert handle.flush(20)
    assert (server.log_requests, server.accepted_names()) == (0, ["agent_session"])


def test_provider_that_livekit_is_given_later_is_joined(
    server: RecordingServer, in_thread: None, caplog: pytest.LogCaptureFixture
) -> None:
    """As LiveKit's documents do in the entrypoint: the call is whole, each span once."""
    handle = first(server)
    for _ in range(3):
        with livekit_tracer.start_as_current_span("job_entrypoint"):
            theirs = TracerProvider()
            set_tracer_provider(theirs, metadata={"langfuse.session.id": "room-7"})
            set_tracer_provider(theirs)
            setup_tracer()
            livekit_tracer.start_span("agent_session").end()
    assert handle.flush(20)
    assert server.accepted_names() == ["agent_session"] * 3 + ["job_entrypoint"] * 3
    roots = {span.trace_id: span.span_id for span in server.accepted if not span.parent_span_id}
    sessions = [span for span in server.accepted if span.name == "agent_session"]
    assert {span.trace_id: span.parent_span_id for span in sessions} == roots
    assert warnings(caplog) == []


def test_provider_that_filters_content_is_obeyed(server: RecordingServer, in_thread: None) -> None:
    """Whoever gave it to LiveKit wants nothing to leave."""
    handle = first(server)
    set_tracer_provider(TracerProvider(), allow_pii=False)
    say("secret")
    assert handle.flush(20)
    assert texts(server) == {None}


def test_provider_that_cannot_be_joined_is_said_in_log_and_doctor(
    server: RecordingServer, in_thread: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is recorded from then on, and it is no silence."""
    handle = first(server)
    call(0)
    set_tracer_provider(trace.NoOpTracerProvider())
    call(0)
    assert handle.flush(20)
    assert server.accepted_names() == ["job_entrypoint"]
    (said,) = (one for one in warnings(caplog) if "dropped" not in one)
    assert said.startswith("LiveKit was given a NoOpTracerProvider after setup_tracer")
    assert dict(handle.dropped) == {"LiveKit was given a provider that records nothing": 1}
    assert handle.directory is not None
    found = [one.text for one in look_at_spools(handle.directory.parents[1]) if one.state != "ok"]
    assert found == ["1 process dropped: LiveKit was given a provider that records nothing"]


def test_provider_that_opentelemetry_is_given_later_is_said_once(
    server: RecordingServer, in_thread: None, caplog: pytest.LogCaptureFixture
) -> None:
    """As other vendors' set-ups do: it keeps ours, and says less than what to do."""
    handle = first(server)
    for _ in range(3):
        trace.set_tracer_provider(TracerProvider())
    trace.set_tracer_provider(handle.provider)
    call(1)
    assert handle.flush(20)
    assert server.accepted_names() == ["job_entrypoint", "step 0"]
    assert [record.getMessage() for record in caplog.records if record.levelno > 20] == [
        "OpenTelemetry was given a TracerProvider after setup_tracer, and keeps the one it has: "
        "calls are recorded, and what is recorded with the other goes only where that leads. Add "
        "its exporter to setup_tracer(...).provider, or set it up before.",
    ]
    assert trace.get_tracer_provider() is handle.provider


class ForeignProvider(trace.NoOpTracerProvider):
    """A vendor's own, which has no processors."""


def test_provider_that_opentelemetry_has_and_cannot_be_joined_is_said(
    server: RecordingServer, in_thread: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls are recorded all the same."""
    trace.set_tracer_provider(ForeignProvider())
    handle = first(server)
    call(0)
    assert handle.flush(20)
    assert server.accepted_names() == ["job_entrypoint"]
    assert warnings(caplog) == [
        "OpenTelemetry has a ForeignProvider, which is none of the SDK's: calls are recorded, and "
        "spans of your own in them are not. Leave it out, or call setup_tracer before it."
    ]


def test_provider_after_our_own_shutdown_is_none_of_ours(
    server: RecordingServer, in_thread: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Who ended the pipeline may give LiveKit what they like."""
    first(server).shutdown()
    set_tracer_provider(trace.NoOpTracerProvider())
    assert warnings(caplog) == []


def test_shutdown_of_the_provider_by_somebody_else_ends_no_call(
    server: RecordingServer, in_thread: None
) -> None:
    """In a shutdown callback, before the root has ended; and later calls are recorded as well."""
    handle = first(server)
    for _ in range(2):
        with livekit_tracer.start_as_current_span("job_entrypoint"):
            livekit_tracer.start_span("agent_session").end()
            handle.provider.shutdown()  # type: ignore[attr-defined]
    assert handle.flush(20)
    until(lambda: len(server.accepted) == 4)
    assert server.accepted_names() == ["agent_session"] * 2 + ["job_entrypoint"] * 2
    assert [span for span in server.accepted if span.status_code == STATUS_ERROR] == []
    assert dict(handle.dropped) == {}
