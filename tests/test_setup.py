"""Set-up: from settings to a backend that has every span, once per process, however often asked."""

from __future__ import annotations

import base64
import logging
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from livekit.agents.telemetry import tracer as livekit_tracer
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

from tests.fakes import RecordingServer, call, until
from tracing import ConfigError, Langfuse, Local, Tracing, setup_tracer
from tracing.capture.current import current_capture
from tracing.capture.processor import TracingProcessor
from tracing.deliver.lease import holder
from tracing.handle import current_tracing

SECRET = "the secret text"
PUBLIC_KEY, SECRET_KEY = "pk-lf-1234", "sk-lf-5678-very-secret"
LANGFUSE: dict[str, Any] = {"public_key": PUBLIC_KEY, "secret_key": SECRET_KEY, "scores": False}


NOWHERE = {**LANGFUSE, "base_url": "http://127.0.0.1:9"}


def otlp_to(server: RecordingServer, **options: Any) -> Tracing:
    """Set up for the server as a collector."""
    return setup_tracer("otlp", endpoint=server.url, **options)


@pytest.mark.parametrize(
    ("options", "saved"),
    [
        ({"backend": "local"}, None),
        ({"backend": "local", "recording": True}, (30, False)),
        ({"backend": "local", "recording": True, "capture_content": False}, None),
        ({**NOWHERE, "backend": "langfuse", "recording": True}, (7, True)),
        ({**NOWHERE, "backend": ["langfuse", "local"], "recording": True}, (30, True)),
        ({"backend": [Langfuse(**NOWHERE), Local(recording=True)]}, (30, False)),
    ],
)
def test_recordings_are_saved_where_they_are_wanted(
    options: dict[str, Any], saved: tuple[int, bool] | None, in_thread: None, tmp_path: Path
) -> None:
    """For so many days, those of uploads or of the store's calls, and whether they are uploaded."""
    setup_tracer(directory=tmp_path, **options)
    capture = current_capture()
    assert capture is not None
    if saved is None:
        assert capture.recordings is None
    else:
        assert capture.recordings == (tmp_path, saved[0] * 86400.0, saved[1])


def processors(provider: Any) -> list[Any]:
    """Our processors on a provider."""
    installed = provider._active_span_processor._span_processors
    return [processor for processor in installed if isinstance(processor, TracingProcessor)]


def our_threads() -> list[str]:
    """The names of our threads."""
    return [t.name for t in threading.enumerate() if t.name.startswith("tracing-")]


# The whole way.


@pytest.mark.parametrize("path", ["", "/", "/api/public/otel", "/api/public/otel/v1/traces"])
def test_langfuse_gets_every_span(server: RecordingServer, in_thread: None, path: str) -> None:
    """At its own address, with Basic auth, its version, gzip, and each span once."""
    handle = setup_tracer("langfuse", base_url=server.url + path, **LANGFUSE)
    call()
    assert handle.flush(20)
    assert {request.path for request in server.requests} == {"/api/public/otel/v1/traces"}
    pair = base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode()
    wanted = {
        "authorization": f"Basic {pair}",
        "x-langfuse-ingestion-version": "4",
        "content-type": "application/x-protobuf",
        "content-encoding": "gzip",
    }
    for request in server.requests:
        assert {name: request.headers.get(name) for name in wanted} == wanted
    times = Counter(span.span_id for span in server.accepted)
    spans = {span.span_id: span for span in server.accepted}
    [root] = [span for span in spans.values() if not span.parent_span_id]
    assert times.pop(root.span_id) <= 2  # a call in progress can be found
    assert set(times.values()) == {1}
    del spans[root.span_id]
    assert sorted(span.name for span in spans.values()) == ["step 0", "step 1", "step 2"]
    assert {span.parent_span_id for span in spans.values()} == {root.span_id}


def test_collector_gets_every_span_once(server: RecordingServer, in_thread: None) -> None:
    """At the base endpoint's path, with the given headers, whole and rooted."""
    handle = otlp_to(server, headers={"x-key": "abc"}, session_id="my call", user_id="me")
    call(**{"lk.job_id": "AJ_1"})
    assert handle.flush(20)
    assert {request.path for request in server.requests} == {"/v1/traces"}
    assert {request.headers["x-key"] for request in server.requests} == {"abc"}
    spans = {span.name: span for span in server.accepted}
    assert sorted(span.name for span in server.accepted) == sorted(spans)
    assert sorted(spans) == ["job_entrypoint", "step 0", "step 1", "step 2"]
    root = spans.pop("job_entrypoint")
    assert root.parent_span_id == b""
    assert {span.parent_span_id for span in spans.values()} == {root.span_id}
    for span in (root, *spans.values()):
        assert (span.attributes["session.id"], span.attributes["user.id"]) == ("my call", "me")


def test_session_id_may_be_made_of_the_calls_identity(
    server: RecordingServer, in_thread: None
) -> None:
    """A callable gets what is known of the call."""
    handle = otlp_to(server, session_id=lambda known: f"call of {known['lk.job_id']}")
    call(**{"lk.job_id": "AJ_1"})
    assert handle.flush(20)
    assert {span.attributes["session.id"] for span in server.accepted} == {"call of AJ_1"}


def test_several_backends_get_every_span(in_thread: None) -> None:
    """A fan-out, of which one is the local store."""
    with RecordingServer() as collector, RecordingServer() as langfuse:
        handle = setup_tracer(
            ["langfuse", "otlp", "local"],
            endpoint=collector.url,
            base_url=langfuse.url,
            **LANGFUSE,
        )
        call()
        assert handle.flush(20)
        ids = {span.span_id for span in collector.accepted}
        assert collector.accepted_names() == ["job_entrypoint", "step 0", "step 1", "step 2"]
        assert {span.span_id for span in langfuse.accepted} == ids
        assert Path(".tracing/calls.db").stat().st_size > 0


def test_drainer_process_delivers(server: RecordingServer) -> None:
    """The default: another process, which names itself in the status."""
    handle = otlp_to(server)
    call()
    assert handle.flush(20)
    assert server.accepted_names() == ["job_entrypoint", "step 0", "step 1", "step 2"]
    assert handle.directory is not None
    found = holder(handle.directory)
    assert found is not None
    assert found.pid not in (0, os.getpid())


# One pipeline per process.


def test_hundred_set_ups_are_one_pipeline(server: RecordingServer) -> None:
    """The same handle, one processor, one thread, and every span once."""
    before = threading.active_count()
    handles = {id(otlp_to(server)) for _ in range(100)}
    handle = current_tracing()
    assert handle is not None
    assert handles == {id(handle)}
    assert len(processors(handle.provider)) == 1
    assert our_threads() == ["tracing-keeper"]
    assert threading.active_count() - before == 1
    call(1)
    assert handle.flush(20)
    assert server.accepted_names() == ["job_entrypoint", "step 0"]


def test_set_ups_at_once_are_one_pipeline(server: RecordingServer, in_thread: None) -> None:
    """Jobs of the THREAD executor set up at the same time."""
    handles: list[Tracing] = []
    threads = [threading.Thread(target=lambda: handles.append(otlp_to(server))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(handle) for handle in handles}) == 1
    assert len(processors(handles[0].provider)) == 1


def test_livekit_and_opentelemetry_get_our_provider(
    server: RecordingServer, in_thread: None
) -> None:
    """LiveKit's own, so that its Cloud does not replace it; the global, as it is free."""
    handle = otlp_to(server)
    assert livekit_tracer._tracer_provider is handle.provider
    assert trace.get_tracer_provider() is handle.provider
    with livekit_tracer.start_as_current_span("function_tool"):
        trace.get_tracer("an application").start_span("own query").end()
    assert handle.flush(20)
    spans = {span.name: span for span in server.accepted}
    assert spans["own query"].parent_span_id == spans["function_tool"].span_id


def test_provider_of_the_application_is_joined(server: RecordingServer, in_thread: None) -> None:
    """It stays the global one, with its own resource, limits and processors."""
    theirs = TracerProvider(
        resource=Resource({"service.name": "theirs"}), span_limits=SpanLimits(max_attributes=50)
    )
    trace.set_tracer_provider(theirs)
    handle = otlp_to(server)
    assert handle.provider is theirs
    assert livekit_tracer._tracer_provider is theirs
    assert trace.get_tracer_provider() is theirs
    call(1)
    assert handle.flush(20)
    assert {span.resource["service.name"] for span in server.accepted} == {"theirs"}


def test_provider_that_livekit_has_is_joined(server: RecordingServer, in_thread: None) -> None:
    """The application gave it to LiveKit alone; the global is not touched then."""
    theirs = TracerProvider()
    livekit_tracer.set_provider(theirs)
    handle = otlp_to(server)
    assert handle.provider is theirs
    assert trace.get_tracer_provider() is not theirs
    call(1)
    assert handle.flush(20)
    assert server.accepted_names() == ["job_entrypoint", "step 0"]


def test_global_that_is_no_sdk_is_left_alone(server: RecordingServer, in_thread: None) -> None:
    """An application that turned tracing off for itself keeps that."""
    theirs = trace.NoOpTracerProvider()
    trace.set_tracer_provider(theirs)
    handle = otlp_to(server)
    assert trace.get_tracer_provider() is theirs
    assert livekit_tracer._tracer_provider is handle.provider


def test_set_up_after_a_shutdown_is_a_new_pipeline(in_thread: None) -> None:
    """The old one records no more, and no span comes twice."""
    with RecordingServer() as first, RecordingServer() as second:
        old = otlp_to(first)
        call(1)
        assert old.flush(20)
        old.shutdown()
        old.shutdown()
        assert current_tracing() is None
        call(1)
        new = otlp_to(second)
        assert new is not old
        call(2)
        assert new.flush(20)
        assert first.accepted_names() == ["job_entrypoint", "step 0"]
        assert second.accepted_names() == ["job_entrypoint", "step 0", "step 1"]


# What the environment says.


def test_environment_names_the_service(
    server: RecordingServer, in_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are on what is sent."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "waiter")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=2,team=voice")
    handle = otlp_to(server)
    call(0)
    assert handle.flush(20)
    [span] = server.accepted
    resource = {key: span.resource[key] for key in ("service.name", "service.version", "team")}
    assert resource == {"service.name": "waiter", "service.version": "2", "team": "voice"}


def test_langfuse_environment_is_the_deployments(server: RecordingServer, in_thread: None) -> None:
    """Other backends find it under OpenTelemetry's name."""
    handle = setup_tracer(
        ["langfuse", "otlp"],
        endpoint=server.url,
        base_url="http://127.0.0.1:1",
        environment="staging",
        **LANGFUSE,
    )
    call(0)
    until(lambda: server.accepted)
    assert server.accepted[0].resource["deployment.environment.name"] == "staging"
    assert handle.flush(0.1) is False


def test_sampler_of_the_environment_is_kept_to(
    server: RecordingServer, in_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_TRACES_SAMPLER=always_off records nothing."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    handle = otlp_to(server)
    call()
    assert handle.flush(20)
    assert server.requests == []


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_SDK_DISABLED", "true", "OTEL_SDK_DISABLED is set"),
        ("LANGFUSE_TRACING_ENABLED", "False", "LANGFUSE_TRACING_ENABLED is false"),
    ],
)
def test_disabled_sdk_records_nothing(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    variable: str,
    value: str,
    said: str,
) -> None:
    """No file, no thread, a handle that does nothing, and a line in the log."""
    monkeypatch.setenv(variable, value)
    with caplog.at_level(logging.INFO, "tracing"):
        handle = setup_tracer("langfuse", **LANGFUSE)
    call()
    assert (handle.enabled, handle.directory, handle.flush(), dict(handle.dropped)) == (
        False,
        None,
        True,
        {},
    )
    assert list(tmp_path.iterdir()) == []
    assert our_threads() == []
    assert repr(handle) == "Tracing(disabled)"
    assert [r.getMessage() for r in caplog.records] == [f"tracing is off: {said}"]


def test_environment_is_never_written(server: RecordingServer, in_thread: None) -> None:
    """No other library of the process is affected."""
    before = dict(os.environ)
    handle = setup_tracer(
        ["langfuse", "otlp", "local"], endpoint=server.url, base_url=server.url, **LANGFUSE
    )
    call()
    handle.flush(20)
    handle.shutdown()
    assert dict(os.environ) == before


def test_choice_is_logged_once_and_without_secrets(
    server: RecordingServer,
    in_thread: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Which backend, where, and why."""
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", PUBLIC_KEY)
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("LANGFUSE_BASE_URL", server.url)
    with caplog.at_level(logging.DEBUG, "tracing"):
        handles = {id(setup_tracer(scores=False)) for _ in range(3)}
    said = [r.getMessage() for r in caplog.records if r.name == "tracing.setup"]
    assert said == [
        f"tracing to langfuse at {server.url}/api/public/otel/v1/traces (LANGFUSE_PUBLIC_KEY)"
    ]
    assert len(handles) == 1
    assert "5678" not in caplog.text


# Wrong settings.


def test_wrong_settings_are_an_error_that_changes_nothing(tmp_path: Path) -> None:
    """The next set-up, with right ones, works."""
    with pytest.raises(ConfigError, match="LANGFUSE_SECRET_KEY is not set"):
        setup_tracer("langfuse", public_key=PUBLIC_KEY)
    assert current_tracing() is None
    assert list(tmp_path.iterdir()) == []
    assert not isinstance(livekit_tracer._tracer_provider, TracerProvider)


def test_wrong_settings_are_one_warning_where_the_agent_must_run(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """strict=False: the agent answers its calls, nothing is recorded, and the log says why."""
    for _ in range(3):
        handle = setup_tracer("langfuse", public_key=PUBLIC_KEY, strict=False)
        call()
    assert (handle.enabled, handle.flush()) == (False, True)
    handle.shutdown()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("tracing cannot be set up, 1 problem:\n  - LANGFUSE_SEC")
    assert record.getMessage().endswith("\nNothing is recorded.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "odd",
    [{"timeout": "soon"}, {"base_url": "http://[::1"}, {"backend": 5}, {"directory": "a\0b"}],
    ids=str,
)
def test_no_setting_whatever_stops_an_agent_that_must_run(odd: dict[str, Any]) -> None:
    """strict=False also covers what no message was thought of for."""
    backend = odd.pop("backend", "langfuse")
    handle = setup_tracer(backend, **{**LANGFUSE, **odd}, strict=False)
    assert handle.enabled is False
