"""Set up wrongly, it is said where it happens: one line with the mend, in a process of its own.

Too late, in a job: `test_jobs.py`. Under the main guard: `test_setup_worker.py`.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fakes import ROOT

PROGRAM = """
import logging
logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
from livekit.agents import telemetry
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from tracing import setup_tracer

class VendorsProvider(trace.NoOpTracerProvider):
    pass

"""
LOCAL = "INFO tracing.setup tracing to local at DIR/.tracing/calls.db (backend=)"
KEYS = base64.b64encode(b"pk-lf-1:sk-lf-1234-secret").decode()


class Case(NamedTuple):
    """What a program does, in which environment, and every line that it logs."""

    program: str
    lines: list[str]
    environ: Mapping[str, str] = {}


CASES = {
    "rightly": Case("setup_tracer('local')", [LOCAL]),
    "OpenTelemetry is given another provider afterwards": Case(
        "setup_tracer('local'); trace.set_tracer_provider(TracerProvider())",
        [
            LOCAL,
            "WARNING tracing.setup OpenTelemetry was given a TracerProvider after setup_tracer, "
            "and keeps the one it has: calls are recorded, and what is recorded with the other "
            "goes only where that leads. Add its exporter to setup_tracer(...).provider, or set "
            "it up before.",
        ],
    ),
    "OpenTelemetry has a provider that is none of the SDK's": Case(
        "trace.set_tracer_provider(VendorsProvider()); setup_tracer('local')",
        [
            "WARNING tracing.setup OpenTelemetry has a VendorsProvider, which is none of the "
            "SDK's: calls are recorded, and spans of your own in them are not. Leave it out, or "
            "call setup_tracer before it.",
            LOCAL,
        ],
    ),
    "LiveKit is given a provider that is none of the SDK's": Case(
        "setup_tracer('local'); telemetry.set_tracer_provider(VendorsProvider())",
        [
            LOCAL,
            "WARNING tracing.setup LiveKit was given a VendorsProvider after "
            "setup_tracer, which records nothing: no call is traced from here on. Leave "
            "set_tracer_provider out, or give it an SDK provider.",
        ],
    ),
    "variables lead OTLP to Langfuse": Case(
        "setup_tracer()",
        [
            "INFO tracing.setup tracing to langfuse at "
            "http://127.0.0.1:1/api/public/otel/v1/traces (OTEL_EXPORTER_OTLP_ENDPOINT); "
            "OTEL_EXPORTER_OTLP_ENDPOINT leads every exporter of this process to Langfuse: set "
            "LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and LANGFUSE_BASE_URL in its place"
        ],
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1/api/public/otel",
            "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Basic {KEYS}",
            "TRACING_SCORES": "false",
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_said_once_with_the_mend(name: str, tmp_path: Path) -> None:
    """Nothing more is logged, by others neither."""
    case = CASES[name]
    done = subprocess.run(
        [sys.executable, "-c", f"{PROGRAM}{case.program}\nlogging.disable()"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TRACING_DRAINER": "thread", **case.environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.replace(str(tmp_path), "DIR").splitlines() == case.lines
