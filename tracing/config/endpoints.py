"""How an endpoint is given: URL, headers, timeout and certificates, checked one by one."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from opentelemetry.util.re import parse_env_headers

from tracing.config.environment import Environment
from tracing.limits import TIMEOUT_SECONDS

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_ENTRY = re.compile(rf"{_HEADER_NAME.pattern}\s*=[^\x00-\x1f\x7f-\U0010ffff\";\\]*")
"""A header as `parse_env_headers` takes it."""


def both(name: str) -> tuple[str, str]:
    """A variable for traces alone, and the one for every signal."""
    return f"OTEL_EXPORTER_OTLP_TRACES_{name}", f"OTEL_EXPORTER_OTLP_{name}"


def read_timeout(given: object, env: Environment, *variables: str) -> float:
    """Seconds for one request, as given or from the first variable that has a value."""
    if given is not None:
        return env.check_number("timeout=", given, TIMEOUT_SECONDS)
    return env.number(variables[0], TIMEOUT_SECONDS, *variables[1:])


def read_headers(given: object, env: Environment, *variables: str) -> dict[str, str]:
    """Headers from a mapping, or from a list whose values may be URL-encoded or not."""
    source = env.named(*variables) if given is None else "headers="
    headers = env.text(*variables) if given is None else given
    if isinstance(headers, str):
        if any("=" not in entry for entry in headers.split(",") if entry.strip()):
            env.problems.append(f"{source} has an entry without '=': give key=value,key=value")
            return {}
        if not all(map(_ENTRY.fullmatch, filter(None, map(str.strip, headers.split(","))))):
            # Not shown, as OpenTelemetry's parser would in its log: it may be a secret.
            env.problems.append(
                f"{source} has an entry that is no key=value: give key=value,key=value, "
                "each value URL-encoded"
            )
            return {}
        headers = parse_env_headers(headers, liberal=True)
    if not isinstance(headers, Mapping):
        what = type(headers).__name__
        env.problems.append(f"{source} is a {what}: give a mapping, or key=value,key=value")
        return {}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(str(name)):  # not shown, for it may be a part of a secret
            env.problems.append(
                f"{source} has an entry whose name no header can have: give key=value,key=value"
            )
        elif not str(value).isprintable() or not str(value).isascii():
            env.problems.append(
                f"{source} holds for {name!r} what HTTP cannot carry: copy it again"
            )
    return {str(name): str(value) for name, value in headers.items()}


def without_password(url: str) -> tuple[str, dict[str, str]]:
    """A URL that may be shown, and the header that says what its user and password said."""
    parts = split_url(url)
    if parts is None or parts.username is None:
        return url, {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return shown, {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def read_file(source: str, given: str | None, env: Environment, name: str) -> str | None:
    """The absolute path of a file, as given under an argument or in an OTLP variable."""
    if given:
        return _checked_file(source, str(given), env)
    return _checked_file(env.named(*both(name)), env.text(*both(name)), env)


def _checked_file(source: str, path: str, env: Environment) -> str | None:
    if path and not os.path.isfile(path):
        env.problems.append(f"{source} is {path!r}: there is no such file; give its full path")
    return os.path.abspath(path) if path else None


def split_url(url: str) -> SplitResult | None:
    """The parts of a URL; None where it is none."""
    try:
        parts = urlsplit(url)
        return parts if parts.port != 0 else None
    except ValueError:
        return None


def check_url(url: str, source: str, example: str, problems: list[str]) -> None:
    """Note a problem for what is no URL of an HTTP server; a password is not shown."""
    parts = split_url(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        shown = url if "@" not in url else "..." + url.rpartition("@")[2]
        problems.append(f"{source} is {shown!r}: give a URL with its scheme, such as {example}")
