"""One turn of the agent: what its spans say of it, as attributes for its `agent_turn` span."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from tracing.livekit import names
from tracing.span import STATUS_ERROR, Attributes, AttributeValue, Span

BARGE_IN_SOURCES = frozenset({"audio_activity", "user_turn"})
LLM_NODES = frozenset({names.LLM_NODE, names.REALTIME_INFERENCE})


ByName: TypeAlias = Mapping[str, Sequence[Span]]
"""Spans by their name."""


class Turn(NamedTuple):
    """The spans that tell of one turn of the agent; those that are over."""

    span: Span
    """The `agent_turn`."""
    steps: ByName = {}
    """What ran inside it."""
    user: ByName = {}
    """The user's side since the last answer: turns, speech, hooks, and handoffs."""
    earlier: ByName = {}
    """The steps of turns that left the user unanswered, such as one that handed over."""
    observed: Attributes = {}
    """What only events know."""


def by_name(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """Return spans by their name."""
    found: dict[str, list[Span]] = {}
    for span in spans:
        found.setdefault(span.name, []).append(span)
    return found


def named(spans: ByName, *wanted: str) -> list[Span]:
    """Return the spans of these names, by start."""
    found = [span for name in wanted for span in spans.get(name, ())]
    return sorted(found, key=lambda s: s.start_time_unix_nano)


def number(value: object) -> float | None:
    """Return a measurement, or None for what is no number or the zero that means unknown.

    LiveKit writes an int 0 where it does not know; a measured zero is a double.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return None if value == 0 and isinstance(value, int) else float(value)


def first_sound(turn: Turn) -> int | None:
    """Return when the agent was first heard in this turn, or read where there is no audio."""
    speaking = named(turn.steps, names.AGENT_SPEAKING)
    return speaking[0].start_time_unix_nano if speaking else None


def user_turn(turn: Turn) -> Span | None:
    """Return the user's turn that this one answers: the last that began before it."""
    began = [
        s
        for s in named(turn.user, names.USER_TURN)
        if s.start_time_unix_nano <= turn.span.start_time_unix_nano
    ]
    return began[-1] if began else None


def metrics(spans: Iterable[Span], key: str) -> list[dict[str, Any]]:
    """Return the metrics that LiveKit left on spans as JSON, recovery probes aside."""
    found = []
    for span in spans:
        text = span.attributes.get(key)
        if isinstance(text, str) and not span.attributes.get(names.FALLBACK_RECOVERY):
            found.append(json.loads(text))
    return found


def kind(turn: Turn, *, user_has_spoken: bool) -> str:
    """Say what sort of turn this is; see `names.TURN_KIND`."""
    given = turn.observed.get(names.TURN_KIND)
    attributes = turn.span.attributes
    if given:
        return str(given)
    if names.E2E_LATENCY in attributes or names.first(attributes, names.USER_INPUT):
        return "discarded" if _is_discarded(turn) else "reply"
    if not named(turn.steps, *LLM_NODES):
        return "say" if user_has_spoken else "greeting"
    if _is_discarded(turn):
        return "discarded"
    answered = user_turn(turn)
    if answered is not None and number(answered.attributes.get(names.END_OF_TURN_DELAY)):
        return "reply"
    if named(turn.steps, names.REALTIME_INFERENCE) and named(turn.user, names.USER_SPEAKING):
        return "reply"
    return "prompted" if user_has_spoken else "greeting"


def _is_discarded(turn: Turn) -> bool:
    """Whether the turn was a preemptive generation, given up before it was its time to speak."""
    attributes = turn.span.attributes
    return (
        attributes.get(names.INTERRUPTION_SOURCE) == "programmatic"
        and names.QUEUE_WAIT not in attributes
        and first_sound(turn) is None
    )


def facts(turn: Turn) -> dict[str, AttributeValue]:
    """Return what is known of a turn apart from its latency; what is unknown is absent."""
    found: dict[str, AttributeValue | None] = {
        **_agent_side(turn),
        **_user_side(turn),
        **_llm(turn),
        **_tts(turn),
        **_tools(turn),
        **_trouble(turn),
    }
    return {key: value for key, value in found.items() if value is not None}


def _agent_side(turn: Turn) -> Mapping[str, AttributeValue | None]:
    attributes = turn.span.attributes
    speaking = named(turn.steps, names.AGENT_SPEAKING)
    interrupted = bool(attributes.get(names.INTERRUPTED, False))
    heard = number(attributes.get(names.PLAYOUT_POSITION)) if interrupted else None
    made = sum(m["audio_duration"] for m in metrics(turn.steps, names.TTS_METRICS))
    resumed = len(speaking) - 1 if attributes.get(names.GENERATION_COUNT) == 1 else 0
    return {
        names.TURN_WAS_INTERRUPTED: interrupted,
        names.TURN_BARGED_IN: attributes.get(names.INTERRUPTION_SOURCE) in BARGE_IN_SOURCES,
        names.TURN_HEARD: heard,
        names.TURN_HEARD_SHARE: min(heard / made, 1.0) if heard is not None and made else None,
        names.TURN_FALSE_INTERRUPTIONS: resumed if resumed > 0 else None,
        names.TURN_AGENT_STARTED: speaking[0].start_time_unix_nano / 1e9 if speaking else None,
        names.TURN_AGENT_STOPPED: speaking[-1].end_time_unix_nano / 1e9 if speaking else None,
    }


def _user_side(turn: Turn) -> Mapping[str, AttributeValue | None]:
    own, answered = turn.span.attributes, user_turn(turn)
    theirs = answered.attributes if answered is not None else {}
    hooks = named(turn.user, names.ON_USER_TURN_COMPLETED)
    hook = own.get(names.ON_USER_TURN_COMPLETED_DELAY)
    if hook is None and hooks and answered is not None:
        hook = hooks[-1].duration_seconds
    delays = {
        key: own.get(key, theirs.get(key))
        for key in (names.TRANSCRIPTION_DELAY, names.END_OF_TURN_DELAY)
    }
    return {
        names.TURN_TRANSCRIPTION_DELAY: number(delays[names.TRANSCRIPTION_DELAY]),
        names.TURN_END_OF_TURN_DELAY: number(delays[names.END_OF_TURN_DELAY]),
        names.TURN_HOOK_DELAY: number(hook),
        names.TURN_CONFIDENCE: number(theirs.get(names.TRANSCRIPT_CONFIDENCE)),
        names.TURN_RESUMES: theirs.get(names.EOU_RESUME_COUNT),
    }


def _llm(turn: Turn) -> Mapping[str, AttributeValue | None]:
    calls = metrics(turn.steps, names.LLM_METRICS)
    realtime = metrics(turn.steps, names.REALTIME_METRICS_JSON)
    if not calls and not realtime:
        return {}
    sent = sum(m["prompt_tokens"] for m in calls) + sum(m["input_tokens"] for m in realtime)
    made = sum(m["completion_tokens"] for m in calls) + sum(m["output_tokens"] for m in realtime)
    cached = sum(m["prompt_cached_tokens"] for m in calls)
    cached += sum(m["input_token_details"]["cached_tokens"] for m in realtime)
    speeds = [m["tokens_per_second"] for m in (*calls, *realtime) if m["tokens_per_second"] > 0]
    ttfts = [number(s.attributes.get(names.TTFT)) for s in named(turn.steps, names.LLM_NODE)]
    return {
        names.TURN_LLM_CALLS: len(calls) + len(realtime),
        names.TURN_LLM_INPUT: sent or None,
        names.TURN_LLM_OUTPUT: made or None,
        names.TURN_LLM_CACHED: cached if sent else None,
        names.TURN_LLM_CACHED_SHARE: cached / sent if sent else None,
        names.TURN_LLM_SPEED: speeds[-1] if speeds else None,
        names.TURN_TTFT: ttfts[-1] if ttfts else None,
    }


def _tts(turn: Turn) -> Mapping[str, AttributeValue | None]:
    made = metrics(turn.steps, names.TTS_METRICS)
    nodes = named(turn.steps, names.TTS_NODE)
    ttfbs = [ttfb for s in nodes if (ttfb := number(s.attributes.get(names.TTFB))) is not None]
    return {
        names.TURN_TTS_CHARACTERS: sum(m["characters_count"] for m in made) or None,
        names.TURN_TTS_AUDIO: sum(m["audio_duration"] for m in made) or None,
        names.TURN_TTFB: ttfbs[0] if ttfbs else None,
    }


def tools(spans: Iterable[Span]) -> list[dict[str, Any]]:
    """Return the tool calls among spans, in order: name, duration, and whether they failed."""
    return [
        {
            "name": str(span.attributes.get(names.TOOL_NAME, "")),
            "duration_seconds": span.duration_seconds,
            "is_error": bool(span.attributes.get(names.TOOL_IS_ERROR, False)),
        }
        for span in named(spans, names.FUNCTION_TOOL)
    ]


def _tools(turn: Turn) -> Mapping[str, AttributeValue | None]:
    called = tools(turn.steps)
    if not called:
        return {}
    failures = sum(tool["is_error"] for tool in called)
    return {
        names.TURN_TOOLS: json.dumps(called),
        names.TURN_TOOL_CALLS: len(called),
        names.TURN_TOOL_FAILURES: failures or None,
        names.TURN_ERRORS + "tool": failures or None,
    }


def _trouble(turn: Turn) -> Mapping[str, AttributeValue | None]:
    runs = named(turn.steps, names.LLM_REQUEST_RUN, names.TTS_REQUEST_RUN)
    adapters = named(turn.steps, names.LLM_FALLBACK_ADAPTER, names.TTS_FALLBACK_ADAPTER)
    served = [s.attributes.get(names.FALLBACK_INDEX) for s in adapters]
    retried = [s.attributes.get(names.RETRY_COUNT) for s in runs]
    discarded = [e for e in turn.span.events if e.name == names.EVENT_GENERATION_DISCARDED]
    return {
        names.TURN_RETRIES: sum(1 for count in retried if number(count)) or None,
        names.TURN_FALLBACKS: sum(1 for index in served if number(index)) or None,
        names.TURN_DISCARDED: len(discarded) or None,
        **{
            names.TURN_ERRORS + stage: len(failures((*turn.steps, turn.span), stage)) or None
            for stage in _STAGES
        },
    }


_STAGES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "llm": ((names.LLM_REQUEST_RUN,), (names.LLM_NODE,)),
    "tts": ((names.TTS_REQUEST_RUN,), (names.TTS_NODE,)),
    "realtime": ((names.REALTIME_INFERENCE,),),
}
"""The spans that show a stage's failures: its attempts, else the stage itself."""


def failures(spans: Iterable[Span], stage: str) -> list[Span]:
    """Return the attempts of a stage that failed; for `tool`, the calls."""
    spans = list(spans)
    if stage == "tool":
        return [
            s for s in named(spans, names.FUNCTION_TOOL) if s.attributes.get(names.TOOL_IS_ERROR)
        ]
    for wanted in _STAGES.get(stage, ()):
        failed = [
            s
            for s in named(spans, *wanted)
            if s.status_code == STATUS_ERROR and not s.attributes.get(names.FALLBACK_RECOVERY)
        ]
        if failed:
            return failed
    return []
