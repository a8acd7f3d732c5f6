"""Whose data a backend gets: the same text for the same tenant, and never a secret."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tracing.config.backends import CONSOLE, OTLP_HTTP, SQLITE, Backend, digest, fingerprint
from tracing.config.tenants import secrets_of, tenant_of

URL = "https://otlp.example.com/v1/traces"
MADE_KEY = "pk-lf-0f8fad5b-d9cb-469f-a165-70867728950e"


def backend(url: str = URL, tenant: str = "", **headers: str) -> Backend:
    """One with these headers; `_` in their names stands for a dash."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Backend("otlp", OTLP_HTTP, url, named, tenant)


def basic(pair: str) -> str:
    """A Basic authorization."""
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize(
    ("settings", "whose"),
    [
        ({}, "otlp.example.com"),
        ({"url": "http://h:4318/v1/traces"}, "h:4318"),
        ({"url": "http://H:80/v1/traces"}, "h"),
        ({"tenant": "pk-lf-1"}, "pk-lf-1 at otlp.example.com"),
        ({"tenant": MADE_KEY}, MADE_KEY),
        ({"X_Scope_OrgID": "a", "authorization": "Bearer 5678"}, "x-scope-orgid a at *"),
        ({"x_tenant": "a", "organization": "b"}, "organization b, x-tenant a at *"),
        ({"Authorization": basic("1234:glc_5678abcd")}, "user 1234 at *"),
        ({"x_account_key": "5678"}, "key 30985d46db46 at *"),
        ({"x_source": "agent"}, "x-source agent at *"),
        ({"x_source": "agent", "x_account_key": "5678"}, "key 30985d46db46, x-source agent at *"),
    ],
)
def test_tenant_is_told_by_what_is_no_secret(settings: dict[str, Any], whose: str) -> None:
    """By public key, tenant header or user; by a hash of the secret only without these."""
    assert tenant_of(backend(**settings)) == whose.replace("*", "otlp.example.com")


@pytest.mark.parametrize(
    "settings",
    [
        {"Authorization": "Bearer 5678secret"},
        {"api_key": "5678"},
        {"x_honeycomb_team": "5678secret"},
        {"Authorization": basic("5678secret:")},
        {"Authorization": basic("5678secret:x")},
        {"url": f"{URL}?api-key=5678secret"},
        {"url": "https://user:5678secret@otlp.example.com/v1/traces"},
    ],
)
def test_secret_that_alone_tells_is_not_shown(settings: dict[str, Any]) -> None:
    """A hash stands for it, which differs for another one."""
    one = backend(**settings)
    other = backend(**{name: value.replace("5678", "8765") for name, value in settings.items()})
    changed = [value for value in settings.values() if "Basic" in value]
    assert tenant_of(one).startswith("key ")
    assert "5678" not in tenant_of(one)
    assert changed or tenant_of(other) != tenant_of(one)
    assert all(value in " ".join(secrets_of(one)) for value in ("5678",) if not changed)


def test_what_has_no_address_has_no_tenant() -> None:
    """The local store and the terminal are the machine's own."""
    assert tenant_of(Backend("local", SQLITE, "/data/calls.db")) == ""
    assert tenant_of(Backend("console", CONSOLE)) == ""


def test_client_certificate_is_a_key() -> None:
    """Where nothing else tells two tenants apart."""
    one, other = (
        Backend("otlp", OTLP_HTTP, URL, client_certificate=f"/keys/{name}.pem") for name in "ab"
    )
    assert tenant_of(one) != tenant_of(other)
    assert fingerprint([one]) != fingerprint([other])


def test_secrets_are_what_opens_something() -> None:
    """Short words of other headers are no secret: they would be struck out of every text."""
    found = backend(
        "https://h/v1?key=5678",
        X_Scope_OrgID="a-long-tenant",
        x_source="agent",
        x_api_key="abc",
        x_other="5678-5678-5678",
    )
    found = Backend(found.name, found.sender, found.url, found.headers, proxy="http://u:p%40ss@p")
    assert {*secrets_of(found)} == {
        *("abc", "5678-5678-5678", "key=5678", "5678"),
        *("u:p%40ss", "u:p@ss", "p%40ss", "p@ss"),
    }


@pytest.mark.parametrize(
    ("changes", "is_the_same"),
    [
        ({"dialect_options": {"tags": ["b"]}}, True),
        ({"sender_options": {"chosen": "all"}}, True),
        ({"mend": "b"}, True),
        ({"timeout_seconds": 1.0}, True),
        ({"headers": {"Authorization": "Bearer b"}}, False),
        ({"url": "http://b"}, False),
        ({"proxy": "http://b"}, False),
        ({"certificate": "/b"}, False),
        ({"client_key": "/b"}, False),
        ({"compression": "none"}, False),
    ],
)
def test_only_what_decides_delivery_is_compared(changes: dict[str, Any], is_the_same: bool) -> None:
    """Agents that differ in a tag do not end each other's drainers."""
    plain = {"url": "http://a", "headers": {"Authorization": "Bearer a"}}
    one, other = (Backend("otlp", OTLP_HTTP, **{**plain, **more}) for more in ({}, changes))  # type: ignore[arg-type]
    assert (digest([one]) == digest([other])) is is_the_same
