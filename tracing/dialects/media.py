"""A call's recording as Langfuse shows it: a reference in the metadata, and what to upload."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from tracing import names, stamps
from tracing.span import Attributes, Span

_SHA256 = re.compile("[0-9a-f]{64}")


def media_id(sha256_hex: str) -> str:
    """The id that Langfuse gives to these bytes, known before they are uploaded."""
    return base64.urlsafe_b64encode(bytes.fromhex(sha256_hex)).decode()[:22]


def metadata(attributes: Attributes) -> Mapping[str, str | float]:
    """The reference that Langfuse's page plays, under the names of all its versions."""
    digest = names.text(attributes, stamps.RECORDING_SHA256)
    if not _SHA256.fullmatch(digest):
        return {}
    kind = names.text(attributes, stamps.RECORDING_TYPE)
    token = f"@@@langfuseMedia:type={kind}|id={media_id(digest)}|source=bytes@@@"
    found: dict[str, str | float] = {
        "langfuse.observation.metadata.recording": token,
        "langfuse.trace.metadata.recording": token,
    }
    started = attributes.get(stamps.RECORDING_STARTED_AT)
    if isinstance(started, float):
        found["langfuse.observation.metadata.recording_started_at"] = started
    return found


def recorded_only(span: Span) -> Span | None:
    """The span if it has a recording."""
    return span if stamps.RECORDING_SHA256 in span.attributes else None


def recordings_dialect() -> Callable[[Span], Span | None]:
    """The dialect of the recordings' delivery; it has no options."""
    return recorded_only


def upload_request(span: Span) -> dict[str, Any]:
    """The body of `POST /api/public/media`: of the trace if the span is its root."""
    attributes = span.attributes
    digest = bytes.fromhex(names.text(attributes, stamps.RECORDING_SHA256))
    document: dict[str, Any] = {
        "traceId": span.trace_id.hex(),
        "contentType": attributes[stamps.RECORDING_TYPE],
        "contentLength": attributes[stamps.RECORDING_BYTES],
        "sha256Hash": base64.b64encode(digest).decode(),
        "field": "metadata",
    }
    if span.parent_span_id and span.name != names.JOB_ENTRYPOINT:  # whose parent is remote
        document["observationId"] = span.span_id.hex()
    return document
