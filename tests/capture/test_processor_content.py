"""What no record of the processor holds: content that is withheld or masked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opentelemetry import trace

from tests.capture.pipeline import SECRET, Pipeline


def speak(pipeline: Pipeline, **attributes: Any) -> None:
    """A call in which the secret is said, called, raised and spoken wherever it can be."""
    known = {"lk.job_id": "AJ_1", "lk.pii.room_name": f"room of {SECRET}"}
    job = pipeline.start("job_entrypoint", **known)
    job.set_attributes(attributes)
    turn = pipeline.start(
        "user_turn", job, **{"lk.pii.participant_identity": f"{SECRET} on the phone"}
    )
    turn.add_event("gen_ai.user.message", {"content": SECRET})
    turn.set_attribute("lk.pii.user_transcript", SECRET)
    turn.set_attributes(attributes)
    tool = pipeline.start("function_tool", turn)
    tool.set_attributes(attributes)
    tool.set_attribute("lk.pii.function_tool.arguments", SECRET)
    tool.record_exception(ValueError(SECRET))
    tool.set_status(trace.StatusCode.ERROR, SECRET)
    pipeline.processor.record_open_spans()
    for span in (tool, turn, job):
        span.end()


def test_no_record_holds_content_when_it_is_not_captured(tmp_path: Path) -> None:
    """Not one byte of any record, start records and identities among them."""
    pipeline = Pipeline(tmp_path, content=False)
    speak(pipeline)
    assert len(pipeline.ended()) == 3
    assert SECRET.encode() not in b"".join(pipeline.frames)


def test_no_record_holds_content_when_the_project_demands_redaction(tmp_path: Path) -> None:
    """LiveKit says so on each span, by a processor that comes behind ours when one starts."""
    pipeline = Pipeline(tmp_path)
    speak(pipeline, **{"lk.redaction.enabled": True})
    assert len(pipeline.ended()) == 3
    assert SECRET.encode() not in b"".join(pipeline.frames)


def test_no_record_holds_what_a_mask_hides(tmp_path: Path) -> None:
    """Not the attributes, and not the identity that is made of them."""
    pipeline = Pipeline(tmp_path, mask=lambda text: text.replace(SECRET, "***"))
    speak(pipeline)
    assert b"".join(pipeline.frames).count(b"***") > 5
    assert SECRET.encode() not in b"".join(pipeline.frames)


def test_no_record_holds_text_when_the_mask_fails(tmp_path: Path) -> None:
    """What could not be masked is withheld and counted."""

    def broken(text: str) -> str:
        raise RuntimeError(text)

    pipeline = Pipeline(tmp_path, mask=broken)
    speak(pipeline)
    assert SECRET.encode() not in b"".join(pipeline.frames)
    assert set(pipeline.ledger.counts) == {"the mask failed, so the value was withheld"}
