"""The turns in which a caller heard nothing, and why."""

from __future__ import annotations

from typing import Any

import pytest

from tracing.calls.silence import in_words, silences, unanswered

HEARD = {"number": 1, "kind": "reply", "user_text": "Hello?", "agent_text": "Hello."}
OVERLOADED = {"stage": "llm", "message": "model overloaded"}


@pytest.mark.parametrize(
    ("turn", "words", "withheld"),
    [
        ({"number": 2, "errors": [OVERLOADED]}, "LLM failed: model overloaded", "LLM failed"),
        ({"number": 2, "error": "no voice"}, "the reply failed: no voice", "the reply failed"),
        ({"kind": "unanswered"}, *["nobody answered"] * 2),
        ({"number": 2, "interrupted": True}, *["interrupted before its first sound"] * 2),
        ({"number": 2, "errors": [{"stage": "tool"}]}, *["no sound of its own"] * 2),
    ],
)
def test_a_silence_says_its_reason(turn: dict[str, Any], words: str, withheld: str) -> None:
    """What failed and what that said, which may be content; else what is known of it."""
    found = unanswered([HEARD, {"user_text": "Are you there?", **turn}, HEARD])
    assert [in_words(one) for one in found] == [words]
    assert [in_words(one, withheld=True) for one in found] == [withheld]


def test_a_turn_that_a_later_one_answers_is_no_silence_for_the_caller() -> None:
    """As after a handoff: the same words of the caller, answered by the next agent."""
    said = {"user_started_speaking_at": 5.0}
    turns = [
        {"number": 1, "user_text": "The chef?", "tools": [{"name": "talk_to_chef"}], **said},
        {"number": 2, "agent_text": "This is the chef.", **said},
    ]
    [handed, heard] = silences(turns)
    assert heard is None
    assert handed is not None
    words = "no sound of its own: it called talk_to_chef, and turn 2 answered"
    assert (in_words(handed), unanswered(turns)) == (words, [])


@pytest.mark.parametrize(
    "turn",
    [
        HEARD,
        {"number": 1, "agent_started_speaking_at": 7.0},
        {"number": 1, "kind": "discarded"},
        {"number": 1, "is_open": True},
    ],
)
def test_what_was_heard_or_goes_on_is_none(turn: dict[str, Any]) -> None:
    """Where content is withheld the sound alone tells; a discarded turn was never meant to be."""
    assert unanswered([turn]) == []
