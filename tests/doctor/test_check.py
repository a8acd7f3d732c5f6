"""`Tracing.check()`: the doctor's findings as values, of the process that has set up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit.agents.telemetry import set_tracer_provider
from opentelemetry import trace

from tests.doctor.servers import ApiServer
from tracing import Tracing, setup_tracer
from tracing.doctor.findings import Finding


def by_name(handle: Tracing) -> dict[str, Finding]:
    """Its findings, the last of each name."""
    return {found.name: found for found in handle.check()}


def test_arguments_are_seen_and_masked(in_thread: None) -> None:
    """Where each setting is from, the trace that was read back, and the spool; no secret."""
    with ApiServer() as server:
        keys = {"public_key": "pk-lf-test", "secret_key": "sk-lf-test"}
        handle = setup_tracer("langfuse", base_url=server.url, tags=["a"], **keys)  # type: ignore[arg-type]
        found = by_name(handle)
    source = "from the arguments of setup_tracer"
    assert [found[name].line for name in ("settings", "public_key=", "secret_key=", "tags=")] == [
        f"settings: spans go to langfuse at {server.url}/api/public/otel/v1/traces (backend=)",
        f"public_key=: pk-lf-test {source}",
        f"secret_key=: [secret] of 10 characters {source}",
        f"tags=: a {source}",
    ]
    assert found["recording"].state == "ok"
    assert found["langfuse, test trace"].state == "ok"
    assert found[f"spool {handle.directory.name}"].text.startswith("0 spans waiting")  # type: ignore[union-attr]
    assert [one for one in found.values() if "sk-lf-test" in one.line] == []
    assert {one.name: one.line for one in found.values() if one.state == "mend"} == {}


def test_it_holds_no_event_loop(in_thread: None) -> None:
    """There it says how to be called, at once."""
    handle = setup_tracer("local")

    async def check() -> list[Finding]:
        return handle.check()

    assert asyncio.run(check()) == [
        Finding(
            "check",
            "unknown",
            "it was called on an event loop, and would hold the call",
            "await asyncio.to_thread(tracing.check)",
        )
    ]

    async def check_beside() -> list[Finding]:
        return await asyncio.to_thread(handle.check)

    assert {one.state for one in asyncio.run(check_beside())} <= {"ok", "note"}


def test_provider_that_records_nothing_is_found(in_thread: None) -> None:
    """As is a handle that was shut down."""
    handle = setup_tracer("local")
    set_tracer_provider(trace.NoOpTracerProvider())
    assert by_name(handle)["recording"] == Finding(
        "recording",
        "mend",
        "LiveKit was given a NoOpTracerProvider after setup_tracer, which records nothing",
        "leave set_tracer_provider out, or give it an SDK provider",
    )
    handle.shutdown()
    assert by_name(handle)["recording"].mend == "call setup_tracer again"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"backend": "langfuse", "public_key": "sk-lf-1234-x", "secret_key": "pk-lf-1"},
            "settings: LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are swapped: exchange them",
        ),
        (
            {"backend": "otlp", "endpoint": "http://127.0.0.1:4317"},
            "settings: endpoint= has port 4317, where collectors speak gRPC: give the HTTP port, "
            "4318 on most; if it does speak HTTP, set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        ),
    ],
)
def test_settings_that_were_refused_are_told(arguments: dict[str, Any], said: str) -> None:
    """Of an agent that runs all the same; a key in the wrong place stays a secret."""
    found = setup_tracer(strict=False, **arguments).check()
    assert [one.line for one in found if one.state == "mend"] == [said]
    assert [one for one in found if "1234" in one.line] == []


def test_what_is_switched_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be meant, and nothing is asked."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    found = by_name(setup_tracer("local"))
    assert found["settings"] == Finding(
        "settings", "note", "tracing is off, because OTEL_SDK_DISABLED is set"
    )
    assert "recording" not in found
