"""The set-ups that the suite compares: today's two, ours, and none at all."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

PUBLIC_KEY, SECRET_KEY = "pk-lf-test", "sk-lf-test"


@dataclass(frozen=True)
class Target:
    """Where a contender sends to."""

    base_url: str
    secret_key: str = SECRET_KEY
    second_url: str = ""
    """Another backend, for the row with two."""

    @property
    def traces_url(self) -> str:
        """The OTLP endpoint, path and all."""
        return f"{self.base_url}/v1/traces"

    @property
    def authorization(self) -> str:
        """The Basic credentials that Langfuse asks for."""
        pair = f"{PUBLIC_KEY}:{self.secret_key}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


@dataclass(frozen=True)
class Installed:
    """A contender in place: what a user of it holds in hand."""

    provider: object
    """An SDK TracerProvider, or None."""
    flush: Callable[[], object]
    """What its documentation tells the user to call at the end."""


def set_up_nothing(target: Target) -> Installed:
    """LiveKit alone: what starting and leaving costs without tracing."""
    import livekit.agents.telemetry  # noqa: F401

    return Installed(None, lambda: None)


def set_up_docs(target: Target) -> Installed:
    """LiveKit's documentation: a TracerProvider with a batch processor."""
    from livekit.agents.telemetry import set_tracer_provider
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    headers = {"Authorization": target.authorization}
    exporter = OTLPSpanExporter(endpoint=target.traces_url, headers=headers)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    set_tracer_provider(provider)
    return Installed(provider, provider.force_flush)


def set_up_langfuse(target: Target) -> Installed:
    """Langfuse's SDK, told to send LiveKit's spans."""
    from langfuse import Langfuse
    from livekit.agents.telemetry import set_tracer_provider
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider()
    client = Langfuse(
        public_key=PUBLIC_KEY,
        secret_key=target.secret_key,
        base_url=target.base_url,
        tracer_provider=provider,
        should_export_span=lambda span: True,
    )
    set_tracer_provider(provider)
    return Installed(provider, client.flush)


def set_up_ours(target: Target) -> Installed:
    """`setup_tracer` with an OTLP endpoint, and nothing else."""
    from tracing import setup_tracer

    headers = {"Authorization": target.authorization}
    tracing = setup_tracer(backend="otlp", endpoint=target.traces_url, headers=headers)
    return Installed(tracing.provider, tracing.provider.force_flush)


def set_up_ours_langfuse(target: Target) -> Installed:
    """`setup_tracer` with Langfuse, and nothing else."""
    from tracing import setup_tracer

    tracing = setup_tracer(
        backend="langfuse",
        base_url=target.base_url,
        public_key=PUBLIC_KEY,
        secret_key=target.secret_key,
    )
    return Installed(tracing.provider, tracing.provider.force_flush)


def set_up_ours_twice(target: Target) -> Installed:
    """`setup_tracer` with two backends at once."""
    from tracing import setup_tracer

    tracing = setup_tracer(
        backend=["otlp", "langfuse"],
        endpoint=target.traces_url,
        base_url=target.second_url,
        public_key=PUBLIC_KEY,
        secret_key=target.secret_key,
    )
    return Installed(tracing.provider, tracing.provider.force_flush)


SET_UP_BY_NAME: dict[str, Callable[[Target], Installed]] = {
    "none": set_up_nothing,
    "docs": set_up_docs,
    "langfuse": set_up_langfuse,
    "ours": set_up_ours,
    "ours-langfuse": set_up_ours_langfuse,
    "ours-twice": set_up_ours_twice,
}


def is_ours(contender: str) -> bool:
    """Whether the targets hold for it, and its spans may come after its process has ended."""
    return contender.startswith("ours")
