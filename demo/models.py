"""The demo's models: they need no key, no network and no download, and know one script."""

from __future__ import annotations

from typing import Any

from livekit.agents import inference

from demo import script
from demo.llm import ScriptedLLM
from demo.stt import OfflineSTT
from demo.tts import OfflineTTS


def offline_models() -> dict[str, Any]:
    """The arguments of an `AgentSession` that runs on this machine alone."""
    return {
        "stt": OfflineSTT(turn.caller for turn in script.TURNS),
        "llm": ScriptedLLM(),
        "tts": OfflineTTS(),
        "vad": inference.VAD(),
        "session_close_transcript_timeout": 0.5,  # nobody speaks after the goodbye
        "turn_handling": {
            # Named, because with keys in the environment LiveKit prefers its cloud's.
            "turn_detection": inference.TurnDetector(version="v1-mini"),
            "interruption": {"mode": "vad"},
        },
    }
