"""One turn of the agent: what its spans say of it, as attributes for its `agent_turn` span."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeAlias

from tracing import names, stamps
from tracing.span import STATUS_ERROR, Attributes, AttributeValue, Span

ByName: TypeAlias = Mapping[str, Sequence[Span]]
"""Spans by their name, those of a name by start."""

_NO_SPANS: ByName = {}
_NOTHING: Attributes = {}

LLM_NODES = (names.LLM_NODE, names.REALTIME_INFERENCE)
BARGE_IN_SOURCES = ("audio_activity", "user_turn")


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
        """Return a delay that LiveKit copies from the user's turn to this one, at times."""
        theirs = self.answered.attributes if self.answered is not None else _NOTHING
        return number(self.span.attributes.get(key, theirs.get(key)))


def by_name(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """Return spans by their name, those of a name by start."""
    found: dict[str, list[Span]] = {}
    for span in spans:
        found.setdefault(span.name, []).append(span)
    return in_order(found)


def in_order(spans: dict[str, list[Span]]) -> dict[str, list[Span]]:
    """Return the same lists, with the spans of each by start."""
    for same in spans.values():
        if len(same) > 1:
            same.sort(key=_START)
    return spans


_START = attrgetter("start_time_unix_nano")


def named(spans: ByName, name: str, *others: str) -> Sequence[Span]:
    """Return spans of these names, by start."""
    found = spans.get(name, ())
    for other in others:
        if other in spans:
            found = sorted((*found, *spans[other]), key=_START)
    return found


def number(value: object) -> float | None:
    """Return a measurement; None for what is none, and for the zero that means unknown.

    LiveKit writes an int 0 where it does not know; a measured zero is a double.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return None if value == 0 and isinstance(value, int) else float(value)


def metrics(spans: Iterable[Span], key: str) -> list[Mapping[str, Any]]:
    """Return the metrics that LiveKit left on spans as JSON, recovery probes aside."""
    texts = (
        names.text(span.attributes, key)
        for span in spans
        if not span.attributes.get(names.FALLBACK_RECOVERY)
    )
    return [parsed(text) for text in texts if text]


@lru_cache(maxsize=256)
def parsed(text: str) -> Mapping[str, Any]:
    """Parse LiveKit's metrics, which several readers of one turn want."""
    found: Mapping[str, Any] = json.loads(text)
    return found


def kind(turn: Turn, *, user_has_spoken: bool) -> str:
    """Say what sort of turn this is; see `stamps.TURN_KIND`."""
    attributes = turn.span.attributes
    given = names.text(turn.observed, stamps.TURN_KIND)
    if given:
        return given
    if _is_discarded(turn):
        return "discarded"
    if names.E2E_LATENCY in attributes or names.first(attributes, names.USER_INPUT):
        return "reply"
    if names.PARENT_GENERATION in attributes:
        return "tool_follow_up"
    has_generated = bool(named(turn.steps, *LLM_NODES))
    if has_generated and _answers_speech(turn):
        return "reply"
    if not user_has_spoken:
        return "greeting"
    return "prompted" if has_generated else "say"


def _answers_speech(turn: Turn) -> bool:
    answered = turn.answered
    if answered is not None and number(answered.attributes.get(names.END_OF_TURN_DELAY)):
        return True
    is_realtime = bool(named(turn.steps, names.REALTIME_INFERENCE))
    return is_realtime and bool(named(turn.user, names.USER_SPEAKING))


def _is_discarded(turn: Turn) -> bool:
    """Whether a preemptive generation was given up before the user's turn was even decided."""
    attributes = turn.span.attributes
    return (
        bool(attributes.get(names.INTERRUPTED))
        and attributes.get(names.INTERRUPTION_SOURCE) not in BARGE_IN_SOURCES
        and names.QUEUE_WAIT not in attributes
        and names.LLM_NODE in turn.steps
        and turn.first_sound is None
        and turn.answered is None
    )


def facts(turn: Turn) -> dict[str, AttributeValue]:
    """Return what is known of a turn apart from its latency; what is unknown is absent."""
    readers = (_agent_side, _user_side, _llm, _modalities, _tts, _tools, _trouble)
    return {
        key: value for read in readers for key, value in read(turn).items() if value is not None
    }


def _agent_side(turn: Turn) -> Mapping[str, AttributeValue | None]:
    attributes = turn.span.attributes
    speaking = turn.speaking
    interrupted = bool(attributes.get(names.INTERRUPTED, False))
    heard = number(attributes.get(names.PLAYOUT_POSITION)) if interrupted else None
    made = sum(m["audio_duration"] for m in turn.tts_metrics)
    resumed = len(speaking) - 1 if attributes.get(names.GENERATION_COUNT) == 1 else 0
    return {
        stamps.TURN_WAS_INTERRUPTED: interrupted,
        stamps.TURN_BARGED_IN: attributes.get(names.INTERRUPTION_SOURCE) in BARGE_IN_SOURCES,
        stamps.TURN_HEARD: heard,
        stamps.TURN_HEARD_SHARE: min(heard / made, 1.0) if heard is not None and made else None,
        stamps.TURN_FALSE_INTERRUPTIONS: resumed if resumed > 0 else None,
        stamps.TURN_AGENT_STARTED: speaking[0].start_time_unix_nano / 1e9 if speaking else None,
        stamps.TURN_AGENT_STOPPED: speaking[-1].end_time_unix_nano / 1e9 if speaking else None,
    }


def _user_side(turn: Turn) -> Mapping[str, AttributeValue | None]:
    answered = turn.answered
    if answered is None:
        return {}
    hook = number(turn.span.attributes.get(names.ON_USER_TURN_COMPLETED_DELAY))
    hooks = named(turn.user, names.ON_USER_TURN_COMPLETED)
    if hook is None and hooks:
        hook = hooks[-1].duration_seconds
    return {
        stamps.TURN_USER_STARTED: answered.start_time_unix_nano / 1e9,
        stamps.TURN_TRANSCRIPTION_DELAY: turn.user_delay(names.TRANSCRIPTION_DELAY),
        stamps.TURN_END_OF_TURN_DELAY: turn.user_delay(names.END_OF_TURN_DELAY),
        stamps.TURN_HOOK_DELAY: hook,
        stamps.TURN_CONFIDENCE: number(answered.attributes.get(names.TRANSCRIPT_CONFIDENCE)),
        stamps.TURN_RESUMES: answered.attributes.get(names.EOU_RESUME_COUNT),
    }


def _llm(turn: Turn) -> Mapping[str, AttributeValue | None]:
    spoken, calls, realtime = turn.spoken_step, turn.llm_metrics, turn.realtime_metrics
    sent = sum(m["prompt_tokens"] for m in calls) + sum(m["input_tokens"] for m in realtime)
    made = sum(m["completion_tokens"] for m in calls) + sum(m["output_tokens"] for m in realtime)
    cached = sum(m["prompt_cached_tokens"] for m in calls)
    cached += sum(m["input_token_details"]["cached_tokens"] for m in realtime)
    speeds = [m["tokens_per_second"] for m in (*calls, *realtime) if m["tokens_per_second"] > 0]
    return {
        stamps.TURN_TTFT: number(spoken.attributes.get(names.TTFT)) if spoken else None,
        stamps.TURN_LLM_CALLS: len(calls) + len(realtime) or None,
        stamps.TURN_LLM_INPUT: sent or None,
        stamps.TURN_LLM_OUTPUT: made or None,
        stamps.TURN_LLM_CACHED: cached or None,
        stamps.TURN_LLM_CACHED_SHARE: cached / sent if cached and sent else None,
        stamps.TURN_LLM_SPEED: speeds[-1] if speeds else None,
    }


def _modalities(turn: Turn) -> Mapping[str, AttributeValue | None]:
    """Return a realtime model's tokens by modality."""
    found: dict[str, int] = {}
    for measured in turn.realtime_metrics:
        sent = measured["input_token_details"]
        for direction, counts in (
            ("input", sent),
            ("input_cached", sent.get("cached_tokens_details") or {}),
            ("output", measured["output_token_details"]),
        ):
            for modality in ("audio", "text", "image"):
                key = stamps.TURN_LLM_MODALITY.format(direction=direction, modality=modality)
                found[key] = found.get(key, 0) + counts.get(f"{modality}_tokens", 0)
    return {key: count or None for key, count in found.items()}


def _tts(turn: Turn) -> Mapping[str, AttributeValue | None]:
    made, speaker = turn.tts_metrics, turn.voice
    return {
        stamps.TURN_TTS_CHARACTERS: sum(m["characters_count"] for m in made) or None,
        stamps.TURN_TTS_AUDIO: sum(m["audio_duration"] for m in made) or None,
        stamps.TURN_TTFB: number(speaker.attributes.get(names.TTFB)) if speaker else None,
    }


def tools(spans: Iterable[Span]) -> list[dict[str, Any]]:
    """Return tool calls as they are reported: name, duration, and whether they failed."""
    return [
        {
            "name": names.text(span.attributes, names.TOOL_NAME),
            "duration_seconds": span.duration_seconds,
            "is_error": bool(span.attributes.get(names.TOOL_IS_ERROR, False)),
        }
        for span in spans
    ]


def _tools(turn: Turn) -> Mapping[str, AttributeValue | None]:
    called = tools(named(turn.steps, names.FUNCTION_TOOL))
    failures = sum(tool["is_error"] for tool in called)
    return {
        stamps.TURN_TOOLS: json.dumps(called) if called else None,
        stamps.TURN_TOOL_CALLS: len(called) or None,
        stamps.TURN_TOOL_FAILURES: failures or None,
    }


def _trouble(turn: Turn) -> Mapping[str, AttributeValue | None]:
    steps = turn.steps
    adapters = named(steps, names.LLM_FALLBACK_ADAPTER, names.TTS_FALLBACK_ADAPTER)
    discarded = [e for e in turn.span.events if e.name == names.EVENT_GENERATION_DISCARDED]
    runs = named(steps, names.LLM_REQUEST_RUN, names.TTS_REQUEST_RUN)
    retries = _above_zero(runs, names.RETRY_COUNT)
    if retries:  # some may be a fallback adapter's probes
        retries = _above_zero(attempts(steps, "llm", "tts"), names.RETRY_COUNT)
    failed = _MAY_FAIL if turn.has_failures else _MAY_FAIL_UNSEEN
    return {
        stamps.TURN_RETRIES: retries,
        stamps.TURN_FALLBACKS: _above_zero(adapters, names.FALLBACK_INDEX),
        stamps.TURN_DISCARDED: len(discarded) or None,
        **{stamps.TURN_ERRORS + s: len(failures(steps, s)) or None for s in failed},
    }


def _above_zero(spans: Iterable[Span], key: str) -> int | None:
    return sum(1 for span in spans if number(span.attributes.get(key))) or None


_MAY_FAIL_UNSEEN = ("tool",)
"""What fails without an error on its span: LiveKit says so in an attribute."""

_MAY_FAIL = ("llm", "tts", "realtime", *_MAY_FAIL_UNSEEN)
"""What can fail in a turn."""


def failures(spans: ByName, stage: str) -> list[Span]:
    """Return what failed of a stage: its attempts, else the whole of it; of `tool` the calls."""
    if stage == "tool":
        calls = named(spans, names.FUNCTION_TOOL)
        return [call for call in calls if call.attributes.get(names.TOOL_IS_ERROR)]
    whole = {"realtime": names.REALTIME_INFERENCE}.get(stage, f"{stage}_node")
    tried = attempts(spans, stage) if _failed(named(spans, f"{stage}_request_run")) else ()
    return _failed(tried) or _failed(named(spans, whole))


def attempts(spans: ByName, *stages: str) -> list[Span]:
    """Return the attempts of the LLM's or the TTS's steps, until the one that served.

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
    """Return the spans of a name that began during another."""
    start, end = outer.start_time_unix_nano, outer.end_time_unix_nano
    return [s for s in named(spans, name) if start <= s.start_time_unix_nano <= end]


def _failed(spans: Iterable[Span]) -> list[Span]:
    return [span for span in spans if span.status_code == STATUS_ERROR]
