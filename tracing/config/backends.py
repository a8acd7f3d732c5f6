"""One entry per backend: where to send, with which headers, in which dialect."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tracing.config.settings import LangfuseSettings, Settings

Transport = Literal["otlp_http", "sqlite", "console", "langfuse_scores", "langfuse_media"]

MAX_RECORDING_BYTES = 200 * 2**20
RECORDINGS_NAME = "recordings"
"""The directory under TRACING_DIR where recordings wait to be uploaded."""

OpenSpans = Literal["none", "roots", "all"]
"""Which spans a backend also gets while they are open: it must replace them by their end."""


@dataclass(frozen=True)
class Backend:
    """Everything the drainer needs to deliver to one backend; plain data, so it can be piped."""

    name: str
    transport: Transport
    url: str = ""
    """Where spans are posted (otlp_http), or the database's path (sqlite)."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    compression: Literal["gzip", "none"] = "gzip"
    timeout_seconds: float = 10.0
    certificate: str | None = None
    """Path of a CA bundle that replaces the system's."""
    client_certificate: str | None = None
    client_key: str | None = None
    proxy: str | None = field(default=None, repr=False)
    open_spans: OpenSpans = "none"
    dialect: str = ""
    dialect_options: Mapping[str, Any] = field(default_factory=dict)
    mend: str = ""
    """What to check when the backend refuses: names of settings, never their values."""
    carries: Literal["spans", "scores", "recordings"] = "spans"
    beside: str = ""
    """The backend whose tenant this goes to as well; empty for a backend of its own."""

    def identity(self) -> str:
        """What makes two configurations the same destination; never leaves the process."""
        return json.dumps([self.name, self.transport, self.url, self._tenant()])

    def _tenant(self) -> str:
        """Whose data these are at that address: Langfuse's public key, else the headers."""
        authorization = self.headers.get("Authorization", "")
        if self.name == "langfuse" and authorization.startswith("Basic "):
            return base64.b64decode(authorization[6:]).partition(b":")[0].decode()
        return json.dumps(sorted(self.headers.items()))


def fingerprint(backends: list[Backend]) -> str:
    """A short name for a set of destinations: spans for another set go to another spool.

    What goes beside a backend goes to its tenant, so switching that makes no other spool.
    """
    identities = "\n".join(sorted(backend.identity() for backend in backends if not backend.beside))
    return hashlib.sha256(identities.encode()).hexdigest()[:12]


def digest(backends: list[Backend]) -> str:
    """Tells whether two processes have the very same settings, credentials included."""
    return hashlib.sha256(dump(backends).encode()).hexdigest()[:16]


def dump(backends: list[Backend]) -> str:
    """JSON for the drainer's standard input; it holds credentials, so never a file."""
    return json.dumps([asdict(backend) for backend in backends])


def load(text: str) -> list[Backend]:
    """The inverse of `dump`."""
    return [Backend(**fields) for fields in json.loads(text)]


def _langfuse(settings: Settings) -> Backend:
    langfuse = settings.langfuse
    key_pair = f"{langfuse.public_key}:{langfuse.secret_key}".encode()
    return Backend(
        name="langfuse",
        transport="otlp_http",
        url=langfuse.traces_url,
        headers={
            "Authorization": "Basic " + base64.b64encode(key_pair).decode(),
            "x-langfuse-ingestion-version": "4",
        },
        timeout_seconds=langfuse.timeout_seconds,
        proxy=settings.proxy_for(langfuse.traces_url),
        open_spans="roots",  # a call in progress is found and named; no usage is sent twice
        dialect="langfuse",
        dialect_options=_langfuse_options(langfuse),
        mend="check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, and that LANGFUSE_BASE_URL is "
        "the region or server that issued them",
    )


def _langfuse_options(langfuse: LangfuseSettings) -> Mapping[str, Any]:
    """What its dialect says of every trace."""
    return {
        "trace_name": langfuse.trace_name,
        "tags": list(langfuse.tags),
        "environment": langfuse.environment,
        "release": langfuse.release,
        "version": langfuse.version,
        "cost": langfuse.cost,
    }


def _beside_langfuse(settings: Settings, spans: Backend) -> list[Backend]:
    """What Langfuse takes that is no span, each delivered and acknowledged by itself."""
    langfuse = settings.langfuse
    beside = replace(
        spans,
        headers={"Authorization": spans.headers["Authorization"]},
        compression="none",
        open_spans="none",
        beside=spans.name,
    )
    scores = replace(
        beside,
        name="langfuse-scores",
        transport="langfuse_scores",
        url=langfuse.scores_url,
        dialect="langfuse-scores",
        dialect_options={"chosen": langfuse.scores, "environment": langfuse.environment},
        carries="scores",
    )
    media = replace(
        beside,
        name="langfuse-media",
        transport="langfuse_media",
        url=langfuse.media_url,
        dialect="langfuse-media",
        dialect_options={
            "directory": str(settings.directory / RECORDINGS_NAME),
            "max_bytes": MAX_RECORDING_BYTES,
            # The local store keeps what its calls point to; else a file goes once it is uploaded.
            "keep": "local" in settings.backends,
        },
        carries="recordings",
    )
    wants_media = langfuse.recording and settings.capture_content
    return [scores] * (langfuse.scores != "none") + [media] * wants_media


def _otlp(settings: Settings) -> Backend:
    otlp = settings.otlp
    for_langfuse = otlp.dialect == "langfuse"
    return Backend(
        name="otlp",
        transport="otlp_http",
        url=otlp.traces_url,
        headers=dict(otlp.headers),
        compression=otlp.compression,
        timeout_seconds=otlp.timeout_seconds,
        certificate=otlp.certificate,
        client_certificate=otlp.client_certificate,
        client_key=otlp.client_key,
        proxy=settings.proxy_for(otlp.traces_url),
        dialect="langfuse" if for_langfuse else "",
        dialect_options=_langfuse_options(settings.langfuse) if for_langfuse else {},
        mend="check OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) and "
        "OTEL_EXPORTER_OTLP_HEADERS",
    )


def _local(settings: Settings) -> Backend:
    return Backend("local", "sqlite", url=str(settings.directory / "calls.db"), open_spans="all")


def _console(settings: Settings) -> Backend:
    return Backend("console", "console")


BUILDERS: Mapping[str, Callable[[Settings], Backend]] = {
    "langfuse": _langfuse,
    "otlp": _otlp,
    "local": _local,
    "console": _console,
}
"""A new backend is one entry here, one row in the README and one case in the tests."""


def backends_of(settings: Settings) -> list[Backend]:
    """Every destination that the settings name, and what goes beside it."""
    backends: list[Backend] = []
    for name in settings.backends:
        backend = BUILDERS[name](settings)
        backends.append(backend)
        if name == "langfuse":
            backends += _beside_langfuse(settings, backend)
    return backends
