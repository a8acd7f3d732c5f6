"""Spools whose settings were refused: taken over by the drainer with the right ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import (
    RecordingServer,
    make_span,
    open_segment,
    otlp_backend,
    running_drainer,
    until,
    write_segment,
)
from tracing.config.backends import OTLP_HTTP, Backend
from tracing.config.tenants import tenant_of
from tracing.deliver.drainer import Drainer
from tracing.deliver.lease import holder
from tracing.deliver.status import BackendStatus, read_status, write_status
from tracing.spool.acks import Acks
from tracing.spool.segments import segment_paths


def refused_sibling(spool: Path, *backends: Backend, state: Any = "paused") -> Path:
    """Another spool, whose backends' states are as given, with three spans."""
    sibling = spool.parent / "sibling"
    write_segment(sibling, *[make_span(number) for number in (11, 12, 13)], number=9)
    said = [BackendStatus(b.name, b.url, state, tenant=tenant_of(b)) for b in backends]
    write_status(sibling, said)
    return sibling


def test_spool_whose_settings_were_refused_is_adopted(spool: Path) -> None:
    """Right settings are another destination: what waited for them is delivered to it."""
    write_segment(spool, make_span(1))
    with RecordingServer() as server:
        sibling = refused_sibling(spool, otlp_backend(f"{server.url}/wrong"))
        Drainer(spool, [otlp_backend(server.url)]).run()
        assert server.accepted_names() == ["span 1", "span 11", "span 12", "span 13"]
    assert segment_paths(sibling) == []


def test_what_a_backend_took_of_an_adopted_spool_is_not_sent_again(spool: Path) -> None:
    """In a fan-out, one backend may have had all while the other was refused."""
    with RecordingServer() as server, RecordingServer() as langfuse:
        other = Backend("langfuse", OTLP_HTTP, f"{langfuse.url}/v1/traces")
        sibling = refused_sibling(spool, otlp_backend(f"{server.url}/wrong"), other)
        [path] = segment_paths(sibling)
        Acks(sibling, "otlp").acknowledge({path.name: path.stat().st_size})
        Drainer(spool, [otlp_backend(server.url), other]).run()
        assert server.accepted == []
        assert langfuse.accepted_names() == ["span 11", "span 12", "span 13"]


@pytest.mark.parametrize("state", ["delivering", "retrying"])
def test_spool_that_waits_for_its_own_backend_is_untouched(spool: Path, state: str) -> None:
    """A backend that is away is no wrong setting."""
    with RecordingServer() as server:
        sibling = refused_sibling(spool, otlp_backend(server.url), state=state)
        Drainer(spool, [otlp_backend(server.url)]).run()
        assert server.requests == []
    assert len(segment_paths(sibling)) == 1


def test_spool_of_other_kinds_of_backends_is_untouched(spool: Path) -> None:
    """Spans for Langfuse are not for a collector."""
    with RecordingServer() as server:
        otlp = otlp_backend(server.url)
        langfuse = replace(otlp, name="langfuse")
        for backends in ((langfuse,), (otlp, langfuse), ()):
            sibling = refused_sibling(spool, *backends)
            Drainer(spool, [otlp_backend(server.url)]).run()
            assert server.requests == []
            assert len(segment_paths(sibling)) == 1


def test_refused_spool_of_a_living_agent_is_untouched(spool: Path) -> None:
    """Whoever runs with the wrong settings keeps its own spool until it ends."""
    with RecordingServer() as server:
        sibling = refused_sibling(spool, otlp_backend(server.url))
        writer = open_segment(sibling)
        Drainer(spool, [otlp_backend(server.url)]).run()
        assert server.requests == []
    assert len(segment_paths(sibling)) == 2
    writer.close()


def test_drainer_that_waits_in_an_adopted_spool_is_ended(spool: Path) -> None:
    """The drainer with the wrong settings does not outlive them."""
    with RecordingServer() as server:
        server.authorization = "Bearer right"
        wrong_key, right_key = (
            otlp_backend(server.url, headers={"X-Scope-OrgID": "a", "Authorization": key})
            for key in ("Bearer wrong", "Bearer right")
        )
        sibling = refused_sibling(spool, wrong_key)
        with running_drainer(sibling, wrong_key) as wrong:
            until(lambda: server.requests)
            until(lambda: holder(sibling))
            until(lambda: read_status(sibling)["pid"] == wrong.pid)
            until(lambda: read_status(sibling)["backends"][0]["state"] == "paused")
            Drainer(spool, [right_key]).run()
            assert wrong.wait(10) == 0
        assert server.accepted_names() == ["span 11", "span 12", "span 13"]


def test_damaged_status_of_a_sibling_is_passed_over(spool: Path) -> None:
    """Foreign files beside the spool stop nobody."""
    sibling = refused_sibling(spool, otlp_backend("http://127.0.0.1:1"))
    (spool.parent / "a file").write_text("x")
    for content in ('{"backends": 5}', '{"backends": [5]}', '{"backends": [{}]}', "{"):
        (sibling / "status.json").write_text(content)
        assert Drainer(spool, [otlp_backend("http://127.0.0.1:1")]).run() is True
