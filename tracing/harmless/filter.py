"""What is left where content is withheld: numbers, and the texts that are known to be technical.

An attribute's text stays only where its name is listed, and so do the names of events: what
nobody has looked at may hold what somebody said, typed or is called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from tracing import names, stamps
from tracing.harmless.listed import EVENT_NAMES, KNOWN_CONTENT, PREFIXES, SPAN_NAMES, TEXTS
from tracing.span import Attributes, AttributeValue, Event, Span

WITHHELD = "[withheld]"
"""What stands where something was said."""

_VOUCHED = "logger:"
"""What the name of a logger follows among those that the application vouches for."""

_VOUCHED_LINE = (stamps.LOG_LOGGER, stamps.LOG_MESSAGE)

_is_one_word = re.compile(r"[\w.-]*").fullmatch

_ADDRESSED: Mapping[str, tuple[str, ...]] = {
    "http.": ("http.request.method", "http.method"),
    "url.": ("http.request.method", "http.method"),
    "db.": ("db.operation.name", "db.operation"),
    "messaging.": ("messaging.operation.name", "messaging.operation.type", "messaging.operation"),
}
"""By what a span's attributes begin with, those that name it: its own name may hold an address,
a statement or a queue."""


def _without_reasons(text: object) -> AttributeValue | None:
    judged = json.loads(str(text))
    return json.dumps([{key: found.get(key) for key in ("name", "verdict")} for found in judged])


def _tools_that_are(text: object) -> AttributeValue | None:
    """Of a call that could not run, a model made up the name, for all that is known."""
    called = json.loads(str(text))
    return json.dumps(
        [tool if "duration_seconds" in tool else {**tool, "name": WITHHELD} for tool in called]
    )


def _livekits_tags(tags: object) -> AttributeValue | None:
    if not isinstance(tags, (list, tuple)):
        return None
    known = ("lk.success", "lk.fail", "lk.judge.")
    return [tag for tag in map(str, tags) if tag.startswith(known)] or None


def _livekits_outcome(outcome: object) -> AttributeValue | None:
    return str(outcome) if outcome in ("success", "fail") else None


def _without_words(text: object) -> AttributeValue | None:
    """Of the application's scores those that are numbers, without comments."""
    kept = ("name", "value", "time")
    scores = [score for score in json.loads(str(text)) if not isinstance(score["value"], str)]
    return json.dumps([{key: score[key] for key in kept} for score in scores]) if scores else None


def _known_error(text: object) -> AttributeValue | None:
    return str(text) if text in (names.STT_ERROR, names.TTS_ERROR) else WITHHELD


_PARTLY: Mapping[str, Callable[[object], AttributeValue | None]] = {
    names.EXCEPTION_MESSAGE: lambda text: WITHHELD,
    stamps.TURN_TOOLS: _tools_that_are,
    stamps.CALL_EVALUATIONS: _without_reasons,
    stamps.CALL_TAGS: _livekits_tags,
    stamps.CALL_OUTCOME: _livekits_outcome,
    stamps.CALL_SCORES: _without_words,
    stamps.TURN_ERROR: _known_error,
}
"""Texts of which a part is technical, or of which it is worth to know that there was one."""

_NUMBERS = frozenset({bool, int, float})


def without_known_content(attributes: Attributes) -> dict[str, AttributeValue]:
    """The attributes but for what LiveKit says is content: where nothing is withheld as yet."""
    return {
        key: value
        for key, value in attributes.items()
        if key not in KNOWN_CONTENT and "pii" not in key.split(".")
    }


class Harmless:
    """What stays of a span without content; `added` are names that the application vouches for."""

    def __init__(self, added: Iterable[str] = ()) -> None:
        self.added = frozenset(added)
        loggers = (name for name in self.added if name.startswith(_VOUCHED))
        self._loggers = tuple(name.removeprefix(_VOUCHED) for name in loggers)

    def __contains__(self, name: object) -> bool:
        """Whether the texts under this name stay."""
        return isinstance(name, str) and (name in self.added or _is_known(name))

    def has_logger(self, name: str) -> bool:
        """Whether the application says that a logger, or one above it, logs no content."""
        return any(name == known or name.startswith(f"{known}.") for known in self._loggers)

    def attributes(self, attributes: Attributes) -> dict[str, AttributeValue]:
        """The attributes that carry no content."""
        kept: dict[str, AttributeValue] = {}
        for key, value in attributes.items():
            if value.__class__ in _NUMBERS or key in self.added or _is_known(key):
                kept[key] = value
            elif (found := _part(key, value)) is not None:
                kept[key] = found
        return kept

    def span(self, span: Span) -> Span:
        """The span with its name, times, kind, status and numbers, and what is known of texts."""
        return span._replace(
            name=self._name(span),
            attributes=self.attributes(span.attributes),
            events=tuple(map(self._event, span.events)) if span.events else (),
            links=tuple(
                link._replace(attributes=self.attributes(link.attributes)) for link in span.links
            ),
            status_message=WITHHELD if span.status_message else "",
            trace_state="",
            resource=self.attributes(span.resource) if span.resource else span.resource,
        )

    def _event(self, event: Event) -> Event:
        is_known = event.name in EVENT_NAMES or event.name in self.added
        kept, given = self.attributes(event.attributes), event.attributes
        if event.name == stamps.EVENT_LOG and self.has_logger(names.text(given, stamps.LOG_LOGGER)):
            kept.update({key: given[key] for key in _VOUCHED_LINE if key in given})
        return Event(event.name if is_known else WITHHELD, event.time_unix_nano, kept)

    def _name(self, span: Span) -> str:
        """The span's name; of what is asked by an address or in a statement, what code made."""
        name = span.name
        if name in SPAN_NAMES or name in self.added or _is_one_word(name):
            return name
        for prefix, naming in _ADDRESSED.items():
            if any(key.startswith(prefix) for key in span.attributes):
                told = str(names.first(span.attributes, naming) or prefix[:-1])
                return f"{told} {names.text(span.attributes, 'http.route')}".rstrip()
        return WITHHELD if "://" in name else name


@lru_cache(maxsize=10_000)
def _is_known(name: str) -> bool:
    return name in TEXTS or name.startswith(PREFIXES)


def _part(key: str, value: AttributeValue) -> AttributeValue | None:
    """What stays of a value that is no plain number, under a name that is not listed."""
    if key in _PARTLY:
        try:
            return _PARTLY[key](value)
        except (AttributeError, TypeError, ValueError):
            return None
    return value if _is_numeric(value) else None


def _is_numeric(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_numeric, value))
    return isinstance(value, (bool, int, float))
