"""The proxy that a backend is reached by: as `requests` chooses it, and checked at set-up."""

from __future__ import annotations

import os

import pytest
import requests

from tracing.config.load import load_settings
from tracing.config.settings import ConfigError, backends_of

HTTPS = "https://cloud.langfuse.com/x"

CASES: list[tuple[dict[str, str], str, str | None]] = [
    ({}, HTTPS, None),
    ({"HTTPS_PROXY": "http://proxy:3128"}, HTTPS, "http://proxy:3128"),
    ({"https_proxy": "http://proxy:3128"}, HTTPS, "http://proxy:3128"),
    ({"HTTPS_PROXY": "http://proxy:3128"}, "http://a.example/x", None),
    ({"HTTP_PROXY": "http://proxy:3128"}, "http://a.example/x", "http://proxy:3128"),
    ({"HTTPS_PROXY": "proxy:3128"}, HTTPS, "http://proxy:3128"),
    ({"HTTPS_PROXY": "http://me:word@proxy:3128"}, HTTPS, "http://me:word@proxy:3128"),
    ({"HTTPS_PROXY": "me:word@proxy:3128"}, HTTPS, "http://me:word@proxy:3128"),
    ({"ALL_PROXY": "http://all:1"}, HTTPS, "http://all:1"),
    ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://proxy:1"}, HTTPS, "http://proxy:1"),
    ({"ALL_PROXY": "http://all:1", "NO_PROXY": "*"}, HTTPS, None),
    ({"ALL_PROXY": "http://all:1", "NO_PROXY": "langfuse.com"}, HTTPS, None),
    ({"ALL_PROXY": "http://all:1", "NO_PROXY": "x, .langfuse.com"}, HTTPS, None),
    ({"ALL_PROXY": "http://all:1", "NO_PROXY": "fuse.com"}, HTTPS, "http://all:1"),
    ({"ALL_PROXY": "http://all:1", "NO_PROXY": "10.0.0.0/8"}, "http://10.1.2.3:4318/", None),
    ({"ALL_PROXY": "http://all:1", "NO_PROXY": "10.0.0.0/8"}, "http://11.1.2.3/", "http://all:1"),
    ({"ALL_PROXY": "http://all:1", "NO_PROXY": "10.1.2.3"}, "http://10.1.2.3:4318/", None),
    ({"ALL_PROXY": "http://all:1", "NO_PROXY": "tempo:4318"}, "http://tempo:4318/", None),
    ({"ALL_PROXY": "http://all:1", "NO_PROXY": "tempo:4317"}, "http://tempo:4318/", "http://all:1"),
    ({"ALL_PROXY": "http://all:1", "NO_PROXY": "localhost"}, "http://localhost:4318/", None),
]


@pytest.mark.parametrize(("variables", "url", "proxy"), CASES)
def test_proxy_is_the_one_that_requests_takes(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, proxy: str | None
) -> None:
    """By scheme, for all, but for names, networks and ports; the environment stays as it is."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    assert load_settings(environ={}).proxy_for(url) == proxy
    taken = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    assert (taken or "").rpartition("://")[2] == (proxy or "").rpartition("://")[2]
    assert dict(os.environ) == before


def test_password_of_a_proxy_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by settings nor by a backend."""
    monkeypatch.setenv("ALL_PROXY", "http://me:very-secret@proxy:3128")
    settings = load_settings("otlp", endpoint="http://tempo:4318", environ={})
    found = backends_of(settings)
    assert [backend.proxy for backend in found] == ["http://me:very-secret@proxy:3128"] * 2
    assert "very-secret" not in f"{settings!r} {found!r}"


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("socks5://me:very-secret@proxy:1080", "socks5://proxy:1080"),
        ("http://me:very-secret@proxy:port", "http://proxy:port"),
        ("http://", "http://"),
        ("ftp://proxy", "ftp://proxy"),
    ],
)
def test_proxy_that_cannot_be_used_is_told_at_set_up(
    monkeypatch: pytest.MonkeyPatch, proxy: str, shown: str
) -> None:
    """Once for all backends, with the mend and without its password."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ConfigError) as caught:
        load_settings(["langfuse", "local"], public_key="pk-lf-1", secret_key="sk-lf-1", environ={})
    assert caught.value.problems == (
        f"the proxy is {shown!r}: give HTTPS_PROXY, HTTP_PROXY or ALL_PROXY as "
        "http://host:port, or name the backend's host in NO_PROXY",
    )


def test_proxy_that_nobody_goes_by_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set for others is theirs."""
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy:1080")
    monkeypatch.setenv("NO_PROXY", "tempo")
    found = backends_of(load_settings("otlp", endpoint="http://tempo:4318", environ={}))
    assert [backend.proxy for backend in found] == [None, None]
