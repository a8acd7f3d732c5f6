"""How an endpoint is given: URL, timeout and certificates, checked one by one."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import Literal, Protocol, get_args
from urllib.parse import SplitResult, unquote, urlsplit

from tracing.config.environment import Environment
from tracing.limits import TIMEOUT_SECONDS

Compression = Literal["gzip", "none"]

_MOST_TIMEOUT_SECONDS = 600.0
_GRPC_PORT = 4317


class CertificateSettings(Protocol):
    """The files that settings name for TLS, by path."""

    @property
    def certificate(self) -> str | None:
        """A CA bundle."""

    @property
    def client_certificate(self) -> str | None:
        """A client's certificate."""

    @property
    def client_key(self) -> str | None:
        """Its key."""


def both(name: str) -> tuple[str, str]:
    """A variable for traces alone, and the one for every signal."""
    return f"OTEL_EXPORTER_OTLP_TRACES_{name}", f"OTEL_EXPORTER_OTLP_{name}"


def read_timeout(given: object, env: Environment, *variables: str) -> float:
    """Seconds for one request, as given or from the first variable that has a value."""
    most = _MOST_TIMEOUT_SECONDS  # what is above was meant as milliseconds
    if given is not None:
        return env.check_number("timeout=", given, TIMEOUT_SECONDS, most=most)
    return env.number(variables[0], TIMEOUT_SECONDS, *variables[1:], most=most)


def read_compression(given: object, env: Environment, *variables: str) -> Compression:
    """gzip or none, as given or from the first variable that has a value."""
    compression = str((env.text(*variables) or "gzip") if given is None else given).lower()
    if compression not in get_args(Compression):
        env.problems.append(f"compression is {compression!r}: give 'gzip' or 'none'")
    return "none" if compression == "none" else "gzip"


def without_password(url: str) -> tuple[str, dict[str, str]]:
    """A URL that may be shown, and the header that says what its user and password said."""
    parts = split_url(url)
    if parts is None or parts.username is None:
        return url, {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return shown, {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


@dataclass(frozen=True)
class Certificates:
    """Absolute paths of files that can be read; None for those that are not given."""

    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None


def read_certificates(asked: CertificateSettings, env: Environment) -> Certificates:
    """The files that settings name, else the OTLP variables; what is not there is a problem."""
    found = Certificates(
        _read_file("certificate=", asked.certificate, env, "CERTIFICATE"),
        _read_file("client_certificate=", asked.client_certificate, env, "CLIENT_CERTIFICATE"),
        _read_file("client_key=", asked.client_key, env, "CLIENT_KEY"),
    )
    if found.client_key and not found.client_certificate:
        env.problems.append("client_key= is given without client_certificate=: give both")
    return found


def _read_file(source: str, given: object, env: Environment, name: str) -> str | None:
    if not given:
        source, given = env.named(*both(name)), env.text(*both(name))
    path = os.path.expanduser(given) if isinstance(given, (str, os.PathLike)) else ""
    if given and not path:
        env.problems.append(f"{source} is a {type(given).__name__}: give the path of a file")
    elif path and not os.path.isfile(path):
        env.problems.append(f"{source} is {str(path)!r}: there is no such file; give its full path")
    elif path and not os.access(path, os.R_OK):
        env.problems.append(f"{source} is {str(path)!r}: this user may not read it; chmod it")
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


def check_port(url: str, source: str, env: Environment, *variables: str) -> None:
    """Note a problem for the port of gRPC, unless a variable says that it speaks HTTP."""
    parts = split_url(url)
    if parts is not None and parts.port == _GRPC_PORT and not env.text(*variables):
        env.problems.append(
            f"{source} has port {_GRPC_PORT}, where collectors speak gRPC: give the HTTP port, "
            f"4318 on most; if it does speak HTTP, set {variables[-1]}=http/protobuf"
        )
