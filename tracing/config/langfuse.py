"""Langfuse as a backend: its settings, and where spans, scores and recordings go for it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import Literal

from tracing.config.backends import (
    LANGFUSE_MEDIA,
    LANGFUSE_SCORES,
    OTLP_HTTP,
    Backend,
    CommonSettings,
)
from tracing.config.endpoints import (
    check_url,
    read_timeout,
    split_url,
    without_password,
)
from tracing.config.environment import Environment
from tracing.config.labels import TraceLabels, read_labels
from tracing.limits import TIMEOUT_SECONDS

Scores = bool | Literal["all"]

DIALECT = "tracing.dialects.langfuse:LangfuseDialect"
OTLP_PATH = "/api/public/otel"
MAX_RECORDING_BYTES = 200 * 2**20
RECORDINGS_NAME = "recordings"
"""The directory under TRACING_DIR where recordings wait to be uploaded."""

_CLOUD = "https://cloud.langfuse.com"


@dataclass(frozen=True, kw_only=True)
class Langfuse(TraceLabels):
    """A Langfuse project. What is not given comes from the variable that its field names."""

    public_key: str = ""
    """`pk-lf-...`; else LANGFUSE_PUBLIC_KEY."""
    secret_key: str = field(default="", repr=False)
    """`sk-lf-...`; else LANGFUSE_SECRET_KEY."""
    base_url: str = field(default="", repr=False)
    """Region or own server; else LANGFUSE_BASE_URL, LANGFUSE_HOST, https://cloud.langfuse.com."""
    timeout: float | None = None
    """Seconds for one request; else LANGFUSE_TIMEOUT, 10."""
    scores: Scores | None = None
    """Numbers of turns and calls that Langfuse charts: True for those that
    `tracing.dialects.scores` has on by default, "all", or False; else TRACING_SCORES, True."""
    recording: bool | None = None
    """Whether a session's audio is uploaded, unless content is withheld; else TRACING_RECORDING,
    False."""

    def resolve(self, env: Environment, *, is_only_one: bool) -> Langfuse:
        """The settings in force; problems go to `env`."""
        # Of several projects, the variables' keys are for the one that names no server itself.
        keys = env if is_only_one or not self.base_url else env.without_variables()
        public_key = self.public_key or keys.text("LANGFUSE_PUBLIC_KEY")
        secret_key = self.secret_key or keys.text("LANGFUSE_SECRET_KEY")
        base_url, source = _base_url(self.base_url, env)
        base_url, _ = without_password(base_url)
        _check_keys(public_key, secret_key, base_url, env.problems)
        check_url(base_url, source, _CLOUD, env.problems)
        return Langfuse(
            public_key=public_key,
            secret_key=secret_key,
            base_url=base_url,
            timeout=read_timeout(self.timeout, env, "LANGFUSE_TIMEOUT"),
            scores=_scores(self.scores, env),
            recording=env.flag_or(self.recording, "TRACING_RECORDING", default=False),
            **read_labels(self, env),
        )

    def backends(self, settings: CommonSettings, name: str) -> list[Backend]:
        """Its OTLP endpoint, and what it takes that is no span, each delivered by itself."""
        key_pair = f"{self.public_key}:{self.secret_key}".encode()
        authorization = "Basic " + base64.b64encode(key_pair).decode()
        spans = Backend(
            name=name,
            sender=OTLP_HTTP,
            url=f"{self.base_url}{OTLP_PATH}/v1/traces",
            headers={"Authorization": authorization, "x-langfuse-ingestion-version": "4"},
            tenant=self.public_key,
            timeout_seconds=self.timeout or TIMEOUT_SECONDS,
            proxy=settings.proxy_for(self.base_url),
            open_spans="roots",  # a call in progress is found and named; no usage is sent twice
            dialect=DIALECT,
            dialect_options=self.labels(),
            mend="check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, and that LANGFUSE_BASE_URL is "
            "the region or server that issued them",
        )
        beside = replace(
            spans,
            headers={"Authorization": authorization},
            compression="none",
            open_spans="none",
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


def _base_url(given: str, env: Environment) -> tuple[str, str]:
    """The server's base URL, however much of the OTLP path was given with it, and its source."""
    if given:
        url, source = str(given).strip(), "base_url="
    elif env.text("LANGFUSE_BASE_URL"):
        url, source = env.text("LANGFUSE_BASE_URL"), "LANGFUSE_BASE_URL"
    else:
        url, source = env.text("LANGFUSE_HOST") or _CLOUD, "LANGFUSE_HOST"
    for suffix in ("/v1/traces", OTLP_PATH):
        url = url.rstrip("/").removesuffix(suffix)
    return url.rstrip("/"), source


def _scores(given: object, env: Environment) -> Scores:
    accepted: dict[str, Scores] = {"true": True, "false": False, "all": "all"}
    if given is None:
        return accepted[env.choice("TRACING_SCORES", "true", tuple(accepted))]
    found = accepted.get(str(given).lower())
    if found is None:
        env.problems.append(f"scores is {given!r}: give True, False or 'all'")
    return found or False


def _check_keys(public: str, secret: str, base_url: str, problems: list[str]) -> None:
    if public.startswith("sk-") and secret.startswith("pk-"):
        problems.append("LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are swapped: exchange them")
        return
    parts = split_url(base_url)
    host = (parts.hostname if parts else "") or ""
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
