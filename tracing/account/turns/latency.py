"""Where a turn's time went: consecutive parts that add up to the measured latency.

Every instant between the user's last word and the agent's first sound belongs to the most
upstream stage that is still running then, because everything after it waits for it. An instant
in which no known stage runs is `unaccounted`. docs/latency.md has the definitions and a picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tracing import names, stamps
from tracing.account.turns.turn import (
    LLM_NODES,
    Turn,
    metrics,
    named,
    number,
    within,
)
from tracing.span import STATUS_ERROR, Attributes, AttributeValue, Span

UNACCOUNTED = "unaccounted"

_DECIDING = frozenset({"turn_decision", "on_user_turn_completed"})
_WORKING = frozenset({"llm_step", "llm_first_token", "tts_first_audio"})
_SAME_INSTANT_NANOS = 50_000_000
_SAME_TTFB_SECONDS = 0.005


class Stage(NamedTuple):
    """One stage of a turn and when it ran, in nanoseconds since the Unix epoch."""

    name: str
    start: int
    end: int


def account(turn: Turn, kind: str, budget_seconds: float) -> dict[str, AttributeValue]:
    """A turn's latency, the parts that add up to it, and the overlap gained."""
    sound = turn.first_sound
    if sound is None:
        return {}
    word = _last_word(turn, kind, sound)
    start = min(turn.span.start_time_unix_nano if word is None else word, sound)
    found = list(_Reply(turn, start, sound, after_speech=word is not None).stages())
    stamped: dict[str, AttributeValue] = {
        stamps.TURN_PART + name: seconds for name, seconds in split(start, sound, found).items()
    }
    if word is None:
        stamped[stamps.TURN_FIRST_OUTPUT] = (sound - start) / 1e9
        return stamped
    measured = _measured(turn)
    latency = (sound - start) / 1e9 if measured is None else measured
    stamped[stamps.TURN_USER_STOPPED] = start / 1e9
    stamped[stamps.TURN_LATENCY] = latency
    stamped[stamps.TURN_OVER_BUDGET] = latency > budget_seconds
    overlap = _overlap(found)
    if overlap > 0:
        stamped[stamps.TURN_OVERLAP] = overlap
    return stamped


def split(start: int, end: int, stages: Sequence[Stage]) -> dict[str, float]:
    """Divide the time from `start` to `end` among stages given upstream first, in seconds.

    A stage that ran but held nothing up is 0.0. The parts are never negative, and add up to
    the whole.
    """
    end = max(start, end)
    cuts = {start, end}
    cuts.update([at for stage in stages for at in stage[1:] if start < at < end])
    nanos = {stage.name: 0 for stage in stages}
    for left, right in itertools.pairwise(sorted(cuts)):
        owner = UNACCOUNTED
        for name, begun, ended in stages:
            if begun <= left and right <= ended:
                owner = name
                break
        nanos[owner] = nanos.get(owner, 0) + right - left
    return {name: value / 1e9 for name, value in nanos.items()}


def parts_of(attributes: Attributes) -> dict[str, float]:
    """The parts of a stamped turn by name, in seconds."""
    prefix = stamps.TURN_PART
    return {
        key[len(prefix) :]: float(value)
        for key, value in attributes.items()
        if key.startswith(prefix) and isinstance(value, (int, float))
    }


def _measured(turn: Turn) -> float | None:
    """LiveKit's latency; one below zero, from speech that overlapped, tells nothing."""
    measured = number(turn.span.attributes.get(names.E2E_LATENCY))
    return measured if measured is not None and measured >= 0 else None


def _last_word(turn: Turn, kind: str, sound: int) -> int | None:
    """When the user that this turn answers stopped speaking."""
    measured = _measured(turn)
    if measured is not None:
        return sound - round(measured * 1e9)
    if kind != "reply" or not named(turn.steps, names.REALTIME_INFERENCE):
        return None
    ends = [s.end_time_unix_nano for s in named(turn.user, names.USER_SPEAKING)]
    return max((end for end in ends if end <= sound), default=None)


def _overlap(found: Sequence[Stage]) -> float:
    """The seconds that the LLM and the TTS had worked before the turn was decided."""
    settled = max((s.end for s in found if s.name in _DECIDING), default=0)
    done = [min(s.end, settled) - s.start for s in found if s.name in _WORKING]
    return sum(seconds for seconds in done if seconds > 0) / 1e9


class _Reply:
    """What led to one first sound, between the moment that the wait begins and the sound."""

    def __init__(self, turn: Turn, start: int, sound: int, *, after_speech: bool) -> None:
        self.turn = turn
        self.start = start
        self.sound = sound
        self.after_speech = after_speech
        self.spoken = turn.spoken_step
        self.voice = turn.voice
        self.earlier = turn.earlier if after_speech else {}
        self.silent = [*named(self.earlier, *LLM_NODES), *turn.llm_steps[:-1]]
        """The LLM steps before the spoken one: they called tools, or were discarded."""
        hooks = self._user_spans(names.ON_USER_TURN_COMPLETED)
        self.hook = hooks[-1] if hooks else None
        self.token = self._first_token()
        """When the spoken step gave its first token."""

    def _user_spans(self, name: str) -> list[Span]:
        begun = self.start - _SAME_INSTANT_NANOS
        found = named(self.turn.user, name)
        return [s for s in found if begun <= s.start_time_unix_nano < self.sound]

    def stages(self) -> Iterator[Stage]:
        """The stages, upstream first."""
        yield from self._user_stages()
        yield from self._tool_stages()
        for handoff in self._user_spans(names.UPDATE_AGENT):
            yield _whole("agent_handoff", handoff)
        audio = None
        for stage in (*self._llm_stages(), *self._tts_stages()):
            audio = stage.end if stage.name in _SOUNDING else audio
            yield stage
        yield from self._output_stages(audio)

    def _user_stages(self) -> Iterator[Stage]:
        """The stages until it is decided that, and what, to reply."""
        for speech in named(self.turn.user, names.USER_SPEAKING):
            delay = number(speech.attributes.get(stamps.DETECTION_DELAY))
            is_last = abs(speech.end_time_unix_nano - self.start) < _SAME_INSTANT_NANOS
            if delay is not None and is_last:
                yield self._since_start("end_of_speech_detection", delay)
        for name, key in (
            ("transcription_wait", names.TRANSCRIPTION_DELAY),
            ("turn_decision", names.END_OF_TURN_DELAY),
        ):
            delay = self.turn.user_delay(key) if self.after_speech else None
            if delay is not None:
                yield self._since_start(name, delay)
        for wait in self._user_spans(names.EOU_WAIT):
            if wait.attributes.get(names.EOU_OUTCOME) == "committed":
                yield _whole("turn_decision", wait)
        if self.hook is not None:
            yield _whole("on_user_turn_completed", self.hook)

    def _since_start(self, name: str, seconds: float) -> Stage:
        return Stage(name, self.start, self.start + round(seconds * 1e9))

    def _tool_stages(self) -> Iterator[Stage]:
        """The LLM steps that called tools, and the tools that the reply waited for."""
        until = self.sound if self.spoken is None else self.spoken.start_time_unix_nano
        tools = [
            tool
            for spans in (self.earlier, self.turn.steps)
            for tool in named(spans, names.FUNCTION_TOOL)
            if tool.end_time_unix_nano <= until
        ]
        starts = [node.start_time_unix_nano for node in self.silent]
        seen: dict[str, int] = {}
        for node, following in zip(self.silent, [*starts, until][1:], strict=True):
            called = [
                t for t in tools if node.start_time_unix_nano <= t.start_time_unix_nano < following
            ]
            path = _awaited(called)
            if path:  # else a discarded generation
                end = min(node.end_time_unix_nano, path[0].start_time_unix_nano)
                yield Stage(_numbered("llm_step", seen), node.start_time_unix_nano, end)
            for tool in path:
                name = "tool." + names.text(tool.attributes, names.TOOL_NAME)
                yield _whole(_numbered(name, seen), tool)

    def _llm_stages(self) -> Iterator[Stage]:
        """The spoken step until its first token, or its first audio, failures apart."""
        node, token = self.spoken, self.token
        if node is None or token is None:
            return
        yield from self._failed_attempts("llm", node, node.start_time_unix_nano, token)
        voiced = node.name == names.REALTIME_INFERENCE and self.voice is None
        name = "realtime_first_audio" if voiced else "llm_first_token"
        yield Stage(name, node.start_time_unix_nano, token)

    def _first_token(self) -> int | None:
        """When the spoken step gave its first token.

        A step that was cut short has it on its request only. A realtime model may not tell:
        then it is when there was something to speak, or to play.
        """
        node = self.spoken
        if node is None:
            return None
        for span, key in (
            (node, names.TTFT),
            (node, names.TIME_TO_FIRST_CHUNK),
            *(
                (r, names.TIME_TO_FIRST_CHUNK)
                for r in within(self.turn.steps, names.LLM_REQUEST, node)
            ),
        ):
            seconds = number(span.attributes.get(key))
            if seconds is not None:
                return span.start_time_unix_nano + round(seconds * 1e9)
        if self.voice is not None:
            return self.voice.start_time_unix_nano
        played = self._playout()
        return self.sound if played is None else played

    def _tts_stages(self) -> Iterator[Stage]:
        """The wait for speakable text, and the TTS until its first audio."""
        speaker = self.voice
        ttfb = number(speaker.attributes.get(names.TTFB)) if speaker else None
        if speaker is None or ttfb is None:
            return
        began = self._synthesis_start(speaker, ttfb)
        token = self.token
        if token is not None:
            yield Stage("llm_speakable_text", token, began)
        audio = began + round(ttfb * 1e9)
        yield from self._failed_attempts("tts", speaker, began, audio)
        yield Stage("tts_first_audio", began, audio)

    def _synthesis_start(self, speaker: Span, ttfb: float) -> int:
        """When the TTS got its first text: by its own metrics, else as its node began."""
        requests = within(self.turn.steps, names.TTS_REQUEST, speaker)
        for measured in metrics(requests, names.TTS_METRICS):
            if abs(measured["ttfb"] - ttfb) < _SAME_TTFB_SECONDS:
                return round(float(measured["timestamp"] - measured["duration"]) * 1e9)
        return speaker.start_time_unix_nano

    def _failed_attempts(self, what: str, node: Span, start: int, until: int) -> Iterator[Stage]:
        """The time lost before the attempt that served, where others had failed."""
        if not self.turn.has_failures:
            return
        runs = within(self.turn.steps, f"{what}_request_run", node)
        runs = [run for run in runs if run.start_time_unix_nano <= until]
        served = [run for run in runs if run.status_code != STATUS_ERROR]
        begun = served[-1].start_time_unix_nano if served else 0
        if any(run.end_time_unix_nano <= begun for run in runs if run not in served):
            yield Stage(f"{what}_failed_attempts", start, begun)

    def _output_stages(self, audio: int | None) -> Iterator[Stage]:
        """What stands between the first audio and its sound."""
        wait = number(self.turn.span.attributes.get(names.QUEUE_WAIT))
        if wait is not None:
            made = (
                self.hook.end_time_unix_nano if self.hook else self.turn.span.start_time_unix_nano
            )
            free = made + round(wait * 1e9)
            yield Stage("queue_wait", made, free)
            audio = max(audio, free) if audio is not None else None
        if self.spoken is not None and self.spoken.name == names.REALTIME_INFERENCE:
            yield Stage("realtime_response_start", self.start, self.spoken.start_time_unix_nano)
        audio = self._playout() if audio is None else audio
        if audio is not None:
            yield Stage("playout_start", audio, self.sound)

    def _playout(self) -> int | None:
        """When the first audio was handed to the output, as events told."""
        latency = number(self.turn.observed.get(stamps.TURN_PLAYBACK_LATENCY))
        return None if latency is None else self.sound - round(latency * 1e9)


_SOUNDING = frozenset({"realtime_first_audio", "tts_first_audio"})


def _whole(name: str, span: Span) -> Stage:
    return Stage(name, span.start_time_unix_nano, span.end_time_unix_nano)


def _numbered(name: str, seen: dict[str, int]) -> str:
    """Name what may come several times: `name`, `name.2`, `name.3`."""
    seen[name] = seen.get(name, 0) + 1
    return name if seen[name] == 1 else f"{name}.{seen[name]}"


def _awaited(tools: Sequence[Span]) -> list[Span]:
    """The tools of one step that it waited for: back from the one that ended last."""
    path: list[Span] = []
    for tool in sorted(tools, key=lambda t: -t.end_time_unix_nano):
        if not path or tool.end_time_unix_nano <= path[0].start_time_unix_nano:
            path.insert(0, tool)
    return path
