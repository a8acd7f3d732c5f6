"""The turns of a call in which its caller heard nothing: who answered later, or why nobody did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Turn = Mapping[str, Any]

ENDED_FIRST = "the process ended first"
"""Why a turn or a tool of a call whose process died has no end."""

_STAGES = {"llm": "LLM", "tts": "TTS", "stt": "STT", "reply": "the reply"}


class Silence(NamedTuple):
    """A turn that brought neither sound nor text."""

    number: int | None
    """None where nobody tried to answer."""
    tools: tuple[str, ...] = ()
    """What it called."""
    answered_by: int | None = None
    """The turn that answered the same words of the caller, as after a handoff."""
    stage: str = ""
    """What failed in it."""
    message: str = ""
    """What that said of itself."""
    is_interrupted: bool = False
    is_unfinished: bool = False
    """Whether the process ended first."""


def silences(turns: Sequence[Turn]) -> Iterator[Silence | None]:
    """Of each turn its silence; None of one that was heard, is going on, or was discarded."""
    for turn, following in zip(turns, [*turns[1:], {}], strict=False):
        yield _silence(turn, following) if _is_silent(turn) else None


def unanswered(turns: Sequence[Turn]) -> list[Silence]:
    """The silences that no later turn ended."""
    return [found for found in silences(turns) if found is not None and found.answered_by is None]


def in_words(found: Silence, *, withheld: bool = False) -> str:
    """Why nothing was heard; `withheld`: without what a failure said of itself."""
    if found.answered_by is not None:
        called = f"it called {', '.join(found.tools)}, and " if found.tools else ""
        return f"no sound of its own: {called}turn {found.answered_by} answered"
    if found.stage:
        message = "" if withheld or not found.message else f": {found.message}"
        return f"{_STAGES.get(found.stage, found.stage)} failed{message}"
    if found.is_unfinished:
        return f"cut off: {ENDED_FIRST}"
    if found.is_interrupted:
        return "interrupted before its first sound"
    return "nobody answered" if found.number is None else "no sound of its own"


def _is_silent(turn: Turn) -> bool:
    is_heard = turn.get("agent_text") or "agent_started_speaking_at" in turn
    return not is_heard and turn.get("kind") != "discarded" and not turn.get("is_open")


def _silence(turn: Turn, following: Turn) -> Silence:
    failures = [error for error in turn.get("errors", ()) if error.get("stage") != "tool"]
    last = failures[-1] if failures else {}
    is_failed = bool(failures or turn.get("error"))
    return Silence(
        number=turn.get("number"),
        tools=tuple(str(tool["name"]) for tool in turn.get("tools", ()) if tool.get("name")),
        answered_by=following.get("number") if _answers(following, turn) else None,
        stage=str(last.get("stage") or "reply") if is_failed else "",
        message=str(last.get("message") or turn.get("error") or ""),
        is_interrupted=bool(turn.get("interrupted")),
        is_unfinished=bool(turn.get("is_unfinished")),
    )


def _answers(following: Turn, turn: Turn) -> bool:
    """Whether the next turn was heard, and has no other words of the caller to answer."""
    if not following.get("agent_text") and "agent_started_speaking_at" not in following:
        return False
    begun = turn.get("user_started_speaking_at")
    is_same = begun is not None and following.get("user_started_speaking_at") == begun
    return is_same or ("user_text" not in following and bool(turn.get("tools")))
