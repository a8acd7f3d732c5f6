"""What LiveKit's and OpenTelemetry's own switches do, and which versions are known."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from tracing.doctor.findings import Finding
from tracing.doctor.switches import SWITCHES, look_at_switches
from tracing.doctor.versions import look_at_versions

VALUES = {
    "LIVEKIT_TELEMETRY_ALLOW_PII": ("0", "1"),
    "TRACING_CAPTURE_CONTENT": ("false", "true"),
    "LANGFUSE_TRACING_ENABLED": ("false", "true"),
    "LANGFUSE_SAMPLE_RATE": ("0.1", "1"),
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": ("no", "true"),
    "OTEL_TRACES_SAMPLER": ("traceidratio", "parentbased_always_on"),
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": ("4096", "none"),
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": ("4096", ""),
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": ("32", "128"),
}
"""By variable: a value that changes what is sent, and one that does not."""


def test_every_switch_has_its_values() -> None:
    """So that the next test tries all of them."""
    assert VALUES.keys() == SWITCHES.keys()


@pytest.mark.parametrize("name", VALUES)
def test_switch_that_is_on_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it does and how it is undone; it may be meant."""
    changing, harmless = VALUES[name]
    monkeypatch.setenv("LIVEKIT_URL", "ws://127.0.0.1:7880")
    monkeypatch.setenv(name, changing)
    switch = SWITCHES[name]
    [told, cloud] = look_at_switches()
    assert told == Finding(name, "note", f"it is {changing}: {switch.effect}", switch.how)
    monkeypatch.setenv(name, harmless)
    assert list(look_at_switches()) == [cloud]
    assert cloud.state == "ok"


RECORDED = (
    " is LiveKit Cloud's: where its project has recording on, spans, logs and audio go there as "
    "well, and where it has redaction on, content is withheld here too"
)


@pytest.mark.parametrize(
    ("environ", "state", "text"),
    [
        ({}, "note", "LIVEKIT_URL is not set here, so it is not known whether jobs are LiveKit "),
        ({"LIVEKIT_URL": "wss://lk.example"}, "ok", "lk.example is a server of your own: "),
        ({"LIVEKIT_URL": "wss://x.livekit.cloud"}, "note", f"x.livekit.cloud{RECORDED}"),
        (
            {"LIVEKIT_URL": "wss://lk.example", "LIVEKIT_OBSERVABILITY_URL": "https://obs.example"},
            "note",
            f"obs.example{RECORDED}",
        ),
    ],
)
def test_cloud_that_may_record_is_told(
    environ: dict[str, str], state: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its project is set to cannot be read from here, and is not taken for fine."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    [cloud] = look_at_switches()
    assert (cloud.name, cloud.state, cloud.text[: len(text)]) == ("LiveKit", state, text)


def test_switches_of_a_file_count(tmp_path: Path) -> None:
    """LiveKit's address is usually there."""
    (tmp_path / ".env.local").write_text("LIVEKIT_URL='wss://lk.example'\n")
    [cloud] = look_at_switches()
    assert cloud.text.startswith("lk.example is a server of your own")


def test_versions_are_told_with_what_is_known_of_each() -> None:
    """Those of this environment are admitted."""
    found = {one.name: one for one in look_at_versions()}
    assert list(found) == [
        "livekit-tracing",
        "livekit-agents",
        "opentelemetry-sdk",
        "opentelemetry-exporter-otlp-proto-http",
        "langfuse",
    ]
    assert {one.state for one in found.values()} <= {"ok", "note"}
    for name, one in found.items():
        assert one.text.startswith(version(name))


def install(directory: Path, package: str, installed: str, wants: str = "") -> None:
    """What is known of an installed package."""
    metadata = directory / f"{package.replace('-', '_')}-{installed}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    wants = wants and f"Requires-Dist: {wants}\n"
    metadata.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {installed}\n{wants}")


@pytest.mark.parametrize(
    ("package", "installed", "state", "line"),
    [
        (
            "langfuse",
            "3.7.0",
            "mend",
            "langfuse: 3.7.0 is outside of what livekit-tracing admits (<6,>=4): "
            "pip install 'langfuse<6,>=4'",
        ),
        (
            "livekit-agents",
            "1.9.0",
            "note",
            "livekit-agents: 1.9.0 is admitted and has not been tried; tried: 1.8, 1.7, 1.6, 1.5",
        ),
        (
            "opentelemetry-sdk",
            "1.46.0",
            "mend",
            "opentelemetry-sdk: 1.46.0 is outside of what livekit-agents admits (<1.46,>=1.45): "
            "pip install 'opentelemetry-sdk<1.46,>=1.45'",
        ),
        (
            "livekit-agents",
            "unreadable",
            "unknown",
            "livekit-agents: its version is none of Python's",
        ),
    ],
)
def test_version_that_is_not_known_is_told(
    package: str,
    installed: str,
    state: str,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Outside of the bounds it is to mend; newer than what was tried, it may well work."""
    install(tmp_path, "livekit-agents", "1.8.9", "opentelemetry-sdk<1.46,>=1.45")
    install(tmp_path / "before", package, installed)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "before")
    [found] = [one for one in look_at_versions() if one.name == package]
    assert (found.state, found.line) == (state, line)
