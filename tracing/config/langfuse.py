"""Langfuse as a backend: its settings, and where spans, scores and recordings go for it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tracing.config.backends import (
    LANGFUSE_MEDIA,
    LANGFUSE_SCORES,
    OTLP_HTTP,
    Backend,
    CommonSettings,
)
from tracing.config.environment import Environment, as_flag, shown, unquoted
from tracing.config.http.endpoints import (
    Compression,
    both,
    check_url,
    read_certificates,
    read_compression,
    read_timeout,
    split_url,
    without_password,
)
from tracing.config.http.headers import read_headers
from tracing.config.labels import TraceLabels, read_labels
from tracing.limits import SETTLE_SECONDS, TIMEOUT_SECONDS
from tracing.places import RECORDINGS_NAME

Scores = bool | Literal["all"]

DIALECT = "tracing.dialects.langfuse:LangfuseDialect"
OTLP_PATH = "/api/public/otel"
MAX_RECORDING_BYTES = 200 * 2**20

_CLOUD = "https://cloud.langfuse.com"
_VERSION_HEADER = "x-langfuse-ingestion-version"
_OUR_HEADERS = ("authorization", _VERSION_HEADER)

_BELOW_BASE = re.compile(
    r"/(?:v1/traces|api/public|project|organization|auth|setup|onboarding)(?:/.*)?$"
)
"""What follows the base in a URL of Langfuse's API, or of a page copied from the browser."""


@dataclass(frozen=True, kw_only=True)
class Langfuse(TraceLabels):
    """A Langfuse project. What is not given comes from the variables that its field names; where
    an OTLP endpoint is chosen as well, OTEL_EXPORTER_OTLP_* are for that alone, and of several
    projects, the variables' keys are for one that names no `base_url`."""

    public_key: str = ""
    """`pk-lf-...`; else LANGFUSE_PUBLIC_KEY."""
    secret_key: str = field(default="", repr=False)
    """`sk-lf-...`; else LANGFUSE_SECRET_KEY."""
    base_url: str = field(default="", repr=False)
    """Region or own server; else LANGFUSE_BASE_URL, LANGFUSE_HOST, https://cloud.langfuse.com."""
    headers: Mapping[str, str] | str | None = field(default=None, repr=False)
    """Further headers, such as a proxy's in front of the server: a mapping, or
    `key=value,key=value`; else none."""
    compression: Compression | None = None
    """Packing; else LANGFUSE_OTEL_COMPRESSION, OTEL_EXPORTER_OTLP_[TRACES_]COMPRESSION, gzip."""
    timeout: float | None = None
    """Seconds for one request; else LANGFUSE_TIMEOUT, 10."""
    certificate: str | None = None
    """Path of a CA bundle; else OTEL_EXPORTER_OTLP_[TRACES_]CERTIFICATE, the system's."""
    client_certificate: str | None = None
    """Path of a client certificate; else OTEL_EXPORTER_OTLP_[TRACES_]CLIENT_CERTIFICATE, none."""
    client_key: str | None = None
    """Path of its key; else OTEL_EXPORTER_OTLP_[TRACES_]CLIENT_KEY, none."""
    sample_rate: float | None = None
    """Share of the traces that are sent, 0 to 1, the same for each trace as Langfuse's SDK would
    choose; else LANGFUSE_SAMPLE_RATE, 1."""
    scores: Scores | None = None
    """Numbers of turns and calls that Langfuse charts: True for those that
    `tracing.dialects.scores` has on by default, "all", or False; else TRACING_SCORES, True."""
    recording: bool | None = None
    """Whether a session's audio is uploaded, unless content is withheld; else TRACING_RECORDING,
    False."""
    log_events: bool | None = None
    """Whether warnings and errors that are logged are events of the span that was open, since
    Langfuse takes no log lines; else TRACING_LANGFUSE_LOG_EVENTS, False."""

    def resolve(self, env: Environment, *, is_only_one: bool) -> Langfuse:
        """The settings in force; problems go to `env`."""
        # Of several projects, the variables' keys are for the one that names no server itself.
        keys = env if is_only_one or not self.base_url else env.without_variables()
        public_key = env.check_text("public_key=", self.public_key)
        public_key = public_key or keys.text("LANGFUSE_PUBLIC_KEY")
        secret_key = env.check_text("secret_key=", self.secret_key)
        secret_key = secret_key or keys.text("LANGFUSE_SECRET_KEY")
        base_url, source = read_base_url(self.base_url, env)
        _check_keys(public_key, secret_key, base_url, env.problems)
        check_url(base_url, source, _CLOUD, env.problems)
        headers = read_headers({} if self.headers is None else self.headers, env)
        for name in headers:
            if name.lower() in _OUR_HEADERS:
                env.problems.append(
                    f"headers= holds {name!r}, which is made from the keys: leave it out"
                )
        files = read_certificates(self, env)
        return Langfuse(
            public_key=public_key,
            secret_key=secret_key,
            base_url=base_url,
            headers=headers,
            compression=read_compression(
                self.compression, env, "LANGFUSE_OTEL_COMPRESSION", *both("COMPRESSION")
            ),
            timeout=read_timeout(self.timeout, env, "LANGFUSE_TIMEOUT"),
            certificate=files.certificate,
            client_certificate=files.client_certificate,
            client_key=files.client_key,
            sample_rate=_sample_rate(self.sample_rate, env),
            scores=_scores(self.scores, env),
            recording=env.flag_or("recording=", self.recording, "TRACING_RECORDING", default=False),
            log_events=env.flag_or(
                "log_events=", self.log_events, "TRACING_LANGFUSE_LOG_EVENTS", default=False
            ),
            **read_labels(self, env),
        )

    def backends(self, settings: CommonSettings, name: str) -> list[Backend]:
        """Its OTLP endpoint, and what it takes that is no span, each delivered by itself."""
        key_pair = f"{self.public_key}:{self.secret_key}".encode()
        authorization = "Basic " + base64.b64encode(key_pair).decode()
        further = self.headers if isinstance(self.headers, Mapping) else {}
        spans = Backend(
            name=name,
            sender=OTLP_HTTP,
            url=f"{self.base_url}{OTLP_PATH}/v1/traces",
            headers={**further, "Authorization": authorization, _VERSION_HEADER: "4"},
            tenant=self.public_key,
            compression=self.compression or "gzip",
            timeout_seconds=self.timeout or TIMEOUT_SECONDS,
            certificate=self.certificate,
            client_certificate=self.client_certificate,
            client_key=self.client_key,
            sample_rate=1.0 if self.sample_rate is None else self.sample_rate,
            proxy=settings.proxy_for(self.base_url),
            open_spans="roots",  # a call in progress is found and named; no usage is sent twice
            settle_seconds=SETTLE_SECONDS,
            dialect=DIALECT,
            dialect_options=self.labels(),
            mend="check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, and that LANGFUSE_BASE_URL is "
            "the region or server that issued them",
        )
        beside = replace(
            spans,
            headers={**further, "Authorization": authorization},
            compression="none",
            open_spans="none",
            settle_seconds=0.0,
            beside=name,
        )
        wants_media = self.recording and settings.capture_content
        return [
            spans,
            *([self._scores(beside)] if self.scores is not False else []),
            *([self._media(beside, settings)] if wants_media else []),
        ]

    def _scores(self, beside: Backend) -> Backend:
        chosen = "all" if self.scores == "all" else "default"
        return replace(
            beside,
            name=f"{beside.name}-scores",
            sender=LANGFUSE_SCORES,
            sender_options={"chosen": chosen},
            url=f"{self.base_url}/api/public/scores",
            dialect="tracing.dialects.scores:scores_dialect",
            dialect_options={"environment": self.environment},
            carries="scores",
        )

    def _media(self, beside: Backend, settings: CommonSettings) -> Backend:
        return replace(
            beside,
            name=f"{beside.name}-media",
            sender=LANGFUSE_MEDIA,
            sender_options={
                "directory": str(settings.data_directory / RECORDINGS_NAME),
                "max_bytes": MAX_RECORDING_BYTES,
                # The local store keeps what its calls point to; else a file goes once uploaded.
                "keep": settings.has_store,
            },
            url=f"{self.base_url}/api/public/media",
            dialect="tracing.dialects.media:recordings_dialect",
            dialect_options={},
            carries="recordings",
        )


def is_of_cloud(url: str) -> bool:
    """Whether a URL is one of Langfuse Cloud's."""
    parts = split_url(url)
    host = (parts.hostname if parts else "") or ""
    return f".{host}".endswith(".langfuse.com")


def langfuse_behind(url: str, headers: Mapping[str, str]) -> Langfuse | None:
    """The project that an OTLP endpoint of Langfuse's and its Basic auth stand for; None if none.

    This is how Langfuse's documents set up other exporters.
    """
    base_url, found, _ = url.partition(OTLP_PATH)
    given = {name.lower(): value for name, value in headers.items()}
    scheme, _, credentials = given.pop("authorization", "").partition(" ")
    if not found or scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(credentials, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return None
    public_key, _, secret_key = pair.partition(":")
    given.pop(_VERSION_HEADER, None)
    return Langfuse(public_key=public_key, secret_key=secret_key, base_url=base_url, headers=given)


def read_base_url(given: object, env: Environment) -> tuple[str, str]:
    """The server's base URL, whichever of its pages and paths was given, and its source."""
    if given:
        url, source = env.check_text("base_url=", given), "base_url="
    elif env.text("LANGFUSE_BASE_URL"):
        url, source = env.text("LANGFUSE_BASE_URL"), "LANGFUSE_BASE_URL"
    else:
        url, source = env.text("LANGFUSE_HOST") or _CLOUD, "LANGFUSE_HOST"
    url, password = without_password(url)
    if password:
        env.problems.append(
            f"{source} holds a user and a password: leave them out, Langfuse goes by its keys"
        )
    url = re.split(r"[?#]", url, maxsplit=1)[0].rstrip("/")
    return _BELOW_BASE.sub("", url).rstrip("/"), source


def _sample_rate(given: object, env: Environment) -> float:
    if given is None:
        return env.number("LANGFUSE_SAMPLE_RATE", 1.0, zero=True, most=1.0)
    return env.check_number("sample_rate=", given, 1.0, zero=True, most=1.0)


def _scores(given: object, env: Environment) -> Scores:
    source, accepted = "scores", "True, False or 'all'"
    if given is None:
        source, accepted = "TRACING_SCORES", "true or false or all"
        given = env.text(source) or True
    if isinstance(given, str) and unquoted(given).lower() == "all":
        return "all"
    flag = as_flag(given)
    if flag is None:
        env.problems.append(f"{source} is {shown(given)}: give {accepted}")
    return bool(flag)


def _check_keys(public: str, secret: str, base_url: str, problems: list[str]) -> None:
    if public.startswith("sk-") and secret.startswith("pk-"):
        problems.append("LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are swapped: exchange them")
        return
    on_cloud = is_of_cloud(base_url)
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
        elif key.endswith("..."):
            problems.append(
                f"{name} is an example's: copy your own from Langfuse under Settings, API Keys"
            )
