"""What a backend names is made: its dialect, and the share of the traces that it gets."""

from __future__ import annotations

import random

import pytest
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from tests.dialects.spans import livekit_span
from tracing.config.backends import OTLP_HTTP, Backend
from tracing.config.langfuse import DIALECT
from tracing.config.load import load_settings
from tracing.config.settings import backends_of
from tracing.deliver.senders.sender import make_translator

KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1234", "LANGFUSE_SECRET_KEY": "sk-lf-5678"}


@pytest.mark.parametrize("rate", [0.0, 1e-9, 0.1, 0.5, 0.999, 1.0])
def test_traces_are_sampled_as_langfuses_sdk_samples_them(rate: float) -> None:
    """By the trace's id, so that every span, and every process, says the same."""
    translate = make_translator(Backend("any", OTLP_HTTP, sample_rate=rate))
    sampler, ids = TraceIdRatioBased(rate), random.Random(7)
    for number in [0, 1, 2**64 - 1, 2**64, 2**128 - 1, *(ids.getrandbits(128) for _ in range(500))]:
        span = livekit_span("user_turn", trace_id=number.to_bytes(16, "big"))
        wanted = sampler.should_sample(None, number, "user_turn").decision
        assert (translate(span) is not None) == (wanted is Decision.RECORD_AND_SAMPLE)


def test_what_goes_beside_langfuse_is_of_the_same_traces() -> None:
    """No score or recording of a trace that is not there."""
    settings = load_settings(
        ["langfuse", "local"], environ={**KEYS, "LANGFUSE_SAMPLE_RATE": "0.5"}, recording=True
    )
    assert [(one.name, one.sample_rate) for one in backends_of(settings)] == [
        ("langfuse", 0.5),
        ("langfuse-scores", 0.5),
        ("langfuse-media", 0.5),
        ("local", 1.0),
        ("local-logs", 1.0),
    ]


def test_what_is_sampled_is_translated() -> None:
    """By the backend's own dialect."""
    translate = make_translator(Backend("any", OTLP_HTTP, dialect=DIALECT, sample_rate=0.5))
    low = translate(livekit_span("user_turn", trace_id=bytes(16)))
    assert low is not None
    assert low.attributes["langfuse.observation.type"]
    assert translate(livekit_span("user_turn", trace_id=b"\xff" * 16)) is None
