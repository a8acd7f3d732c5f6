"""LiveKit's metrics that are on no span: which attributes they become, and how they add up."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, NamedTuple

from tracing import stamps
from tracing.span import AttributeValue


class Place(NamedTuple):
    """Where the metrics of one type go."""

    prefix: str
    """The attributes are this and the field's own name."""
    added: frozenset[str] = frozenset()
    """Fields that add up over several metrics; of the others the latest stays."""


PLACES = {
    "stt_metrics": Place(
        stamps.TURN_STT,
        frozenset(
            {
                "duration",
                "audio_duration",
                "input_tokens",
                "output_tokens",
                "total_tokens",
                "input_audio_tokens",
            }
        ),
    ),
    "eou_metrics": Place(stamps.TURN_EOU),
    "eot_inference_metrics": Place(stamps.TURN_EOT, frozenset({"num_requests"})),
    "interruption_metrics": Place(stamps.TURN_INTERRUPTION),
    "vad_metrics": Place(
        stamps.CALL + "vad.", frozenset({"inference_duration_total", "inference_count"})
    ),
    "decision_metrics": Place(
        stamps.CALL + "decision.", frozenset({"duration", "input_tokens", "output_tokens"})
    ),
    "avatar_metrics": Place(stamps.CALL + "avatar."),
}
"""By LiveKit's `type`. The other types are on spans already, as JSON."""


def add_metrics(metrics: Any, kept: MutableMapping[str, AttributeValue]) -> None:
    """Add metrics (a pydantic model of LiveKit's) to the attributes that keep their type."""
    place = PLACES[metrics.type]
    for field in type(metrics).model_fields:
        value = getattr(metrics, field)
        if field == "type" or value is None or (isinstance(value, str) and not value):
            continue
        if field == "metadata":
            _add_metadata(value, place.prefix, kept)
        elif isinstance(value, bool):
            if value or field == "streamed":
                kept[place.prefix + field] = value
        elif value:  # LiveKit's zero means unknown
            key = place.prefix + field
            kept[key] = kept.get(key, 0) + value if field in place.added else value


def _add_metadata(metadata: Any, prefix: str, kept: MutableMapping[str, AttributeValue]) -> None:
    for field in ("model_name", "model_provider"):
        value = getattr(metadata, field, None)
        if value:
            kept[prefix + field] = value


def usage_of(used: Any) -> dict[str, Any]:
    """A `*ModelUsage` of LiveKit's as a dict, without the zeros that mean unknown."""
    fields = used.model_dump()
    return {key: value for key, value in fields.items() if value or isinstance(value, str)}
