"""Whose data a backend gets, told without a secret; and which of its settings are secrets.

A tenant is who its key says. Spans that wait for one are delivered with other settings only
where these are the same tenant's: see `tracing.deliver.adoption`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from tracing.config.backends import Backend

_TENANT_HEADER = re.compile(
    r"(.*[-_])?(tenant|org|orgid|organi[sz]ation|account|customer|workspace)([-_]?id)?", re.I
)
"""A header that says whose data these are and opens nothing, such as X-Scope-OrgID."""
_SECRET_HEADER = re.compile(r"auth|key|token|secret|passw|cookie|credential|dsn|signature", re.I)
_LONG = 8
"""A value of so many characters is taken for a secret, whatever its header is called."""
_GENERATED_KEY = re.compile(r"[a-z-]*[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A public key that Langfuse made up: there is no second one, on no server."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


def tenant_of(backend: Backend) -> str:
    """Who the backend's key and address say: the same text for the same tenant, no secret.

    A public key, a tenant header or the user of a Basic authorization, and the host; a secret
    tells only itself, as a hash, where nothing else tells. Empty for what has no address.
    """
    if _GENERATED_KEY.fullmatch(backend.tenant):
        return backend.tenant
    headers = dict(sorted((name.lower(), value) for name, value in backend.headers.items()))
    said = [backend.tenant] if backend.tenant else [*_named(headers)]
    secrets = [] if said else [*_credentials(backend)]
    if secrets:
        said = [f"key {hashlib.sha256(json.dumps(secrets).encode()).hexdigest()[:12]}"]
    if not backend.tenant:
        said += [f"{name} {value}" for name, value in headers.items() if _is_plain(name, value)]
    return " at ".join(filter(None, (", ".join(said), _host(backend.url))))


def secrets_of(backend: Backend) -> Iterator[str]:
    """What of a backend's settings must not leave in words."""
    yield from secret_headers(backend.headers)
    yield from url_secrets(backend.url)
    yield from url_secrets(backend.proxy or "")


def secret_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """The values of headers that may open something."""
    for name, value in headers.items():
        if not _names_tenant(name) and not _is_plain(name, value):
            yield value


def url_secrets(url: str) -> Iterator[str]:
    """User, password and the values of the query of a URL, also of one that cannot be read."""
    rest = url.partition("://")[2] or url
    if "@" in rest:
        pair = rest.rpartition("@")[0]
        password = pair.partition(":")[2]
        yield from (pair, unquote(pair), password, unquote(password))
    query = rest.partition("?")[2]
    if query:
        yield from (query, *(value for _, value in parse_qsl(query)))


def _named(headers: Mapping[str, str]) -> Iterator[str]:
    """What headers say of their tenant."""
    for name, value in headers.items():
        if name == "authorization" and (user := _basic_user(value)):
            yield f"user {user}"
        elif _names_tenant(name):
            yield f"{name} {value}"


def _names_tenant(header: str) -> bool:
    return bool(_TENANT_HEADER.fullmatch(header)) and not _SECRET_HEADER.search(header)


def _is_plain(header: str, value: str) -> bool:
    """Whether a header neither opens anything nor says whose the data are."""
    is_short = len(value) < _LONG and not _SECRET_HEADER.search(header)
    return is_short and not _names_tenant(header)


def _credentials(backend: Backend) -> Iterable[str]:
    """What only a tenant has, where nothing names it."""
    yield from sorted(secret_headers(backend.headers))
    yield from sorted(url_secrets(backend.url))
    if backend.client_certificate:
        yield backend.client_certificate


def _basic_user(authorization: str) -> str:
    """The user of a Basic authorization, unless it is the secret itself, without a password."""
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return ""
    return user if len(password) >= _LONG else ""


def _host(url: str) -> str:
    """Host and port, the port only where it is none of HTTP's own; "" for what is no URL."""
    parts, port = _parts(url)
    if parts is None or not parts.hostname:
        return ""
    shown = parts.hostname.lower()
    return shown if port in (None, *_DEFAULT_PORTS.values()) else f"{shown}:{port}"


def _parts(url: str) -> tuple[SplitResult | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        return None, None
