"""The options of a session that matter when calls are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from livekit.agents import AgentSession
from livekit.agents.voice import turn

from tracing import stamps
from tracing.span import AttributeValue


def options_of(session: AgentSession[Any]) -> dict[str, AttributeValue]:
    """Models, endpointing, interruption and preemptive generation, as attributes."""
    found: dict[str, AttributeValue] = {}
    changed: list[str] = []
    handling: Mapping[str, Any] = getattr(session.options, "turn_handling", None) or {}
    for group in ("preemptive_generation", "endpointing", "interruption"):
        for key, value in (handling.get(group) or {}).items():
            if isinstance(value, (bool, int, float, str)):
                found[f"{stamps.CALL}options.{group}.{key}"] = value
                if _is_changed(group, key, value):
                    changed.append(f"{group}.{key}={value}")
    if changed:
        found[stamps.CALL_CHANGED_OPTIONS] = [*sorted(changed)]
    for kind in ("stt", "llm", "tts", "vad"):
        model = getattr(getattr(session, kind, None), "model", None)
        if isinstance(model, str) and model != "unknown":
            found[f"{stamps.CALL}options.{kind}_model"] = model
    detection = session.turn_detection
    found[stamps.CALL + "options.turn_detection"] = (
        detection if isinstance(detection, str) else getattr(detection, "model", "default")
    )
    return found


def _is_changed(group: str, key: str, value: object) -> bool:
    """Whether an option is none of LiveKit's defaults, as far as this version tells them."""
    named = (f"_{group.upper()}_DEFAULTS", f"_STREAMING_{group.upper()}_DEFAULTS")
    defaults = [d for name in named if key in (d := getattr(turn, name, {}))]
    return bool(defaults) and all(default[key] != value for default in defaults)
