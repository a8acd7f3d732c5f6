"""A backend as plain data: where spans go, by which sender, in which dialect.

The drainer gets it as JSON in another process, so senders and dialects are named by import path
(`package.module:name`) and imported there. This is also how an application adds a backend of its
own: see docs/backends.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

from tracing.config.environment import Environment
from tracing.limits import TIMEOUT_SECONDS

OTLP_HTTP = "tracing.deliver.senders.otlp_http:OtlpHttpSender"
SQLITE = "tracing.deliver.senders.local:LocalSender"
CONSOLE = "tracing.deliver.senders.console:ConsoleSender"
LANGFUSE_SCORES = "tracing.deliver.senders.langfuse_scores:ScoreSender"
LANGFUSE_MEDIA = "tracing.deliver.senders.langfuse_media:MediaSender"
OTLP_LOGS = "tracing.deliver.senders.otlp_logs:OtlpLogSender"
SQLITE_LOGS = "tracing.deliver.senders.local_logs:LocalLogSender"

LOG_LINES: Literal["log lines"] = "log lines"
"""What a backend `carries` that is given the log lines of calls, and no spans."""

STORE_NAME = "calls.db"
"""The local store's file under TRACING_DIR."""

_IN_SPOOL_NAMES = {OTLP_HTTP: "otlp_http", SQLITE: "sqlite", CONSOLE: "console"}
"""What stands for a sender in the name of a spool, so that no move of a module makes another."""

_DECISIVE = (
    *("name", "sender", "url", "headers", "compression", "proxy"),
    *("certificate", "client_certificate", "client_key"),
)
"""The settings of a backend on which it depends whether it takes what it is sent."""

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]*")

OpenSpans = Literal["none", "roots", "all"]
"""Which spans a backend also gets while they are open: it must replace them by their end."""


class CommonSettings(Protocol):
    """What destinations depend on that is no backend's own; `Settings` has it."""

    @property
    def directory(self) -> Path:
        """TRACING_DIR, absolute."""

    @property
    def data_directory(self) -> Path:
        """Where store, reports and recordings are: TRACING_DIR, or a private one below."""

    @property
    def capture_content(self) -> bool:
        """False where no content may leave the process."""

    @property
    def has_store(self) -> bool:
        """Whether the local store is one of the backends."""

    @property
    def logs(self) -> str:
        """From which level on the log lines of calls are recorded; "off" where none are."""

    def proxy_for(self, url: str) -> str | None:
        """The proxy for a URL."""


@dataclass(frozen=True)
class Backend:
    """Everything the drainer needs to deliver to one backend."""

    name: str
    """Names its acknowledgements, its state and its thread; unique in one set-up."""
    sender: str
    """Called with this backend and a `Tally`, gives a `Sender` (tracing.deliver.senders.sender)."""
    url: str = field(default="", repr=False)
    """Where spans are posted, or the local store's path."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tenant: str = ""
    """Whose data these are at that address; without one, the headers tell."""
    compression: Literal["gzip", "none"] = "gzip"
    timeout_seconds: float = TIMEOUT_SECONDS
    """For one request."""
    certificate: str | None = None
    """Path of a CA bundle that replaces the system's."""
    client_certificate: str | None = None
    client_key: str | None = None
    proxy: str | None = field(default=None, repr=False)
    open_spans: OpenSpans = "none"
    settle_seconds: float = 0.0
    """How long after its session began a call's first spans wait for the names that the
    application may still give it: a backend that files by session takes no second word."""
    sample_rate: float = 1.0
    """Share of the traces that it gets, 0 to 1; the trace's id decides, as in Langfuse's SDK."""
    dialect: str = ""
    """Called with `dialect_options`, gives a function from a span to the span that is sent, or to
    None for one that is not; without a dialect all spans are sent as they are."""
    dialect_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sender_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the sender takes from `backend.sender_options`; JSON, like all of this."""
    mend: str = ""
    """What to check when the backend refuses: names of settings, never their values."""
    carries: Literal["spans", "scores", "recordings", "log lines"] = "spans"
    beside: str = ""
    """The backend whose tenant this goes to as well; empty for a backend of its own."""

    def identity(self) -> str:
        """What makes two configurations the same destination; never leaves the process."""
        sender = _IN_SPOOL_NAMES.get(self.sender, self.sender)
        tenant = self.tenant or json.dumps(sorted(self.headers.items()))
        if self.client_certificate and not self.tenant:
            tenant += self.client_certificate
        return json.dumps([self.name, sender, self.url, tenant])

    def backends(self, settings: CommonSettings, name: str) -> list[Backend]:
        """Itself under this name, for an application may give one in place of settings."""
        return [replace(self, name=name)]

    def resolve(self, env: Environment, *, is_only_one: bool) -> Backend:
        """Itself without a password in its URL; nothing of it comes from variables.

        What its process could not use is a problem: names that cannot be imported, what is not
        JSON, a name that is no file's.
        """
        from tracing.config.http import endpoints  # not in the drainer's process
        from tracing.config.http.headers import read_headers

        plain = env.without_variables()
        headers = read_headers(self.headers, plain)
        endpoints.read_certificates(self, plain)
        endpoints.read_timeout(self.timeout_seconds, plain)
        endpoints.read_compression(self.compression, plain)
        plain.check_number("sample_rate=", self.sample_rate, 1.0, zero=True, most=1.0)
        env.problems += [f"backend {self.name!r} {problem}" for problem in self._problems()]
        url, password = endpoints.without_password(str(self.url))
        return replace(self, url=url, headers={**password, **headers})

    def _problems(self) -> Iterator[str]:
        if not _NAME.fullmatch(str(self.name)):
            yield "has a name that no file can have: give letters, digits, dots and dashes"
        try:
            dump([self])
        except (TypeError, ValueError) as error:
            yield f"is not JSON ({error}): give texts, numbers, lists and mappings"
        for path, options in ((self.sender, None), (self.dialect, self.dialect_options)):
            try:
                if path.startswith("__main__"):
                    raise ImportError("the drainer's process has another __main__")
                found = import_path(path) if path else None
                if found is not None and options is not None:
                    found(**options)
            except Exception as error:
                yield (
                    f"names {path!r}, which cannot be had ({error}): give 'package.module:name', "
                    "and of a dialect the options that it takes"
                )


class BackendSettings(Protocol):
    """What `setup_tracer` takes for one backend: as it was asked for, and as it is in force."""

    def resolve(self, env: Environment, *, is_only_one: bool) -> BackendSettings:
        """The settings in force: what is not given comes from variables; problems go to `env`.

        `is_only_one` tells whether no other backend of this kind was asked for.
        """

    def backends(self, settings: CommonSettings, name: str) -> list[Backend]:
        """Where its spans go, under a name, and what goes beside them."""


def import_path(path: str) -> Any:
    """What `package.module:name` names; raises ImportError, AttributeError or ValueError."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def fingerprint(backends: list[Backend]) -> str:
    """A short name for a set of destinations: spans for another set go to another spool.

    What goes beside a backend goes to its tenant, so switching that makes no other spool.
    """
    identities = "\n".join(sorted(backend.identity() for backend in backends if not backend.beside))
    return hashlib.sha256(identities.encode()).hexdigest()[:12]


def labels_of(backends: list[Backend]) -> dict[str, Any]:
    """What an agent's calls are labelled with, by backend, as its segments carry it."""
    return {
        backend.name: {"dialect": backend.dialect, "options": dict(backend.dialect_options)}
        for backend in backends
        if backend.dialect
    }


def digest(backends: list[Backend]) -> str:
    """What is the same for settings by which the same is delivered: addresses, credentials.

    Whatever else an agent says of its calls, its tags for one, makes it no other.
    """
    decisive = [[getattr(backend, name) for name in _DECISIVE] for backend in backends]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def dump(backends: list[Backend]) -> str:
    """JSON for the drainer's standard input; it holds credentials, so never a file."""
    return json.dumps([asdict(backend) for backend in backends])


def parse(text: str) -> list[Backend]:
    """The inverse of `dump`."""
    return [Backend(**fields) for fields in json.loads(text)]
