"""The parts of a wait as a person meets them: kind, label and letter of each, and what it is."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple


class Kind(NamedTuple):
    """How a part is named to a person; `tool.NAME` and numbered steps share their kind."""

    key: str
    """The kind's short name, as in classes of style sheets."""
    label: str
    letter: str
    """One letter for where there is no room for more."""
    meaning: str


_KINDS = {
    "end_of_speech_detection": Kind("eos", "speech end", "e", "VAD silence: a setting"),
    "transcription_wait": Kind("stt", "transcript", "r", "the final transcript was still missing"),
    "turn_decision": Kind("turn", "turn", "t", "endpointing delay and turn detector"),
    "on_user_turn_completed": Kind("hook", "hook", "h", "your own code before the reply"),
    "llm_step": Kind("step", "llm step", "L", "an LLM step that called tools"),
    "tool": Kind("tool", "tools", "T", "a tool that the reply waited for"),
    "agent_handoff": Kind("hand", "handoff", "H", "another agent took over"),
    "llm_failed_attempts": Kind("fail", "failed tries", "X", "LLM requests that failed first"),
    "tts_failed_attempts": Kind("fail", "failed tries", "X", "TTS requests that failed first"),
    "llm_first_token": Kind("ttft", "1st token", "1", "the spoken step to its first token"),
    "realtime_response_start": Kind("ttft", "model start", "1", "until the model began to answer"),
    "llm_speakable_text": Kind(
        "text", "sentence", "s", "first token to the first text that the TTS takes"
    ),
    "realtime_first_audio": Kind("text", "1st audio", "s", "the model's answer to its first audio"),
    "tts_first_audio": Kind("tts", "voice", "v", "first text to first audio"),
    "queue_wait": Kind("queue", "queue", "q", "an earlier speech was still playing"),
    "playout_start": Kind("play", "playout", "p", "first audio to the first sound"),
    "unaccounted": Kind("una", "unaccounted", "?", "what no stage claims"),
}
_NAMES = 4096
"""So many names of parts are remembered: calls may hold any."""
_TOOL = "tool."
TOOLS = "tools"
"""The group of all tools."""


@lru_cache(_NAMES)
def kind_of(part: str) -> Kind:
    """The kind of a part, or of a group of them; one that is not known keeps its own name."""
    if part.startswith(_TOOL):
        name = base_of(part).removeprefix(_TOOL)
        return _KINDS["tool"]._replace(label=name or "tool")
    if part == TOOLS:
        return _KINDS["tool"]
    known = _KINDS.get(base_of(part))
    return known or _KINDS["unaccounted"]._replace(label=part, meaning="a part of a later version")


@lru_cache(_NAMES)
def base_of(part: str) -> str:
    """A part's name without its number, as in `llm_step.2`."""
    base, _, number = part.rpartition(".")
    return base if base and number.isdigit() else part


@lru_cache(_NAMES)
def group_of(part: str) -> str:
    """The name under which parts of several turns are one: all tools are `tools`."""
    return TOOLS if part.startswith(_TOOL) else base_of(part)


def ordered_groups() -> list[str]:
    """All groups in the order in which a reply comes about."""
    return [TOOLS if name == "tool" else name for name in _KINDS]


def letters() -> list[str]:
    """Every letter in the order in which a reply comes about."""
    return list(dict.fromkeys(kind.letter for kind in _KINDS.values()))
