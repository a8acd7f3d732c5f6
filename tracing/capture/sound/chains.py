"""A link of ours in a session's chain of audio, whoever puts a chain there and whenever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def keep_linked(side: Any, link: Callable[[Any], Any]) -> bool:
    """Have `link` extend the chain of a session's input or output, now and each time it changes.

    LiveKit puts a room's chain there when the session starts, and its recorder around that. False
    where this LiveKit does not work so.
    """
    name = "_audio_stream" if hasattr(side, "_audio_stream") else "_audio_sink"
    if not (hasattr(side, "_audio_changed") and hasattr(side, name)):
        return False
    changed = side._audio_changed

    def linked() -> None:
        chain = getattr(side, name)
        if chain is not None:
            setattr(side, name, link(chain))
        changed()

    side._audio_changed = linked
    if getattr(side, name) is not None:
        linked()
    return True
