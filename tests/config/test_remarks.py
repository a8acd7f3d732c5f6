"""What is set and works otherwise than it was meant: said, and in nobody's way."""

from __future__ import annotations

import langfuse._client.environment_variables as langfuse_variables
import pytest
from opentelemetry.sdk import environment_variables

from tracing.config.environment import VARIABLES
from tracing.config.load import load_settings
from tracing.config.settings import backends_of

NEARLY = {
    "LANGFUSE_PUBLICKEY": "LANGFUSE_PUBLIC_KEY",
    "LANGFUSE_API_KEY": "LANGFUSE_PUBLIC_KEY",
    "LANGFUSE_SECRET": "LANGFUSE_SECRET_KEY",
    "LANGFUSE_URL": "LANGFUSE_BASE_URL",
    "LANGFUSE_ENVIRONMENT": "LANGFUSE_TRACING_ENVIRONMENT",
    "OTEL_EXPORTER_OTLP_ENDPIONT": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADER": "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_ENDPOINT": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_HEADERS": "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACE_ENDPOINT": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
}
"""By a name that nothing reads: the variable that is meant."""


@pytest.mark.parametrize("name", NEARLY)
def test_name_that_is_nearly_a_vendors_is_a_remark(name: str) -> None:
    """Another program may read it, so it stops nobody; where the right one is set, it is none."""
    right = NEARLY[name]
    said = f"{name} is set, which nothing reads: {right} is meant?"
    assert load_settings("local", environ={name: "x"}).remarks == (said,)
    assert load_settings("local", environ={name: "x", right: "x"}).remarks == ()


def test_names_that_vendors_read_are_not_misspelt() -> None:
    """Those of the OpenTelemetry SDK and of Langfuse's, and of a Langfuse server."""
    named = (
        *vars(environment_variables).values(),
        *vars(langfuse_variables).values(),
        *("OTEL_EXPORTER_PROMETHEUS_ENDPOINT", "OTEL_EXPORTER_ZIPKIN_ENDPOINT"),
        "LANGFUSE_INIT_PROJECT_PUBLIC_KEY",
        "LANGFUSE_S3_EVENT_UPLOAD_SECRET_ACCESS_KEY",
    )
    names = {name for name in named if isinstance(name, str) and name.isupper()}
    assert len(names) > 80
    environ = dict.fromkeys(names - VARIABLES.keys(), "x")
    assert load_settings("local", environ=environ).remarks == ()


@pytest.mark.parametrize("slash", ["", "/"])
def test_signals_path_in_the_base_endpoint_is_remarked(slash: str) -> None:
    """OpenTelemetry appends it whatever is there; servers answer 404, which says nothing of why."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://collector:4318/v1/traces{slash}"}
    settings = load_settings(environ=environ)
    assert backends_of(settings)[0].url == "http://collector:4318/v1/traces/v1/traces"
    assert settings.remarks == (
        "OTEL_EXPORTER_OTLP_ENDPOINT ends with /v1/traces, which is appended to it once more: "
        "leave that out, or set OTEL_EXPORTER_OTLP_TRACES_ENDPOINT instead",
    )
