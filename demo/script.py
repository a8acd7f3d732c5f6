"""What is said in the demo's call, as data: the caller's lines and how the agent answers."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

SENTENCE_END = re.compile(r"(?<=[.?!])\s+")


class ToolCall(NamedTuple):
    """A tool that the model asks for, and what it says once the tool has answered."""

    name: str
    arguments: dict[str, Any] = {}
    then: str = ""
    """Said when the tool returned something."""
    sorry: str = ""
    """Said when the tool raised."""


class Turn(NamedTuple):
    """One line of the caller and the agent's reaction to it."""

    clip: str
    """Name of the recording in `demo/clips`, without its suffix."""
    caller: str
    reply: str | ToolCall
    barge_in: bool = False
    """Whether the caller says this while the agent is still speaking."""


GREETINGS = {
    "host": "Hello, this is the Blue Door. How can I help?",
    "chef": "Hello, this is the chef. What can I do for you?",
}
"""First words of an agent, by the word that its instructions name it with."""

TURNS = (
    Turn(
        "hours",
        "When do you open on Sunday, please?",
        "On Sunday we open at noon and close at ten.",
    ),
    Turn(
        "table",
        "Do you have a table for two at seven, please?",
        ToolCall(
            "find_table",
            {"guests": 2, "time": "19:00"},
            then="Yes, a table by the window is free at seven.",
            sorry="I am sorry, I can not see the bookings now.",
        ),
    ),
    Turn(
        "gift-card",
        "Please put my gift card on that booking.",
        ToolCall(
            "redeem_gift_card",
            {"booking": "table 4"},
            then="Done, your gift card is on the booking.",
            sorry="I am sorry, the gift card service is not answering. Please bring the card.",
        ),
    ),
    Turn(
        "menu",
        "What do you have on the menu, please?",
        "We start with tomato soup and warm bread. "
        "Then there is grilled salmon with lemon, roast chicken with potatoes, "
        "and beef stew with red wine. "
        "For dessert we have apple cake and vanilla ice cream.",
    ),
    Turn(
        "no-meat",
        "Sorry, do you have anything without meat, please?",
        "Yes, we do. There is mushroom risotto and pumpkin curry.",
        barge_in=True,
    ),
    Turn(
        "chef",
        "Could I speak to the chef, please?",
        ToolCall("talk_to_chef", sorry="I am sorry, the chef is busy."),
    ),
    Turn(
        "goodbye",
        "Thank you, no nuts for me please, goodbye.",
        "No nuts, I will remember that. See you tonight, goodbye.",
    ),
)

UNKNOWN = "I am sorry, I only know the words of the demo."
"""Said to a caller who leaves the script."""


def words(text: str) -> tuple[str, ...]:
    """The bare words of a text, as a recogniser hears them and a voice bank keeps them."""
    kept = "".join(c if c.isalnum() or c in "' " else " " for c in text.lower())
    return tuple(kept.split())


def agent_texts() -> list[str]:
    """Everything that the agent may say."""
    texts = [*GREETINGS.values(), UNKNOWN]
    for turn in TURNS:
        reply = turn.reply
        texts += [reply] if isinstance(reply, str) else [reply.then, reply.sorry]
    return [text for text in texts if text]


def sentences(text: str) -> list[str]:
    """Split a text after its full stops, question and exclamation marks."""
    return [part for part in SENTENCE_END.split(text.strip()) if part]
