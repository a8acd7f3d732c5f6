"""The options of a session that matter when calls are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from livekit.agents import AgentSession

from tracing import stamps
from tracing.span import AttributeValue


def options_of(session: AgentSession[Any]) -> dict[str, AttributeValue]:
    """Models, endpointing, interruption and preemptive generation, as attributes."""
    found: dict[str, AttributeValue] = {}
    handling: Mapping[str, Any] = getattr(session.options, "turn_handling", None) or {}
    for group in ("preemptive_generation", "endpointing", "interruption"):
        for key, value in (handling.get(group) or {}).items():
            if isinstance(value, (bool, int, float, str)):
                found[f"{stamps.CALL}options.{group}.{key}"] = value
    for kind in ("stt", "llm", "tts", "vad"):
        model = getattr(getattr(session, kind, None), "model", None)
        if isinstance(model, str) and model != "unknown":
            found[f"{stamps.CALL}options.{kind}_model"] = model
    detection = session.turn_detection
    found[stamps.CALL + "options.turn_detection"] = (
        detection if isinstance(detection, str) else getattr(detection, "model", "default")
    )
    return found
