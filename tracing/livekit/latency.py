"""Where a turn's time went: consecutive parts that add up to the measured latency.

Every instant between the user's last word and the agent's first sound belongs to the most
upstream stage that is still running then, because everything after it waits for it. An instant
in which no known stage runs is `unaccounted`. See docs/latency.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tracing.livekit import names
from tracing.livekit.turns import LLM_NODES, Turn, first_sound, metrics, named, number
from tracing.span import STATUS_ERROR, AttributeValue, Span

UNACCOUNTED = "unaccounted"
_DECIDING = frozenset({"turn_decision", "on_user_turn_completed"})
_WORKING = frozenset({"llm_step", "llm_first_token", "tts_first_audio"})


class Stage(NamedTuple):
    """One stage of a turn and when it ran, in nanoseconds since the Unix epoch."""

    name: str
    start: int
    end: int


def account(turn: Turn, kind: str, budget_seconds: float) -> dict[str, AttributeValue]:
    """Return a turn's latency, the parts that add up to it, and the overlap gained."""
    sound = first_sound(turn)
    if sound is None:
        return {}
    word = _last_word(turn, kind, sound)
    start = turn.span.start_time_unix_nano if word is None else word
    found = list(stages(turn, start, sound))
    stamped: dict[str, AttributeValue] = {
        names.TURN_PART + name: seconds for name, seconds in split(start, sound, found).items()
    }
    if word is None:
        stamped[names.TURN_FIRST_OUTPUT] = (sound - start) / 1e9
        return stamped
    latency = number(turn.span.attributes.get(names.E2E_LATENCY))
    latency = (sound - start) / 1e9 if latency is None else latency
    stamped[names.TURN_LATENCY] = latency
    stamped[names.TURN_OVER_BUDGET] = latency > budget_seconds
    overlap = _overlap(found)
    if overlap > 0:
        stamped[names.TURN_OVERLAP] = overlap
    return stamped


def split(start: int, end: int, stages: Sequence[Stage]) -> dict[str, float]:
    """Divide the time from `start` to `end` among stages given upstream first, in seconds.

    A stage that ran but held nothing up is 0.0. The parts are never negative, and add up to
    the whole.
    """
    end = max(start, end)
    clipped = [
        Stage(s.name, min(max(s.start, start), end), min(max(s.end, start), end)) for s in stages
    ]
    cuts = sorted({start, end, *(s.start for s in clipped), *(s.end for s in clipped)})
    nanos: dict[str, int] = {stage.name: 0 for stage in clipped}
    for left, right in itertools.pairwise(cuts):
        owner = next((s.name for s in clipped if s.start <= left and right <= s.end), UNACCOUNTED)
        nanos[owner] = nanos.get(owner, 0) + right - left
    return {name: value / 1e9 for name, value in nanos.items()}


def _last_word(turn: Turn, kind: str, sound: int) -> int | None:
    """Return when the user that this turn answers stopped speaking."""
    measured = number(turn.span.attributes.get(names.E2E_LATENCY))
    if measured is not None:
        return sound - round(measured * 1e9)
    if kind != "reply" or not named(turn.steps, names.REALTIME_INFERENCE):
        return None
    ends = [s.end_time_unix_nano for s in named(turn.user, names.USER_SPEAKING)]
    return max((end for end in ends if end <= sound), default=None)


def stages(turn: Turn, start: int, sound: int) -> Iterator[Stage]:
    """Yield what ran between the user's last word and the first sound, upstream first."""
    yield from _user_stages(turn, start, sound)
    nodes = [
        s for s in named((*turn.earlier, *turn.steps), *LLM_NODES) if s.start_time_unix_nano < sound
    ]
    yield from _tool_stages(turn, nodes, sound)
    made = turn.span.start_time_unix_nano
    if nodes and _end_of_wait(turn, start) <= nodes[-1].start_time_unix_nano:
        yield Stage("queue_wait", made, _end_of_wait(turn, start))
    spoken = nodes[-1] if nodes else None
    if spoken is not None:
        yield from _llm_stages(turn, spoken, sound)
    audio = None
    for stage in _tts_stages(turn, spoken, sound):
        audio = stage.end
        yield stage
    yield from _output_stages(turn, start, audio, sound)


def _user_stages(turn: Turn, start: int, sound: int) -> Iterator[Stage]:
    """Yield the stages until the reply may be made."""
    attributes = turn.span.attributes
    for speech in reversed(named(turn.user, names.USER_SPEAKING)):
        delay = number(speech.attributes.get(names.DETECTION_DELAY))
        if delay is not None and abs(speech.end_time_unix_nano - start) < 50_000_000:
            yield Stage("end_of_speech_detection", start, start + round(delay * 1e9))
            break
    for name, key in (
        ("transcription_wait", names.TRANSCRIPTION_DELAY),
        ("turn_decision", names.END_OF_TURN_DELAY),
    ):
        delay = number(attributes.get(key))
        if delay is not None:
            yield Stage(name, start, start + round(delay * 1e9))
    for hook in named(turn.user, names.ON_USER_TURN_COMPLETED)[-1:]:
        if start <= hook.start_time_unix_nano < sound:
            yield Stage(
                "on_user_turn_completed", hook.start_time_unix_nano, hook.end_time_unix_nano
            )


def _tool_stages(turn: Turn, nodes: Sequence[Span], sound: int) -> Iterator[Stage]:
    """Yield the LLM steps that called tools and the tools that the reply then waited for."""
    if not nodes:
        return
    steps = (*turn.earlier, *turn.steps)
    last = nodes[-1].start_time_unix_nano
    tools = [t for t in named(steps, names.FUNCTION_TOOL) if t.end_time_unix_nano <= last]
    seen: dict[str, int] = {}
    for node, following in itertools.pairwise(nodes):
        until = following.start_time_unix_nano
        called = [t for t in tools if node.start_time_unix_nano <= t.start_time_unix_nano < until]
        if not called:
            continue  # a discarded generation
        yield _numbered(seen, "llm_step", node.start_time_unix_nano, called[0].start_time_unix_nano)
        for tool, begin, end in _longest_path(called):
            yield _numbered(
                seen, f"tool.{names.text(tool.attributes, names.TOOL_NAME)}", begin, end
            )


def _numbered(seen: dict[str, int], name: str, start: int, end: int) -> Stage:
    """Name a stage that may come several times: `name`, `name.2`, `name.3`."""
    seen[name] = seen.get(name, 0) + 1
    return Stage(name if seen[name] == 1 else f"{name}.{seen[name]}", start, end)


def _longest_path(tools: Sequence[Span]) -> list[tuple[Span, int, int]]:
    """Return the tools of one step that it waited for: back from the one that ended last."""
    path: list[tuple[Span, int, int]] = []
    until = max(t.end_time_unix_nano for t in tools)
    for tool in sorted(tools, key=lambda t: -t.end_time_unix_nano):
        if tool.start_time_unix_nano < until:
            path.append((tool, tool.start_time_unix_nano, min(tool.end_time_unix_nano, until)))
            until = tool.start_time_unix_nano
    return path[::-1]


def _llm_stages(turn: Turn, node: Span, sound: int) -> Iterator[Stage]:
    """Yield the spoken LLM step until its first token, its failed attempts apart."""
    start, token = node.start_time_unix_nano, first_token(turn, node)
    if token is None:
        return
    yield from _failed_attempts(turn, "llm", names.LLM_REQUEST_RUN, start, token)
    realtime = node.name == names.REALTIME_INFERENCE and not named(turn.steps, names.TTS_NODE)
    yield Stage("realtime_first_audio" if realtime else "llm_first_token", start, token)


def first_token(turn: Turn, node: Span) -> int | None:
    """Return when an LLM step gave its first token; a step that was cut has it on its request."""
    ttft = number(node.attributes.get(names.TTFT, node.attributes.get(names.TIME_TO_FIRST_CHUNK)))
    if ttft is not None:
        return node.start_time_unix_nano + round(ttft * 1e9)
    for request in named(turn.steps, names.LLM_REQUEST):
        chunk = number(request.attributes.get(names.TIME_TO_FIRST_CHUNK))
        inside = request.start_time_unix_nano >= node.start_time_unix_nano
        if chunk is not None and inside and request.end_time_unix_nano <= node.end_time_unix_nano:
            return request.start_time_unix_nano + round(chunk * 1e9)
    return None


def _failed_attempts(turn: Turn, what: str, run: str, start: int, until: int) -> Iterator[Stage]:
    """Yield the time that attempts took which failed before the one that served."""
    runs = [r for r in named(turn.steps, run) if start <= r.start_time_unix_nano <= until]
    failed = [r for r in runs if r.status_code == STATUS_ERROR and r.end_time_unix_nano <= until]
    if failed:
        served = [r for r in runs if r.start_time_unix_nano >= failed[-1].end_time_unix_nano]
        end = served[0].start_time_unix_nano if served else failed[-1].end_time_unix_nano
        yield Stage(f"{what}_failed_attempts", start, end)


def _tts_stages(turn: Turn, spoken: Span | None, sound: int) -> Iterator[Stage]:
    """Yield the wait for speakable text, and the TTS until its first audio."""
    nodes = [
        s
        for s in named(turn.steps, names.TTS_NODE)
        if s.start_time_unix_nano < sound
        and (spoken is None or s.start_time_unix_nano >= spoken.start_time_unix_nano)
    ]
    ttfb = number(nodes[0].attributes.get(names.TTFB)) if nodes else None
    if ttfb is None:
        return
    node = nodes[0]
    began = _synthesis_start(turn, node, ttfb)
    if spoken is not None:
        token = first_token(turn, spoken) or node.start_time_unix_nano
        yield Stage("llm_speakable_text", token, began)
    audio = began + round(ttfb * 1e9)
    yield from _failed_attempts(turn, "tts", names.TTS_REQUEST_RUN, began, audio)
    yield Stage("tts_first_audio", began, audio)


def _synthesis_start(turn: Turn, node: Span, ttfb: float) -> int:
    """Return when the TTS got its first text: by its own metrics, else when its node began."""
    for request in named(turn.steps, names.TTS_REQUEST):
        for measured in metrics((request,), names.TTS_METRICS):
            if abs(measured["ttfb"] - ttfb) < 0.005:
                return int((measured["timestamp"] - measured["duration"]) * 1e9)
    return node.start_time_unix_nano


def _end_of_wait(turn: Turn, start: int) -> int:
    """Return when the reply left the queue of speeches."""
    wait = number(turn.span.attributes.get(names.QUEUE_WAIT)) or 0.0
    made = turn.span.start_time_unix_nano
    for hook in named(turn.user, names.ON_USER_TURN_COMPLETED)[-1:]:
        made = max(made, hook.end_time_unix_nano)
    return made + round(wait * 1e9)


def _output_stages(turn: Turn, start: int, audio: int | None, sound: int) -> Iterator[Stage]:
    """Yield the wait for an earlier speech to end, and the start of the playout."""
    if names.QUEUE_WAIT in turn.span.attributes and audio is not None:
        free = _end_of_wait(turn, start)
        yield Stage("queue_wait", min(audio, free), free)
        audio = max(audio, free)
    if audio is not None:
        yield Stage("playout_start", audio, sound)


def _overlap(found: Sequence[Stage]) -> float:
    """Return the seconds that the LLM and the TTS had worked before the turn was decided."""
    settled = max((s.end for s in found if s.name in _DECIDING), default=0)
    done = [min(s.end, settled) - s.start for s in found if s.name in _WORKING]
    return sum(seconds for seconds in done if seconds > 0) / 1e9


def parts(attributes: Mapping[str, AttributeValue]) -> dict[str, float]:
    """Return the parts of a stamped turn by name."""
    prefix = names.TURN_PART
    return {
        key[len(prefix) :]: float(value)
        for key, value in attributes.items()
        if key.startswith(prefix) and isinstance(value, (int, float))
    }
