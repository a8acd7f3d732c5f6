"""What the application says of one call, as attributes of its root: bounded, safe in threads."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tracing import stamps
from tracing.safe_text import get_logger
from tracing.span import Attributes, AttributeValue

logger = get_logger(__name__)

MAX_TAGS = 50
MAX_METADATA = 50
MAX_SCORES = 100
MAX_EVENTS = 100
"""Of each, what is kept of one call."""
MAX_NAME = 200
"""Characters of a tag, an outcome, and of the names of metadata, scores and events."""
MAX_TEXT = 1000
"""Characters of any other text."""
MAX_CHARACTERS = 64 * 2**10
"""Of all texts of one call: they are written again whenever something is said."""

_encode = json.JSONEncoder(ensure_ascii=False).encode
_OPPOSITE = {"success": "fail", "fail": "success"}


class Words:
    """What was said of a call until now. What is over a bound is left out, and counted.

    `mask` is for every text; `tagged` hears of all tags whenever there is a new one. Each method
    returns how many of the things that it was given were left out or cut.
    """

    def __init__(
        self,
        mask: Callable[[Any], Any] = lambda value: value,
        tagged: Callable[[list[str]], None] = lambda tags: None,
    ) -> None:
        self.is_over = False
        """Whether the root has ended, and with it what can be said of the call."""
        self.on_root: Attributes = {}
        """All of it but events, as attributes of the root."""
        self.until_end: Attributes = {}
        """The same of the root that is open: events too, which their own spans end with."""
        self.problems: set[str] = set()
        """What was complained of, once."""
        self._mask = mask
        self._tagged = tagged
        self._characters = 0
        self._tags: dict[str, None] = {}
        self._metadata: dict[str, AttributeValue] = {}
        self._outcome = ""
        self._scores: list[str] = []
        self._events: list[str] = []
        """Both as JSON, which is made once."""
        self._saying = threading.Lock()

    def tag(self, tags: Iterable[str]) -> int:
        """Add tags to those that it has."""
        with self._saying:
            lost = 0
            for tag in filter(None, tags):
                kept = self._kept(tag, MAX_NAME)
                if kept in self._tags:
                    continue
                if len(self._tags) < MAX_TAGS and self._has_room(kept):
                    self._tags[kept] = None
                    lost += len(tag) > MAX_NAME
                else:
                    lost += 1
            self._changed()
            if self._tags:
                self._tagged(sorted(self._tags))
        return lost

    def describe(self, metadata: Mapping[str, AttributeValue]) -> int:
        """Add metadata; a name that is said again has the later value."""
        with self._saying:
            lost = 0
            for name, value in metadata.items():
                kept, before = self._kept(value, MAX_TEXT), self._metadata.get(name, "")
                is_known = name in self._metadata or len(self._metadata) < MAX_METADATA
                fits = len(name) <= MAX_NAME and _length(kept) <= MAX_TEXT
                if is_known and fits and self._has_room(kept, instead_of=before):
                    self._metadata[name] = kept
                    lost += isinstance(value, str) and len(value) > MAX_TEXT
                else:
                    lost += 1
            self._changed()
        return lost

    def conclude(self, outcome: str) -> int:
        """Say what came of the call; the last word counts."""
        with self._saying:
            self._outcome = self._kept(outcome, MAX_NAME)
            self._changed()
        return int(len(outcome) > MAX_NAME)

    def score(self, name: str, value: float | str, comment: str, unix_nano: int) -> int:
        """Add a score, of the time at which it was said."""
        texts = [("comment", comment), *([("value", value)] if isinstance(value, str) else [])]
        with self._saying:
            kept = {key: self._kept(text, MAX_TEXT) for key, text in texts if text}
            score = {"name": name[:MAX_NAME], "value": value, **kept, "time": unix_nano / 1e9}
            if len(self._scores) >= MAX_SCORES or not self._has_room(name, *kept.values()):
                return 1
            self._scores.append(_encode(score))
            self._changed()
        return sum(_length(text) > MAX_TEXT for _, text in texts) + (len(name) > MAX_NAME)

    def happened(
        self, name: str, attributes: Mapping[str, AttributeValue], unix_nano: int, span_id: str
    ) -> Mapping[str, AttributeValue] | None:
        """Note an event of a span; its attributes as the span may have them, None without room."""
        kept = {key: self._kept(value, MAX_TEXT) for key, value in attributes.items()}
        event = {"span": span_id, "name": self._kept(name, MAX_NAME), "time": unix_nano}
        with self._saying:
            if len(self._events) >= MAX_EVENTS or not self._has_room(name, *kept.values()):
                return None
            self._events.append(_encode({**event, "attributes": kept}))
            self._changed()
        return {key: kept[key] if _length(v) > MAX_TEXT else v for key, v in attributes.items()}

    def beside(self, tagged: Attributes) -> Attributes:
        """What LiveKit's tagger says, but for an outcome where the application gave another.

        The reason stays with the outcome that it is for. Tags are those of both.
        """
        theirs = tagged.get(stamps.CALL_OUTCOME)
        if not self._outcome or theirs in (None, self._outcome):
            return tagged
        left = {stamps.CALL_OUTCOME}
        if theirs == _OPPOSITE.get(self._outcome):
            left.add(stamps.CALL_OUTCOME_REASON)
            logger.warning(
                "the call's outcome is %s by current_call(), and %s by LiveKit's tagger: the first"
                " is kept",
                self._outcome,
                theirs,
            )
        return {key: value for key, value in tagged.items() if key not in left}

    def at_end(self, recorded: Attributes) -> Attributes:
        """All of it on the root that ends, with the tags that stand there; then it is over."""
        self.is_over = True
        said = self.on_root
        theirs = recorded.get(stamps.CALL_TAGS)
        if stamps.CALL_TAGS not in said or not isinstance(theirs, list):
            return said
        return {**said, stamps.CALL_TAGS: [*sorted({*map(str, theirs), *self._tags})]}

    def _changed(self) -> None:
        found: dict[str, AttributeValue] = {
            stamps.CALL_METADATA + name: value for name, value in self._metadata.items()
        }
        if self._tags:
            found[stamps.CALL_TAGS] = [*sorted(self._tags)]
        if self._outcome:
            found[stamps.CALL_OUTCOME] = self._outcome
        if self._scores:
            found[stamps.CALL_SCORES] = f"[{', '.join(self._scores)}]"
        self.on_root = self.until_end = found
        if self._events:
            self.until_end = {**found, stamps.CALL_EVENTS: f"[{', '.join(self._events)}]"}

    def _kept(self, value: Any, most: int) -> Any:
        """A value as it is kept: masked, and its text no longer than `most`."""
        masked = self._mask(value)  # before it is cut: half a number is found by no mask
        if isinstance(masked, str):
            return masked[:most]
        if isinstance(masked, list):
            return [one[:most] if isinstance(one, str) else one for one in masked]
        return masked

    def _has_room(self, *values: Any, instead_of: Any = "") -> bool:
        more = sum(map(_length, values)) - _length(instead_of)
        if self._characters + more > MAX_CHARACTERS:
            return False
        self._characters += more
        return True


def _length(value: Any) -> int:
    """The characters of a value."""
    if isinstance(value, (list, tuple)):
        return sum(map(_length, value))
    return len(value) if isinstance(value, str) else 8
