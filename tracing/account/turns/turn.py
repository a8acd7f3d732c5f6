"""One turn of the agent: its spans, and what several readers want to know of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

from tracing import names
from tracing.account.measured import Measured, is_number, measured
from tracing.span import STATUS_ERROR, Attributes, Event, Span

ByName: TypeAlias = Mapping[str, Sequence[Span]]
"""Spans by their name, those of a name by start."""

_NO_SPANS: ByName = {}
_NOTHING: Attributes = {}

_WORD = re.compile(r"\w+")
_AT_ONCE_NANOS = 50_000_000

LLM_NODES = (names.LLM_NODE, names.REALTIME_INFERENCE)


class Turn:
    """The spans that tell of one turn of the agent, those that are over.

    What several readers want to know of it is found once, here: this runs on the voice loop.
    """

    def __init__(
        self,
        span: Span,
        steps: ByName = _NO_SPANS,
        user: ByName = _NO_SPANS,
        earlier: ByName = _NO_SPANS,
        observed: Attributes = _NOTHING,
    ) -> None:
        self.span = span
        """The `agent_turn`."""
        self.steps = steps
        """What ran inside it."""
        self.user = user
        """The user's side since the last answer: turns, speech, hooks, and handoffs. What is still
        open ends with this turn."""
        self.earlier = earlier
        """The steps of turns that left the user unanswered, such as one that handed over, or one
        whose tool goes on while this turn speaks."""
        self.observed = observed
        """What only events know."""
        self.has_failures = any(
            step.status_code == STATUS_ERROR for same in steps.values() for step in same
        )
        """Whether any of its steps failed; most readers of failures need not look further."""
        self.speaking = named(steps, names.AGENT_SPEAKING)
        """The stretches in which the agent was heard, or read where there is no audio."""
        self.first_sound = self.speaking[0].start_time_unix_nano if self.speaking else None
        self.measured = self._measured()
        """LiveKit's latency, in seconds."""
        self.llm_steps = kept(self._before_sound(*LLM_NODES), span.events)
        """The LLM steps that began before the first sound, if there was one; none that was
        discarded."""
        self.spoken_step = self.llm_steps[-1] if self.llm_steps else None
        """The LLM step that the first sound is from; without one it was given to `say`."""
        self.voice = self._voice()
        """The TTS node whose audio was the first sound."""
        self.answered = self._answered()
        """The user's turn that this one answers: the last that began before its wait, else the one
        in which its input was heard, or that it followed at once."""
        self.llm_metrics = metrics(named(steps, names.LLM_REQUEST), names.LLM_METRICS)
        self.tts_metrics = metrics(named(steps, names.TTS_REQUEST), names.TTS_METRICS)
        self.realtime_metrics = metrics(
            named(steps, names.REALTIME_INFERENCE, names.REALTIME_METRICS),
            names.REALTIME_METRICS_JSON,
        )

    def _before_sound(self, name: str, *others: str) -> Sequence[Span]:
        found, sound = named(self.steps, name, *others), self.first_sound
        if sound is None:
            return found
        return [span for span in found if span.start_time_unix_nano < sound]

    def _voice(self) -> Span | None:
        begun = 0 if self.spoken_step is None else self.spoken_step.start_time_unix_nano
        voices = self._before_sound(names.TTS_NODE)
        return next((v for v in voices if v.start_time_unix_nano >= begun), None)

    def _measured(self) -> float | None:
        """One below zero, from speech that overlapped, tells nothing."""
        measured = number(self.span.attributes.get(names.E2E_LATENCY))
        return measured if measured is not None and measured >= 0 else None

    @property
    def last_word(self) -> int | None:
        """When the user stopped speaking, where LiveKit measured from there."""
        if self.measured is None or self.first_sound is None:
            return None
        return self.first_sound - round(self.measured * 1e9)

    def _answered(self) -> Span | None:
        word = self.last_word
        before = self.span.start_time_unix_nano if word is None else word
        user_turns = named(self.user, names.USER_TURN)
        begun = [turn for turn in user_turns if turn.start_time_unix_nano <= before]
        if not begun or word is not None:
            return begun[-1] if begun else None
        asked = str(names.first(self.span.attributes, names.USER_INPUT) or "")
        heard = [str(names.first(t.attributes, names.USER_TRANSCRIPT) or "") for t in begun]
        if asked and heard[-1]:
            for turn, text in zip(reversed(begun), reversed(heard), strict=True):
                if text and are_same_words(asked, text):
                    return turn
            if self.span.start_time_unix_nano > begun[-1].end_time_unix_nano + _AT_ONCE_NANOS:
                return None  # typed
        return begun[-1]

    def user_delay(self, key: str) -> float | None:
        """A delay that LiveKit copies from the user's turn to this one, at times."""
        theirs = self.answered.attributes if self.answered is not None else _NOTHING
        own = number(self.span.attributes.get(key))
        return number(theirs.get(key)) if own is None else own


def by_name(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """Spans by their name, those of a name by start."""
    found: dict[str, list[Span]] = {}
    for span in spans:
        found.setdefault(span.name, []).append(span)
    return in_order(found)


def in_order(spans: dict[str, list[Span]]) -> dict[str, list[Span]]:
    """The same lists, with the spans of each by start."""
    for same in spans.values():
        if len(same) > 1:
            same.sort(key=_START)
    return spans


_START = attrgetter("start_time_unix_nano")


def merged(spans: ByName, others: ByName) -> ByName:
    """The spans of both, those of a name by start."""
    if not others:
        return spans
    found = {name: [*same, *others.get(name, ())] for name, same in spans.items()}
    found.update({name: [*same] for name, same in others.items() if name not in spans})
    return in_order(found)


def kept(steps: Sequence[Span], events: Iterable[Event]) -> Sequence[Span]:
    """The LLM's steps in a turn without those that its events say were discarded."""
    given_up = discarded((step.start_time_unix_nano for step in steps), events)
    return [s for s in steps if s.start_time_unix_nano not in given_up] if given_up else steps


def discarded(starts: Iterable[int], events: Iterable[Event]) -> set[int]:
    """Of the starts of a turn's steps, those of the ones that its events say were discarded."""
    given_up: set[int] = set()
    times = [e.time_unix_nano for e in events if e.name == names.EVENT_GENERATION_DISCARDED]
    left = sorted(starts) if times else []
    for time_unix_nano in times:
        begun = [start for start in left if start < time_unix_nano and start not in given_up]
        given_up.update(begun[-1:])
    return given_up


def are_same_words(text: str, other: str) -> bool:
    """Whether one text has all words of the other in their order, whatever stands between."""
    words, others = (f" {' '.join(_WORD.findall(one.lower()))} " for one in (text, other))
    return words in others or others in words


def named(spans: ByName, name: str, *others: str) -> Sequence[Span]:
    """Spans of these names, by start."""
    found = spans.get(name, ())
    for other in others:
        if other in spans:
            found = sorted((*found, *spans[other]), key=_START)
    return found


def number(value: object) -> float | None:
    """A measurement; None for what is none, and for the zero that means unknown.

    LiveKit writes an int 0 where it does not know; a measured zero is a double.
    """
    if not isinstance(value, (int, float)) or not is_number(value):
        return None
    return None if value == 0 and isinstance(value, int) else float(value)


def metrics(spans: Iterable[Span], key: str) -> list[Measured]:
    """The metrics that LiveKit left on spans as JSON, recovery probes aside."""
    texts = (
        names.text(span.attributes, key)
        for span in spans
        if not names.is_true(span.attributes, names.FALLBACK_RECOVERY)
    )
    return [measured(text) for text in texts if text]


def tools(spans: Iterable[Span], refused: object = ()) -> list[dict[str, Any]]:
    """Tool calls as they are reported: name, duration, and whether they failed.

    `refused` are the names of those that could not run, `stamps.TURN_REFUSED_TOOLS`.
    """
    ran = [
        {
            "name": names.text(span.attributes, names.TOOL_NAME),
            "duration_seconds": span.duration_seconds,
            "is_error": names.is_true(span.attributes, names.TOOL_IS_ERROR),
        }
        for span in spans
    ]
    return [*ran, *({"name": name, "is_error": True} for name in names_in(refused))]


def names_in(value: object) -> Sequence[str]:
    """An attribute that is a list of names; empty for anything else."""
    return [str(name) for name in value] if isinstance(value, (list, tuple)) else ()


def failures(spans: ByName, stage: str) -> list[Span]:
    """What failed of a stage: its attempts, else the whole of it; of `tool` the calls."""
    if stage == "tool":
        calls = named(spans, names.FUNCTION_TOOL)
        return [call for call in calls if names.is_true(call.attributes, names.TOOL_IS_ERROR)]
    whole = {"realtime": names.REALTIME_INFERENCE}.get(stage, f"{stage}_node")
    tried = attempts(spans, stage) if _failed(named(spans, f"{stage}_request_run")) else ()
    return _failed(tried) or _failed(named(spans, whole))


def attempts(spans: ByName, *stages: str) -> list[Span]:
    """The attempts of the LLM's or the TTS's steps, until the one that served.

    What else failed there are the probes by which a fallback adapter looks whether a provider
    is back.
    """
    found = []
    for stage in stages:
        for node in named(spans, f"{stage}_node"):
            runs = within(spans, f"{stage}_request_run", node)
            served = [run for run in runs if run.status_code != STATUS_ERROR][-1:]
            begun = served[0].start_time_unix_nano if served else node.end_time_unix_nano
            found += [run for run in _failed(runs) if run.end_time_unix_nano <= begun] + served
    return found


def within(spans: ByName, name: str, outer: Span) -> list[Span]:
    """The spans of a name that began during another."""
    start, end = outer.start_time_unix_nano, outer.end_time_unix_nano
    return [s for s in named(spans, name) if start <= s.start_time_unix_nano <= end]


def _failed(spans: Iterable[Span]) -> list[Span]:
    return [span for span in spans if span.status_code == STATUS_ERROR]
