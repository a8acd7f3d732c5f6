"""One turn of the agent: what its spans say of it, as attributes for its `agent_turn` span."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from tracing.livekit import names
from tracing.span import STATUS_ERROR, Attributes, AttributeValue, Span

ByName: TypeAlias = Mapping[str, Sequence[Span]]
"""Spans by their name."""

LLM_NODES = (names.LLM_NODE, names.REALTIME_INFERENCE)
BARGE_IN_SOURCES = ("audio_activity", "user_turn")


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


def first_sound(turn: Turn) -> int | None:
    """Return when the agent was first heard in this turn, or read where there is no audio."""
    speaking = named(turn.steps, names.AGENT_SPEAKING)
    return speaking[0].start_time_unix_nano if speaking else None


def before_sound(turn: Turn, *wanted: str) -> list[Span]:
    """Return the steps of these names that began before the agent was heard, if it was."""
    sound = first_sound(turn)
    found = named(turn.steps, *wanted)
    return found if sound is None else [s for s in found if s.start_time_unix_nano < sound]


def spoken_step(turn: Turn) -> Span | None:
    """Return the LLM step that the first sound is from; without one it was given to `say`."""
    return next(reversed(before_sound(turn, *LLM_NODES)), None)


def voice(turn: Turn) -> Span | None:
    """Return the TTS node whose audio was the first sound."""
    spoken = spoken_step(turn)
    begun = 0 if spoken is None else spoken.start_time_unix_nano
    voices = before_sound(turn, names.TTS_NODE)
    return next((v for v in voices if v.start_time_unix_nano >= begun), None)


def user_turn(turn: Turn) -> Span | None:
    """Return the user's turn that this one answers: the last that began before it."""
    start = turn.span.start_time_unix_nano
    began = [s for s in named(turn.user, names.USER_TURN) if s.start_time_unix_nano <= start]
    return began[-1] if began else None


def kind(turn: Turn, *, user_has_spoken: bool) -> str:
    """Say what sort of turn this is; see `names.TURN_KIND`."""
    attributes = turn.span.attributes
    given = names.text(turn.observed, names.TURN_KIND)
    if given:
        return given
    if _is_discarded(turn):
        return "discarded"
    if names.E2E_LATENCY in attributes or names.first(attributes, names.USER_INPUT):
        return "reply"
    if names.PARENT_GENERATION in attributes:
        return "tool_follow_up"
    if named(turn.steps, *LLM_NODES) and _answers_speech(turn):
        return "reply"
    if not user_has_spoken:
        return "greeting"
    return "prompted" if named(turn.steps, *LLM_NODES) else "say"


def _answers_speech(turn: Turn) -> bool:
    answered = user_turn(turn)
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
        and bool(named(turn.steps, names.LLM_NODE))
        and first_sound(turn) is None
        and user_turn(turn) is None
    )


def facts(turn: Turn) -> dict[str, AttributeValue]:
    """Return what is known of a turn apart from its latency; what is unknown is absent."""
    readers = (_agent_side, _user_side, _llm, _modalities, _tts, _tools, _trouble)
    return {
        key: value for read in readers for key, value in read(turn).items() if value is not None
    }


def _agent_side(turn: Turn) -> Mapping[str, AttributeValue | None]:
    attributes = turn.span.attributes
    speaking = named(turn.steps, names.AGENT_SPEAKING)
    interrupted = bool(attributes.get(names.INTERRUPTED, False))
    heard = number(attributes.get(names.PLAYOUT_POSITION)) if interrupted else None
    made = sum(m["audio_duration"] for m in _tts_metrics(turn))
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


def user_delay(turn: Turn, key: str) -> float | None:
    """Return a delay that LiveKit copies from the user's turn to this one, at times."""
    answered = user_turn(turn)
    theirs = answered.attributes if answered is not None else {}
    return number(turn.span.attributes.get(key, theirs.get(key)))


def _user_side(turn: Turn) -> Mapping[str, AttributeValue | None]:
    answered = user_turn(turn)
    if answered is None:
        return {}
    hook = number(turn.span.attributes.get(names.ON_USER_TURN_COMPLETED_DELAY))
    hooks = named(turn.user, names.ON_USER_TURN_COMPLETED)
    if hook is None and hooks:
        hook = hooks[-1].duration_seconds
    return {
        names.TURN_USER_STARTED: answered.start_time_unix_nano / 1e9,
        names.TURN_TRANSCRIPTION_DELAY: user_delay(turn, names.TRANSCRIPTION_DELAY),
        names.TURN_END_OF_TURN_DELAY: user_delay(turn, names.END_OF_TURN_DELAY),
        names.TURN_HOOK_DELAY: hook,
        names.TURN_CONFIDENCE: number(answered.attributes.get(names.TRANSCRIPT_CONFIDENCE)),
        names.TURN_RESUMES: answered.attributes.get(names.EOU_RESUME_COUNT),
    }


def _llm(turn: Turn) -> Mapping[str, AttributeValue | None]:
    spoken = spoken_step(turn)
    calls = metrics(named(turn.steps, names.LLM_REQUEST), names.LLM_METRICS)
    realtime = _realtime_metrics(turn)
    sent = sum(m["prompt_tokens"] for m in calls) + sum(m["input_tokens"] for m in realtime)
    made = sum(m["completion_tokens"] for m in calls) + sum(m["output_tokens"] for m in realtime)
    cached = sum(m["prompt_cached_tokens"] for m in calls)
    cached += sum(m["input_token_details"]["cached_tokens"] for m in realtime)
    speeds = [m["tokens_per_second"] for m in (*calls, *realtime) if m["tokens_per_second"] > 0]
    return {
        names.TURN_TTFT: number(spoken.attributes.get(names.TTFT)) if spoken else None,
        names.TURN_LLM_CALLS: len(calls) + len(realtime) or None,
        names.TURN_LLM_INPUT: sent or None,
        names.TURN_LLM_OUTPUT: made or None,
        names.TURN_LLM_CACHED: cached or None,
        names.TURN_LLM_CACHED_SHARE: cached / sent if cached and sent else None,
        names.TURN_LLM_SPEED: speeds[-1] if speeds else None,
    }


def _realtime_metrics(turn: Turn) -> list[Mapping[str, Any]]:
    spans = named(turn.steps, names.REALTIME_INFERENCE, names.REALTIME_METRICS)
    return metrics(spans, names.REALTIME_METRICS_JSON)


def _modalities(turn: Turn) -> Mapping[str, AttributeValue | None]:
    """Return a realtime model's tokens by modality."""
    found: dict[str, int] = {}
    for measured in _realtime_metrics(turn):
        sent = measured["input_token_details"]
        for direction, counts in (
            ("input", sent),
            ("input_cached", sent.get("cached_tokens_details") or {}),
            ("output", measured["output_token_details"]),
        ):
            for modality in ("audio", "text", "image"):
                key = names.TURN_LLM_MODALITY.format(direction=direction, modality=modality)
                found[key] = found.get(key, 0) + counts.get(f"{modality}_tokens", 0)
    return {key: count or None for key, count in found.items()}


def _tts_metrics(turn: Turn) -> list[Mapping[str, Any]]:
    return metrics(named(turn.steps, names.TTS_REQUEST), names.TTS_METRICS)


def _tts(turn: Turn) -> Mapping[str, AttributeValue | None]:
    made, speaker = _tts_metrics(turn), voice(turn)
    return {
        names.TURN_TTS_CHARACTERS: sum(m["characters_count"] for m in made) or None,
        names.TURN_TTS_AUDIO: sum(m["audio_duration"] for m in made) or None,
        names.TURN_TTFB: number(speaker.attributes.get(names.TTFB)) if speaker else None,
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
        names.TURN_TOOLS: json.dumps(called) if called else None,
        names.TURN_TOOL_CALLS: len(called) or None,
        names.TURN_TOOL_FAILURES: failures or None,
    }


def _trouble(turn: Turn) -> Mapping[str, AttributeValue | None]:
    steps = turn.steps
    adapters = named(steps, names.LLM_FALLBACK_ADAPTER, names.TTS_FALLBACK_ADAPTER)
    discarded = [e for e in turn.span.events if e.name == names.EVENT_GENERATION_DISCARDED]
    return {
        names.TURN_RETRIES: _above_zero(attempts(steps, "llm", "tts"), names.RETRY_COUNT),
        names.TURN_FALLBACKS: _above_zero(adapters, names.FALLBACK_INDEX),
        names.TURN_DISCARDED: len(discarded) or None,
        **{names.TURN_ERRORS + s: len(failures(steps, s)) or None for s in STAGES},
    }


def _above_zero(spans: Iterable[Span], key: str) -> int | None:
    return sum(1 for span in spans if number(span.attributes.get(key))) or None


STAGES = ("llm", "tts", "realtime", "tool")
"""What can fail in a turn, and shows it on its spans."""


def failures(spans: ByName, stage: str) -> list[Span]:
    """Return what failed of a stage: its attempts, else the whole of it; of `tool` the calls."""
    if stage == "tool":
        calls = named(spans, names.FUNCTION_TOOL)
        return [call for call in calls if call.attributes.get(names.TOOL_IS_ERROR)]
    whole = {"realtime": names.REALTIME_INFERENCE}.get(stage, f"{stage}_node")
    return _failed(attempts(spans, stage)) or _failed(named(spans, whole))


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
