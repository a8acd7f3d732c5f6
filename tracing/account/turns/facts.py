"""What is known of a turn apart from its latency, as attributes for its `agent_turn` span."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from tracing import names, stamps
from tracing.account.turns.turn import (
    LLM_NODES,
    Turn,
    attempts,
    failures,
    named,
    names_in,
    number,
    tools,
)
from tracing.span import STATUS_ERROR, AttributeValue, Span


def kind_of(turn: Turn, *, user_has_spoken: bool, is_nested: bool = False) -> str:
    """What sort of turn this is; see `stamps.TURN_KIND`.

    `user_has_spoken` and `is_nested`, whether a tool or a hook was running that could ask for
    it, are of the moment in which it began.
    """
    attributes = turn.span.attributes
    given = names.text(turn.observed, stamps.TURN_KIND)
    if given:
        return given
    if _is_discarded(turn):
        return "discarded"
    if number(attributes.get(names.E2E_LATENCY)) is not None or names.first(
        attributes, names.USER_INPUT
    ):
        return "reply"
    if names.PARENT_GENERATION in attributes:
        return "tool_follow_up"
    has_generated = bool(named(turn.steps, *LLM_NODES))
    if has_generated and not is_nested and _answers_speech(turn):
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
    """Whether a preemptive generation was given up before anything had asked for a reply."""
    attributes = turn.span.attributes
    never_scheduled = (
        names.is_true(attributes, names.INTERRUPTED)
        and names.text(attributes, names.INTERRUPTION_SOURCE) not in names.BARGE_IN_SOURCES
        and not isinstance(attributes.get(names.QUEUE_WAIT), float)
        and names.LLM_NODE in turn.steps
        and turn.first_sound is None
    )
    return never_scheduled and not _was_decided(turn)


def _was_decided(turn: Turn) -> bool:
    """Whether the user's turn came to its end, and the hook let a reply follow."""
    answered = turn.answered
    if answered is None or answered.end_time_unix_nano >= turn.span.end_time_unix_nano:
        return False
    return not any(
        event.name in (names.EVENT_STOP_RESPONSE, names.EVENT_EXCEPTION)
        for hook in named(turn.user, names.ON_USER_TURN_COMPLETED)
        if hook.start_time_unix_nano > turn.span.start_time_unix_nano
        for event in hook.events
    )


def facts_of(turn: Turn, kind: str = "reply") -> dict[str, AttributeValue]:
    """What is known of a turn apart from its latency; what is unknown is absent."""
    readers = [_agent_side, _llm, _modalities, _tts, _tools, _trouble]
    if kind == "reply":
        readers.append(_user_side)
    return {
        key: value for read in readers for key, value in read(turn).items() if value is not None
    }


def _agent_side(turn: Turn) -> Mapping[str, AttributeValue | None]:
    attributes = turn.span.attributes
    speaking = turn.speaking
    interrupted = names.is_true(attributes, names.INTERRUPTED)
    heard = number(attributes.get(names.PLAYOUT_POSITION)) if interrupted else None
    made = sum(m.number("audio_duration") or 0 for m in turn.tts_metrics)
    resumed = len(speaking) - 1 if attributes.get(names.GENERATION_COUNT) == 1 else 0
    return {
        stamps.TURN_WAS_INTERRUPTED: interrupted,
        stamps.TURN_BARGED_IN: names.text(attributes, names.INTERRUPTION_SOURCE)
        in names.BARGE_IN_SOURCES,
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
        stamps.TURN_RESUMES: _count(answered.attributes.get(names.EOU_RESUME_COUNT)),
    }


def _llm(turn: Turn) -> Mapping[str, AttributeValue | None]:
    spoken, calls, realtime = turn.spoken_step, turn.llm_metrics, turn.realtime_metrics
    sent = sum(m.count("prompt_tokens") for m in calls)
    sent += sum(m.count("input_tokens") for m in realtime)
    made = sum(m.count("completion_tokens") for m in calls)
    made += sum(m.count("output_tokens") for m in realtime)
    cached = sum(m.count("prompt_cached_tokens") for m in calls)
    cached += sum(m.part("input_token_details").count("cached_tokens") for m in realtime)
    speeds = [speed for m in (*calls, *realtime) if (speed := m.number("tokens_per_second"))]
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
    """A realtime model's tokens by modality."""
    found: dict[str, int] = {}
    for measured in turn.realtime_metrics:
        sent = measured.part("input_token_details")
        for direction, counts in (
            ("input", sent),
            ("input_cached", sent.part("cached_tokens_details")),
            ("output", measured.part("output_token_details")),
        ):
            for modality in ("audio", "text", "image"):
                key = stamps.TURN_LLM_MODALITY.format(direction=direction, modality=modality)
                found[key] = found.get(key, 0) + counts.count(f"{modality}_tokens")
    return {key: count or None for key, count in found.items()}


def _tts(turn: Turn) -> Mapping[str, AttributeValue | None]:
    made, speaker = turn.tts_metrics, turn.voice
    return {
        stamps.TURN_TTS_CHARACTERS: sum(m.count("characters_count") for m in made) or None,
        stamps.TURN_TTS_AUDIO: sum(m.number("audio_duration") or 0 for m in made) or None,
        stamps.TURN_TTFB: number(speaker.attributes.get(names.TTFB)) if speaker else None,
    }


def _tools(turn: Turn) -> Mapping[str, AttributeValue | None]:
    refused = turn.observed.get(stamps.TURN_REFUSED_TOOLS, ())
    called = tools(named(turn.steps, names.FUNCTION_TOOL), refused)
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
        stamps.TURN_ERROR: _voice_error(turn) if turn.has_failures else None,
        **{stamps.TURN_ERRORS + s: _failures(turn, s) or None for s in failed},
    }


def _failures(turn: Turn, stage: str) -> int:
    refused = turn.observed.get(stamps.TURN_REFUSED_TOOLS, ()) if stage == "tool" else ()
    return len(failures(turn.steps, stage)) + len(names_in(refused))


def _voice_error(turn: Turn) -> str | None:
    """Why a text was not spoken, or not to its end: whoever could have taken over failed too."""
    failed = [n for n in named(turn.steps, names.TTS_NODE) if n.status_code == STATUS_ERROR]
    if not failed or _is_discarded(turn):
        return None
    return failed[-1].status_message or names.TTS_ERROR


def _count(value: object) -> int | None:
    return value if type(value) is int else None


def _above_zero(spans: Iterable[Span], key: str) -> int | None:
    return sum(1 for span in spans if number(span.attributes.get(key))) or None


_MAY_FAIL_UNSEEN = ("tool",)
"""What fails without an error on its span: LiveKit says so in an attribute."""


_MAY_FAIL = ("llm", "tts", "realtime", *_MAY_FAIL_UNSEEN)
"""What can fail in a turn."""
