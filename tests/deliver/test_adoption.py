"""Spools whose settings were refused: taken over by the drainer with the right ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes import (
    RecordingServer,
    Reply,
    make_span,
    open_segment,
    otlp_backend,
    running_drainer,
    until,
    write_segment,
)
from tracing.config.backends import OTLP_HTTP, Backend
from tracing.deliver.drainer import Drainer
from tracing.deliver.lease import holder
from tracing.deliver.status import BackendStatus, read_status, write_status
from tracing.spool.acks import Acks
from tracing.spool.segments import segment_paths


def refused_sibling(spool: Path, *names: str, state: Any = "paused") -> Path:
    """Another spool, whose backends' states are as given, with three spans."""
    sibling = spool.parent / "sibling"
    write_segment(sibling, *[make_span(number) for number in (11, 12, 13)], number=9)
    write_status(sibling, [BackendStatus(name, "http://x", state) for name in names])
    return sibling


def test_spool_whose_settings_were_refused_is_adopted(spool: Path) -> None:
    """Right settings are another destination: what waited for them is delivered to it."""
    sibling = refused_sibling(spool, "otlp")
    write_segment(spool, make_span(1))
    with RecordingServer() as server:
        Drainer(spool, [otlp_backend(server.url)]).run()
        assert server.accepted_names() == ["span 1", "span 11", "span 12", "span 13"]
    assert segment_paths(sibling) == []


def test_what_a_backend_took_of_an_adopted_spool_is_not_sent_again(spool: Path) -> None:
    """In a fan-out, one backend may have had all while the other was refused."""
    sibling = refused_sibling(spool, "otlp", "langfuse")
    [path] = segment_paths(sibling)
    Acks(sibling, "otlp").acknowledge({path.name: path.stat().st_size})
    with RecordingServer() as server, RecordingServer() as langfuse:
        other = Backend("langfuse", OTLP_HTTP, f"{langfuse.url}/v1/traces")
        Drainer(spool, [otlp_backend(server.url), other]).run()
        assert server.accepted == []
        assert langfuse.accepted_names() == ["span 11", "span 12", "span 13"]


@pytest.mark.parametrize("state", ["delivering", "retrying"])
def test_spool_that_waits_for_its_own_backend_is_untouched(spool: Path, state: str) -> None:
    """A backend that is away is no wrong setting."""
    sibling = refused_sibling(spool, "otlp", state=state)
    with RecordingServer() as server:
        Drainer(spool, [otlp_backend(server.url)]).run()
        assert server.requests == []
    assert len(segment_paths(sibling)) == 1


def test_spool_of_other_kinds_of_backends_is_untouched(spool: Path) -> None:
    """Spans for Langfuse are not for a collector."""
    for names in (("langfuse",), ("otlp", "langfuse"), ()):
        sibling = refused_sibling(spool, *names)
        with RecordingServer() as server:
            Drainer(spool, [otlp_backend(server.url)]).run()
            assert server.requests == []
        assert len(segment_paths(sibling)) == 1


def test_refused_spool_of_a_living_agent_is_untouched(spool: Path) -> None:
    """Whoever runs with the wrong settings keeps its own spool until it ends."""
    sibling = refused_sibling(spool, "otlp")
    writer = open_segment(sibling)
    with RecordingServer() as server:
        Drainer(spool, [otlp_backend(server.url)]).run()
        assert server.requests == []
    assert len(segment_paths(sibling)) == 2
    writer.close()


def test_drainer_that_waits_in_an_adopted_spool_is_ended(spool: Path) -> None:
    """The drainer with the wrong settings does not outlive them."""
    sibling = refused_sibling(spool, "otlp")
    with RecordingServer() as refusing, RecordingServer() as server:
        refusing.reply = Reply(401)
        with running_drainer(sibling, otlp_backend(refusing.url)) as wrong:
            until(lambda: refusing.requests)
            until(lambda: holder(sibling))
            until(lambda: read_status(sibling)["pid"] == wrong.pid)
            until(lambda: read_status(sibling)["backends"][0]["state"] == "paused")
            Drainer(spool, [otlp_backend(server.url)]).run()
            assert wrong.wait(10) == 0
        assert server.accepted_names() == ["span 11", "span 12", "span 13"]


def test_damaged_status_of_a_sibling_is_passed_over(spool: Path) -> None:
    """Foreign files beside the spool stop nobody."""
    sibling = refused_sibling(spool, "otlp")
    (spool.parent / "a file").write_text("x")
    for content in ('{"backends": 5}', '{"backends": [5]}', '{"backends": [{}]}', "{"):
        (sibling / "status.json").write_text(content)
        assert Drainer(spool, [otlp_backend("http://127.0.0.1:1")]).run() is True
