"""Environment and arguments -> one frozen `Settings`; the only reader of `os.environ`.

Precedence, everywhere: an argument of `setup_tracer`, then our own variable (`TRACING_*`),
then the vendor's (`LANGFUSE_*`), then `OTEL_*`, then the default. An empty value is no value.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from opentelemetry.util.re import parse_env_headers

BackendName = Literal["langfuse", "otlp", "local", "console"]
BACKEND_NAMES: tuple[str, ...] = get_args(BackendName)

VARIABLES: Mapping[str, str] = {
    "TRACING_BACKEND": "langfuse, otlp, local, console, or several with commas",
    "TRACING_DIR": "where the spool and the local store live; default .tracing",
    "TRACING_CAPTURE_CONTENT": "false: no transcripts, messages, tool payloads leave the process",
    "TRACING_INPUT_DELTA": "true: each LLM call records only the messages new since the last one",
    "TRACING_SPOOL_MIB": "disk that undelivered spans may take, in MiB; default 256",
    "TRACING_MAX_AGE_DAYS": "undelivered spans are dropped after so many days; default 7",
    "TRACING_DRAINER": "process (default) or thread: where spans are delivered from",
    "TRACING_STOP_SECONDS": "what a stopping worker gives the drain; default 5",
    "LANGFUSE_PUBLIC_KEY": "pk-lf-...",
    "LANGFUSE_SECRET_KEY": "sk-lf-...",
    "LANGFUSE_BASE_URL": "region or own server; default https://cloud.langfuse.com",
    "LANGFUSE_HOST": "the older name of LANGFUSE_BASE_URL",
    "LANGFUSE_TRACING_ENVIRONMENT": "Langfuse environment of the traces, such as production",
    "LANGFUSE_RELEASE": "release of your agent",
    "LANGFUSE_TIMEOUT": "seconds for one request; default 10",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "base URL; /v1/traces is appended",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "full URL, taken as it is",
    "OTEL_EXPORTER_OTLP_HEADERS": "key=value,key=value",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf is the only one spoken",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip (default) or none",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "seconds for one request; default 10",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "path of a CA bundle",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "path of a client certificate",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY": "path of the client certificate's key",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": "the same, for traces alone",
    "OTEL_SDK_DISABLED": "true: record nothing",
}
"""Every variable that is read here, with what it takes. The OpenTelemetry SDK itself reads
OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES and OTEL_TRACES_SAMPLER(_ARG)."""

_LANGFUSE_CLOUD = "https://cloud.langfuse.com"


class ConfigError(ValueError):
    """Settings that cannot work: every problem with its mend, and never a secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  - {problem}" for problem in problems)
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        super().__init__(f"tracing cannot be set up, {count}:{lines}")


@dataclass(frozen=True)
class LangfuseSettings:
    """Where Langfuse is, and what is said of every trace."""

    public_key: str = ""
    secret_key: str = field(default="", repr=False)
    base_url: str = _LANGFUSE_CLOUD
    timeout_seconds: float = 10.0
    trace_name: str | None = None
    tags: tuple[str, ...] = ()
    environment: str | None = None
    release: str | None = None

    @property
    def traces_url(self) -> str:
        """Langfuse's OTLP endpoint for traces."""
        return f"{self.base_url}/api/public/otel/v1/traces"


@dataclass(frozen=True)
class OtlpSettings:
    """An OTLP/HTTP endpoint."""

    traces_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    compression: Literal["gzip", "none"] = "gzip"
    timeout_seconds: float = 10.0
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None


@dataclass(frozen=True)
class Settings:
    """Everything that was decided before the first span."""

    backends: tuple[BackendName, ...]
    chosen_by: str
    """Why these backends: the argument or variable that said so."""
    directory: Path
    langfuse: LangfuseSettings = LangfuseSettings()
    otlp: OtlpSettings = OtlpSettings()
    capture_content: bool = True
    input_delta: bool = False
    spool_bytes: int = 256 * 2**20
    max_age_seconds: float = 7 * 86400.0
    drainer: Literal["process", "thread"] = "process"
    stop_seconds: float = 5.0
    disabled: bool = False
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)

    def proxy_for(self, url: str) -> str | None:
        """The proxy for a URL, by the usual HTTPS_PROXY and NO_PROXY rules."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if urllib.request.proxy_bypass_environment(host, dict(self.proxies)):  # type: ignore[attr-defined]
            return None
        return self.proxies.get(parts.scheme)


def load_settings(
    backend: str | Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    **arguments: Any,
) -> Settings:
    """Read arguments and environment; raises one ConfigError that lists every problem.

    `arguments` are those of `setup_tracer` that are settings; None means not given.
    """
    env = _Environment(os.environ if environ is None else environ)
    given = {name: value for name, value in arguments.items() if value is not None}
    names, chosen_by = _backends(backend, given, env)
    settings = Settings(
        backends=names,
        chosen_by=chosen_by,
        directory=Path(given.get("directory") or env.text("TRACING_DIR") or ".tracing").absolute(),
        langfuse=_langfuse(given, env) if "langfuse" in names else LangfuseSettings(),
        otlp=_otlp(given, env) if "otlp" in names else OtlpSettings(),
        capture_content=bool(
            given.get("capture_content", env.flag("TRACING_CAPTURE_CONTENT", default=True))
        ),
        input_delta=env.flag("TRACING_INPUT_DELTA", default=False),
        spool_bytes=int(env.number("TRACING_SPOOL_MIB", 256.0) * 2**20),
        max_age_seconds=env.number("TRACING_MAX_AGE_DAYS", 7.0) * 86400,
        drainer=env.choice("TRACING_DRAINER", "process", ("process", "thread")),
        stop_seconds=env.number("TRACING_STOP_SECONDS", 5.0),
        disabled=env.flag("OTEL_SDK_DISABLED", default=False),
        proxies=urllib.request.getproxies_environment(),
    )
    if env.problems:
        raise ConfigError(env.problems)
    return settings


class _Environment:
    """Reads variables and gathers the problems found while doing so."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, *names: str) -> str:
        """The first of these variables that has a value; "" where none has."""
        assert all(name in VARIABLES for name in names), names
        return next((value for name in names if (value := self._environ.get(name, "").strip())), "")

    def number(self, name: str, default: float, *more: str) -> float:
        """A positive number; anything else is a problem."""
        text = self.text(name, *more)
        try:
            value = float(text or default)
        except ValueError:
            value = -1.0
        if value > 0 or (value == 0 and name == "TRACING_STOP_SECONDS"):
            return value
        self.problems.append(f"{name} is {text!r}: give a positive number, such as {default:g}")
        return default

    def flag(self, name: str, *, default: bool) -> bool:
        """true or false; anything else is a problem."""
        text = self.text(name).lower()
        if text in ("true", "1", "yes", "on"):
            return True
        if text in ("false", "0", "no", "off"):
            return False
        if text:
            self.problems.append(f"{name} is {text!r}: give true or false")
        return default

    def choice(self, name: str, default: Any, accepted: Sequence[str]) -> Any:
        """One of a closed set; anything else is a problem."""
        text = self.text(name).lower() or default
        if text in accepted:
            return text
        self.problems.append(f"{name} is {text!r}: give {' or '.join(accepted)}")
        return default


def _backends(
    backend: str | Sequence[str] | None, given: Mapping[str, Any], env: _Environment
) -> tuple[tuple[BackendName, ...], str]:
    """The backends' names, and who chose them."""
    chosen: Sequence[str]
    if backend is not None:
        chosen, chosen_by = [backend] if isinstance(backend, str) else list(backend), "backend="
    elif env.text("TRACING_BACKEND"):
        chosen, chosen_by = env.text("TRACING_BACKEND").split(","), "TRACING_BACKEND"
    elif {"public_key", "secret_key"} & given.keys():
        chosen, chosen_by = ["langfuse"], "public_key="
    elif env.text("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"):
        chosen, chosen_by = ["langfuse"], "LANGFUSE_PUBLIC_KEY"
    elif "endpoint" in given:
        chosen, chosen_by = ["otlp"], "endpoint="
    elif env.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        chosen, chosen_by = ["otlp"], "OTEL_EXPORTER_OTLP_ENDPOINT"
    else:
        chosen, chosen_by = ["local"], "no Langfuse keys and no OTLP endpoint are set"
    names = list(dict.fromkeys(str(name).strip().lower() for name in chosen))
    unknown = [name for name in names if name not in BACKEND_NAMES]
    if unknown or not names:
        what = ", ".join(map(repr, unknown)) or "an empty list"
        accepted = ", ".join(map(repr, BACKEND_NAMES))
        env.problems.append(f"backend is {what}: give one of {accepted}, or a list of them")
    return tuple(name for name in names if name not in unknown), chosen_by  # type: ignore[misc]


def _langfuse(given: Mapping[str, Any], env: _Environment) -> LangfuseSettings:
    public_key = given.get("public_key") or env.text("LANGFUSE_PUBLIC_KEY")
    secret_key = given.get("secret_key") or env.text("LANGFUSE_SECRET_KEY")
    base_url, source = _langfuse_url(given, env)
    _check_langfuse_keys(public_key, secret_key, base_url, env.problems)
    _check_url(base_url, source, "https://cloud.langfuse.com", env.problems)
    return LangfuseSettings(
        public_key=public_key,
        secret_key=secret_key,
        base_url=base_url,
        timeout_seconds=float(given.get("timeout") or env.number("LANGFUSE_TIMEOUT", 10.0)),
        trace_name=given.get("trace_name"),
        tags=tuple(given.get("tags") or ()),
        environment=given.get("environment") or env.text("LANGFUSE_TRACING_ENVIRONMENT") or None,
        release=given.get("release") or env.text("LANGFUSE_RELEASE") or None,
    )


def _langfuse_url(given: Mapping[str, Any], env: _Environment) -> tuple[str, str]:
    """The server's base URL, however much of the OTLP path was given with it, and its source."""
    if given.get("base_url"):
        url, source = str(given["base_url"]).strip(), "base_url="
    elif env.text("LANGFUSE_BASE_URL"):
        url, source = env.text("LANGFUSE_BASE_URL"), "LANGFUSE_BASE_URL"
    else:
        url, source = env.text("LANGFUSE_HOST") or _LANGFUSE_CLOUD, "LANGFUSE_HOST"
    for suffix in ("/v1/traces", "/api/public/otel"):
        url = url.rstrip("/").removesuffix(suffix)
    return url.rstrip("/"), source


def _check_langfuse_keys(public: str, secret: str, base_url: str, problems: list[str]) -> None:
    if public.startswith("sk-") and secret.startswith("pk-"):
        problems.append("LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are swapped: exchange them")
        return
    host = urlsplit(base_url).hostname or ""
    on_cloud = host == "langfuse.com" or host.endswith(".langfuse.com")
    for name, key, prefix, other in (
        ("LANGFUSE_PUBLIC_KEY", public, "pk-lf-", "sk-"),
        ("LANGFUSE_SECRET_KEY", secret, "sk-lf-", "pk-"),
    ):
        if not key:
            argument = name.removeprefix("LANGFUSE_").lower()
            problems.append(
                f"{name} is not set: set it, or pass {argument}=; "
                "the key pair is in Langfuse under Settings, API Keys"
            )
        elif key.startswith(other) or (on_cloud and not key.startswith(prefix)):
            problems.append(
                f"{name} is of the wrong kind: it has to begin with {prefix!r}; "
                "copy it from Langfuse under Settings, API Keys"
            )
        elif not key.isascii() or any(character.isspace() for character in key):
            problems.append(f"{name} holds spaces or other foreign characters: copy it again")


def _otlp(given: Mapping[str, Any], env: _Environment) -> OtlpSettings:
    def text(name: str) -> str:
        return env.text(f"OTEL_EXPORTER_OTLP_TRACES_{name}", f"OTEL_EXPORTER_OTLP_{name}")

    compression = str(given.get("compression") or text("COMPRESSION") or "gzip").lower()
    if compression not in ("gzip", "none"):
        env.problems.append(f"compression is {compression!r}: give 'gzip' or 'none'")
    protocol = text("PROTOCOL") or "http/protobuf"
    if protocol != "http/protobuf":
        env.problems.append(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}: only 'http/protobuf' is spoken; "
            "unset it and give the HTTP endpoint (port 4318 on most collectors)"
        )
    return OtlpSettings(
        traces_url=_otlp_url(given, env),
        headers=_headers(given, text("HEADERS")),
        compression="none" if compression == "none" else "gzip",
        timeout_seconds=float(given.get("timeout") or 0.0)
        or env.number("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", 10.0, "OTEL_EXPORTER_OTLP_TIMEOUT"),
        certificate=_file(given.get("certificate") or text("CERTIFICATE"), "CERTIFICATE", env),
        client_certificate=_file(text("CLIENT_CERTIFICATE"), "CLIENT_CERTIFICATE", env),
        client_key=_file(text("CLIENT_KEY"), "CLIENT_KEY", env),
    )


def _otlp_url(given: Mapping[str, Any], env: _Environment) -> str:
    """The URL for traces: an argument or base endpoint gets /v1/traces, a traces endpoint not."""
    if given.get("endpoint"):
        source, url = "endpoint=", str(given["endpoint"]).strip().rstrip("/")
        url = url if url.endswith("/v1/traces") else f"{url}/v1/traces"
    elif url := env.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        source = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    elif url := env.text("OTEL_EXPORTER_OTLP_ENDPOINT"):
        source, url = "OTEL_EXPORTER_OTLP_ENDPOINT", f"{url.rstrip('/')}/v1/traces"
    else:
        env.problems.append(
            "OTEL_EXPORTER_OTLP_ENDPOINT is not set: set it, or pass endpoint=, "
            "such as http://127.0.0.1:4318"
        )
        return ""
    _check_url(url, source, "http://127.0.0.1:4318", env.problems)
    return url


def _headers(given: Mapping[str, Any], text: str) -> dict[str, str]:
    """Headers from a mapping, or from a list whose values may be URL-encoded or not."""
    headers = given.get("headers", text)
    if isinstance(headers, str):
        return dict(parse_env_headers(headers, liberal=True))
    return {str(name): str(value) for name, value in headers.items()}


def _file(path: str, variable: str, env: _Environment) -> str | None:
    if path and not os.path.isfile(path):
        env.problems.append(
            f"OTEL_EXPORTER_OTLP_{variable} is {path!r}: there is no such file; give its full path"
        )
    return os.path.abspath(path) if path else None


def _check_url(url: str, source: str, example: str, problems: list[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = url if "@" not in url else "..." + url.rpartition("@")[2]
        problems.append(f"{source} is {shown!r}: give a URL with its scheme, such as {example}")


Mask = Callable[[str], str]
"""What a user's `mask` is: text of an attribute in, text that may leave the process out."""
