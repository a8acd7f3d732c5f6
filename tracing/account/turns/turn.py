"""One turn of the agent: its spans, and what several readers want to know of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeAlias

from tracing import names
from tracing.span import STATUS_ERROR, Attributes, Span

ByName: TypeAlias = Mapping[str, Sequence[Span]]
"""Spans by their name, those of a name by start."""

_NO_SPANS: ByName = {}
_NOTHING: Attributes = {}

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
        """The user's side since the last answer: turns, speech, hooks, and handoffs."""
        self.earlier = earlier
        """The steps of turns that left the user unanswered, such as one that handed over."""
        self.observed = observed
        """What only events know."""
        self.has_failures = any(
            step.status_code == STATUS_ERROR for same in steps.values() for step in same
        )
        """Whether any of its steps failed; most readers of failures need not look further."""
        self.speaking = named(steps, names.AGENT_SPEAKING)
        """The stretches in which the agent was heard, or read where there is no audio."""
        self.first_sound = self.speaking[0].start_time_unix_nano if self.speaking else None
        self.llm_steps = self._before_sound(*LLM_NODES)
        """The LLM steps that began before the first sound, if there was one."""
        self.spoken_step = self.llm_steps[-1] if self.llm_steps else None
        """The LLM step that the first sound is from; without one it was given to `say`."""
        self.voice = self._voice()
        """The TTS node whose audio was the first sound."""
        self.answered = self._answered()
        """The user's turn that this one answers: the last that began before it."""
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

    def _answered(self) -> Span | None:
        start = self.span.start_time_unix_nano
        for span in reversed(named(self.user, names.USER_TURN)):
            if span.start_time_unix_nano <= start:
                return span
        return None

    def user_delay(self, key: str) -> float | None:
        """A delay that LiveKit copies from the user's turn to this one, at times."""
        theirs = self.answered.attributes if self.answered is not None else _NOTHING
        return number(self.span.attributes.get(key, theirs.get(key)))


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
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return None if value == 0 and isinstance(value, int) else float(value)


def metrics(spans: Iterable[Span], key: str) -> list[Mapping[str, Any]]:
    """The metrics that LiveKit left on spans as JSON, recovery probes aside."""
    texts = (
        names.text(span.attributes, key)
        for span in spans
        if not span.attributes.get(names.FALLBACK_RECOVERY)
    )
    return [parsed(text) for text in texts if text]


@lru_cache(maxsize=256)
def parsed(text: str) -> Mapping[str, Any]:
    """LiveKit's metrics from their JSON, which several readers of one turn want."""
    found: Mapping[str, Any] = json.loads(text)
    return found


def tools(spans: Iterable[Span]) -> list[dict[str, Any]]:
    """Tool calls as they are reported: name, duration, and whether they failed."""
    return [
        {
            "name": names.text(span.attributes, names.TOOL_NAME),
            "duration_seconds": span.duration_seconds,
            "is_error": bool(span.attributes.get(names.TOOL_IS_ERROR, False)),
        }
        for span in spans
    ]


def failures(spans: ByName, stage: str) -> list[Span]:
    """What failed of a stage: its attempts, else the whole of it; of `tool` the calls."""
    if stage == "tool":
        calls = named(spans, names.FUNCTION_TOOL)
        return [call for call in calls if call.attributes.get(names.TOOL_IS_ERROR)]
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
