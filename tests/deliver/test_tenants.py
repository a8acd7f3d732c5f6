"""Two tenants in one directory: what one's backend refused never goes to the other."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fakes import (
    FAST,
    RecordingServer,
    Reply,
    draining,
    make_span,
    otlp_backend,
    until,
    write_segment,
)
from tracing.config.backends import Backend, fingerprint
from tracing.config.load import load_settings
from tracing.config.settings import backends_of
from tracing.config.tenants import tenant_of
from tracing.deliver.drainer import Drainer
from tracing.deliver.status import read_backends, take_notices
from tracing.spool.segments import segment_paths

REFUSALS = {
    401: Reply(401, b"wrong key"),
    402: Reply(402, b"pay first"),
    403: Reply(403, b"not allowed"),
    404: Reply(404, b"not here"),
    307: Reply(307, b"", {"Location": "https://elsewhere/v1/traces"}),
}
MADE_KEY = "pk-lf-0f8fad5b-d9cb-469f-a165-70867728950e"


def basic(user: str, password: str) -> str:
    """A Basic authorization."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def langfuse(url: str, public_key: str, secret_key: str) -> Backend:
    """The backend of a Langfuse project, spans alone."""
    keys = {"public_key": public_key, "secret_key": secret_key}
    settings = load_settings("langfuse", base_url=url, scores=False, environ={}, **keys)  # type: ignore[arg-type]
    [backend] = backends_of(settings)
    return backend


class Kind(NamedTuple):
    """How a backend is told whose spans these are: tenant and secret of two."""

    tenants: tuple[str, str]

    def backend(self, url: str, tenant: str, secret: str) -> Backend:
        """The backend of one tenant with one secret."""
        if tenant.startswith("pk-lf-"):
            return langfuse(url, tenant, secret)
        if tenant.startswith("user"):
            return otlp_backend(url, headers={"Authorization": basic(tenant, secret)})
        named = {"X-Scope-OrgID": tenant, "X-Source": "agent"} if tenant else {}
        return otlp_backend(url, headers={**named, "Authorization": f"Bearer {secret}"})


KINDS = {
    "public key": Kind(("pk-lf-a", "pk-lf-b")),
    "public key that Langfuse made": Kind((MADE_KEY, MADE_KEY.replace("e", "f"))),
    "tenant header": Kind(("team-a", "team-b")),
    "user": Kind(("user-a", "user-b")),
}


def refused(parent: Path, server: RecordingServer, backend: Backend) -> Path:
    """A spool of three spans that its backend has just refused, and whose agent is gone."""
    spool = parent / fingerprint([backend])
    write_segment(spool, *[make_span(number) for number in (11, 12, 13)], number=9)
    with draining(spool, backend, pace=FAST):
        until(lambda: server.requests)
        until(lambda: [one["state"] for one in read_backends(spool)] == ["paused"])
    return spool


def drain(parent: Path, backend: Backend) -> Path:
    """What the next agent does in the same directory, with one span of its own."""
    spool = parent / fingerprint([backend])
    write_segment(spool, make_span(1))
    Drainer(spool, [backend], pace=FAST).run()
    return spool


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_one_tenant_was_refused_does_not_go_to_another(
    tmp_path: Path, kind: Kind, status: int
) -> None:
    """It waits, and the log says for whom, without a secret."""
    with RecordingServer() as server:
        one = kind.backend(server.url, kind.tenants[0], "first-secret")
        other = kind.backend(server.url, kind.tenants[1], "second-secret")
        server.authorization, server.refusal = other.headers["Authorization"], REFUSALS[status]
        waiting = refused(tmp_path, server, one)
        spool = drain(tmp_path, other)
        assert server.accepted_names() == ["span 1"]
    assert len(segment_paths(waiting)) == 1
    [said] = [text for _, text in take_notices(spool) if "wait for" in text]
    assert f" wait for {tenant_of(one)}, who refused them" in said
    assert "secret" not in said


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_same_tenant_with_a_new_secret_gets_what_waited(
    tmp_path: Path, kind: Kind, status: int
) -> None:
    """A rotated or mended secret is no other tenant."""
    with RecordingServer() as server:
        old, new = (
            kind.backend(server.url, kind.tenants[0], secret)
            for secret in ("old-secret", "new-secret")
        )
        server.authorization, server.refusal = new.headers["Authorization"], REFUSALS[status]
        refused(tmp_path, server, old)
        drain(tmp_path, new)
        assert server.accepted_names() == ["span 1", "span 11", "span 12", "span 13"]


@pytest.mark.parametrize("status", REFUSALS)
def test_where_the_secret_is_all_that_tells_another_is_another_tenant(
    tmp_path: Path, status: int
) -> None:
    """Nobody can know whether a key was rotated or is another customer's."""
    with RecordingServer() as server:
        one, other = (
            otlp_backend(server.url, headers={"Authorization": f"Bearer {key}-secret"})
            for key in ("first", "second")
        )
        server.authorization, server.refusal = other.headers["Authorization"], REFUSALS[status]
        waiting = refused(tmp_path, server, one)
        drain(tmp_path, other)
        assert server.accepted_names() == ["span 1"]
    assert len(segment_paths(waiting)) == 1


@pytest.mark.parametrize(
    ("key", "is_delivered"), [(MADE_KEY, True), ("pk-lf-of-every-test-server", False)]
)
def test_mended_address_gets_what_waited_where_the_key_is_the_only_one_of_its_kind(
    tmp_path: Path, key: str, is_delivered: bool
) -> None:
    """A key that Langfuse made is nobody else's on any server; one that somebody chose may be."""
    with RecordingServer() as wrong, RecordingServer() as right:
        wrong.reply = Reply(401)
        refused(tmp_path, wrong, langfuse(wrong.url, key, "sk-lf-5678"))
        drain(tmp_path, langfuse(right.url, key, "sk-lf-5678"))
        assert len(right.accepted) == (4 if is_delivered else 1)


def test_spool_of_a_drainer_that_did_not_say_whose_it_is_goes_to_nobody(tmp_path: Path) -> None:
    """Older versions wrote no tenant; who drained with these very settings has the same spool."""
    with RecordingServer() as server:
        one, other = (langfuse(server.url, key, "sk-lf-5678") for key in ("pk-lf-a", "pk-lf-b"))
        server.authorization = other.headers["Authorization"]
        waiting = refused(tmp_path, server, one)
        status = json.loads((waiting / "status.json").read_text())
        del status["backends"][0]["tenant"]
        (waiting / "status.json").write_text(json.dumps(status))
        spool = drain(tmp_path, other)
        assert server.accepted_names() == ["span 1"]
        assert any(f"wait for {one.url}, " in text for _, text in take_notices(spool))
        server.authorization = one.headers["Authorization"]
        Drainer(waiting, [one], pace=FAST).run()
        assert len(server.accepted) == 4
