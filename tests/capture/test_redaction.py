"""Redaction: what carries content, and what is left of a span without it or behind a mask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from livekit.agents.telemetry import pii
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.fakes import make_span
from tracing.capture.redaction import (
    MASK_FAILED,
    Redaction,
    is_content_attribute,
    without_content,
)
from tracing.span import Event, Link, Span
from tracing.spool.losses import Ledger

SECRET = "the secret text"

CONTENT = [
    "lk.pii.user_transcript",
    "lk.pii.room_name",
    "lk.pii.function_tool.arguments",
    "lk.pii.sip.phoneNumber",
    "some.pii.key",
    "lk.user_input",
    "lk.chat_ctx",
    "lk.response.text",
    "lk.function_tool.output",
    "lk.participant_identity",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.prompt.0.content",
    "gen_ai.completion.0.content",
    "gen_ai.prompt.variable.name",
    "exception.stacktrace",
]
PLAIN = [
    "lk.job_id",
    "lk.room_sid",
    "lk.response.ttft",
    "lk.function_tool.name",
    "gen_ai.request.model",
    "gen_ai.usage.input_tokens",
    "gen_ai.tool.name",
    "session.id",
    "piiless.key",
    "exception.type",
]


def redaction(
    tmp_path: Path, *, content: bool = True, mask: Callable[[str], str] | None = None
) -> tuple[Redaction, Ledger]:
    """A redaction, and who counts its failures."""
    ledger = Ledger(tmp_path)
    return Redaction(ledger, capture_content=content, mask=mask), ledger


@pytest.mark.parametrize("key", CONTENT)
def test_content_is_known_by_its_name(key: str) -> None:
    """Whatever somebody said, typed or is called, under names old and new."""
    assert is_content_attribute(key)
    assert without_content({key: SECRET, "lk.job_id": "j"}) == {"lk.job_id": "j"}


@pytest.mark.parametrize("key", PLAIN)
def test_numbers_names_and_ids_are_no_content(key: str) -> None:
    """They stay, whatever is withheld."""
    assert not is_content_attribute(key)
    assert without_content({key: "x"}) == {key: "x"}


def test_of_an_exception_its_type_stays() -> None:
    """A message may quote what somebody said."""
    attributes = {"exception.type": "ValueError", "exception.message": SECRET}
    for _ in range(2):  # the second time from what is known
        assert without_content(attributes) == {
            "exception.type": "ValueError",
            "exception.message": "[withheld]",
        }


def test_everything_that_livekit_withholds_we_withhold() -> None:
    """LiveKit's own filter, on the same attributes and events, leaves nothing that we do not."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(pii._PIIFilteringSpanProcessor(allow_pii=False))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    attributes = dict.fromkeys([*CONTENT, *PLAIN], SECRET)
    with provider.get_tracer("x").start_as_current_span("a", attributes=attributes) as span:
        span.add_event("gen_ai.user.message", {"content": SECRET})
        span.add_event("exception", {"exception.message": SECRET, "exception.stacktrace": SECRET})
    [theirs] = exporter.get_finished_spans()
    assert isinstance(theirs, ReadableSpan)
    assert set(without_content(attributes)) <= set(theirs.attributes or {})
    provider.shutdown()


def everything_with(secret: Any) -> Span:
    """A span that holds a value wherever a span can hold one."""
    return make_span(
        1,
        attributes={"lk.pii.user_input": secret, "lk.job_id": "j"},
        events=(
            Event("gen_ai.user.message", 1, {"content": secret}),
            Event("exception", 2, {"exception.message": secret, "exception.type": "E"}),
            Event("other", 3, {"lk.pii.text": secret, "number": 1}),
        ),
        links=(Link(b"t" * 16, b"s" * 8, {"lk.pii.text": secret, "number": 1}),),
        status_code=2,
        status_message=secret,
    )


WITHHELD = make_span(
    1,
    attributes={"lk.job_id": "j"},
    events=(
        Event("exception", 2, {"exception.message": "[withheld]", "exception.type": "E"}),
        Event("other", 3, {"number": 1}),
    ),
    links=(Link(b"t" * 16, b"s" * 8, {"number": 1}),),
    status_code=2,
    status_message="[withheld]",
)


def test_span_without_content_keeps_its_shape(tmp_path: Path) -> None:
    """Attributes, events, links and the status' words are stripped; numbers and types stay."""
    ours, ledger = redaction(tmp_path, content=False)
    assert ours.apply(everything_with(SECRET)) == WITHHELD
    assert ours.changes_spans is True
    assert dict(ledger.counts) == {}


def test_livekits_word_for_one_span_is_kept(tmp_path: Path) -> None:
    """A project that demands redaction gets it although we are told to capture."""
    ours, _ = redaction(tmp_path)
    assert ours.apply(everything_with(SECRET), withhold=True) == WITHHELD


def test_nothing_is_changed_without_a_reason(tmp_path: Path) -> None:
    """Without switch and mask the very same span passes."""
    ours, _ = redaction(tmp_path)
    span = everything_with(SECRET)
    assert ours.apply(span) is span
    assert ours.changes_spans is False
    assert ours.document({"a": SECRET}) == {"a": SECRET}


def hide(text: str) -> str:
    """A mask, as a user writes it."""
    return text.replace("secret", "***")


def test_mask_is_applied_to_every_text(tmp_path: Path) -> None:
    """Wherever a span holds one: also within lists and maps, events, links and the status."""
    ours, ledger = redaction(tmp_path, mask=hide)
    values = {"text": SECRET, "list": [SECRET, 5, ["secret"]], "map": {"k": SECRET}, "n": 5}
    span = make_span(1, attributes=values, events=(Event("e", 1, values),), status_message=SECRET)
    span = span._replace(links=(Link(b"t" * 16, b"s" * 8, values),))
    hidden = "the *** text"
    masked = {"text": hidden, "list": [hidden, 5, ["***"]], "map": {"k": hidden}, "n": 5}
    assert ours.apply(span) == span._replace(
        attributes=masked,
        events=(Event("e", 1, masked),),
        links=(Link(b"t" * 16, b"s" * 8, masked),),
        status_message=hidden,
    )
    assert ours.document({"turns": [values]}) == {"turns": [masked]}
    assert dict(ledger.counts) == {}


def test_mask_sees_texts_in_bytes(tmp_path: Path) -> None:
    """A text that came as bytes does not pass by the mask."""
    ours, _ = redaction(tmp_path, mask=hide)
    masked = ours.apply(make_span(1, attributes={"bytes": SECRET.encode()}))
    assert b"secret" not in bytes(str(masked.attributes["bytes"]), "utf-8")


def test_mask_that_fails_withholds_and_is_counted(tmp_path: Path) -> None:
    """The value never passes unmasked."""

    def broken(text: str) -> str:
        raise ValueError(f"cannot mask {text}")

    ours, ledger = redaction(tmp_path, mask=broken)
    masked = ours.apply(make_span(1, attributes={"a": SECRET, "b": ["x", 1], "empty": ""}))
    assert masked.attributes == {"a": MASK_FAILED, "b": [MASK_FAILED, 1], "empty": ""}
    assert dict(ledger.counts) == {"the mask failed, so the value was withheld": 2}


def test_mask_may_return_anything(tmp_path: Path) -> None:
    """What is no text becomes one."""
    ours, _ = redaction(tmp_path, mask=lambda text: None)  # type: ignore[arg-type,return-value]
    assert ours.apply(make_span(1, attributes={"a": SECRET})).attributes == {"a": "None"}


def test_mask_works_on_what_is_left(tmp_path: Path) -> None:
    """With both, content goes and the rest is masked."""
    ours, _ = redaction(tmp_path, content=False, mask=hide)
    span = make_span(1, attributes={"lk.pii.text": SECRET, "own": SECRET})
    assert ours.apply(span).attributes == {"own": "the *** text"}
