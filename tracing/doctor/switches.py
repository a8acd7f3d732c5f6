"""Switches of LiveKit's, OpenTelemetry's and Langfuse's that change what is recorded or sent.

LiveKit and OpenTelemetry read theirs from the process's environment, so what is in a file counts
for them where the agent loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from tracing.config.dotenv_files import sources
from tracing.config.environment import as_flag, unquoted
from tracing.doctor.findings import Finding, note, ok

_SERVER, _OBSERVED = "LIVEKIT_URL", "LIVEKIT_OBSERVABILITY_URL"
_CLOUD = (".livekit.cloud", ".livekit.run")


class Switch(NamedTuple):
    """One variable."""

    is_on: Callable[[str], bool]
    """Whether this value changes anything."""
    effect: str
    how: str
    """How it is undone."""


def _is_no(value: str) -> bool:
    return as_flag(value) is False


def _is_number(value: str) -> bool:
    return value.isdigit()


_CUT = "set it higher, or unset it; values are bounded by the backends in any case"
SWITCHES: Mapping[str, Switch] = {
    "LIVEKIT_TELEMETRY_ALLOW_PII": Switch(
        _is_no, "no transcripts, messages and payloads leave this process", "unset it"
    ),
    "TRACING_CAPTURE_CONTENT": Switch(
        _is_no, "no transcripts, messages and payloads leave this process", "unset it"
    ),
    "LANGFUSE_TRACING_ENABLED": Switch(_is_no, "Langfuse gets nothing", "unset it"),
    "LANGFUSE_SAMPLE_RATE": Switch(
        lambda value: value not in ("1", "1.0"),
        "Langfuse gets this share of the calls",
        "unset it, for all of them",
    ),
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": Switch(
        _is_no, "LiveKit leaves messages and tool arguments out of spans of model calls", "unset it"
    ),
    "OTEL_TRACES_SAMPLER": Switch(
        lambda value: value not in ("always_on", "parentbased_always_on"),
        "calls that it does not choose are recorded nowhere",
        "unset it; sample_rate= and LANGFUSE_SAMPLE_RATE are for Langfuse alone",
    ),
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": Switch(_is_number, "long values are cut off", _CUT),
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": Switch(_is_number, "long values are cut off", _CUT),
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": Switch(
        lambda value: _is_number(value) and int(value) < 128,
        "spans lose the attributes above that number",
        "unset it",
    ),
}
"""By variable."""


def look_at_switches() -> Iterator[Finding]:
    """Each switch that is on, and what LiveKit Cloud does beside us."""
    names = {*SWITCHES, _SERVER, _OBSERVED}
    environ: dict[str, str] = {}
    for source in sources(names.__contains__):
        environ = {**source.values, **environ}
    for name, switch in SWITCHES.items():
        value = unquoted(environ.get(name, ""))
        if value and switch.is_on(value.lower()):
            yield note(name, f"it is {value}: {switch.effect}", switch.how)
    yield _cloud(environ.get(_SERVER, ""), environ.get(_OBSERVED, ""))


def _cloud(server: str, observed: str) -> Finding:
    """Whether jobs are LiveKit Cloud's, whose project may record them and withhold content."""
    host = urlsplit(unquoted(server)).hostname or ""
    if not host and not observed:
        text = f"{_SERVER} is not set here, so it is not known whether jobs are LiveKit Cloud's"
        return note("LiveKit", text)
    if not observed and not host.endswith(_CLOUD):
        return ok("LiveKit", f"{host} is a server of your own: LiveKit Cloud gets nothing of calls")
    where = host if host.endswith(_CLOUD) else urlsplit(unquoted(observed)).hostname or observed
    text = (
        f"{where} is LiveKit Cloud's: where its project has recording on, spans, logs "
        "and audio go there as well, and where it has redaction on, content is withheld here too"
    )
    return note("LiveKit", text, "see the project's settings, which cannot be read from here")
