"""The stages of one turn that led to its first sound, upstream first: who waits for whom."""

from __future__ import annotations

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
from tracing.span import STATUS_ERROR, Span

_SAME_INSTANT_NANOS = 50_000_000
_SAME_TTFB_SECONDS = 0.005


class Stage(NamedTuple):
    """One stage of a turn and when it ran, in nanoseconds since the Unix epoch."""

    name: str
    start: int
    end: int


class Stages:
    """What led to one first sound, between the moment that the wait begins and the sound.

    `after_speech`: the wait begins with the user's last word, else with the turn itself.
    """

    def __init__(
        self, turn: Turn, start: int, sound: int, *, kind: str, after_speech: bool
    ) -> None:
        self.turn = turn
        self.start = start
        self.sound = sound
        self.after_speech = after_speech
        self.user = turn.user if after_speech or kind == "reply" else {}
        """The user's side, where the turn waited for it."""
        self.spoken = turn.spoken_step
        self.voice = turn.voice
        self.earlier = turn.earlier if after_speech else {}
        silent = [*named(self.earlier, *LLM_NODES), *turn.llm_steps[:-1]]
        self.silent = sorted(silent, key=lambda step: step.start_time_unix_nano)
        """The LLM steps before the spoken one: as a rule they called tools."""
        self.hooks = self._user_spans(names.ON_USER_TURN_COMPLETED)
        self.token = self._first_token()
        """When the spoken step gave its first token."""

    def _user_spans(self, name: str) -> list[Span]:
        """The user's spans of a name that ran in the wait, one that began before it included."""
        found = named(self.user, name)
        return [
            s
            for s in found
            if s.end_time_unix_nano > self.start and s.start_time_unix_nano < self.sound
        ]

    def __iter__(self) -> Iterator[Stage]:
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
        for speech in named(self.user, names.USER_SPEAKING):
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
        yield from self._hook_stages()

    def _hook_stages(self) -> Iterator[Stage]:
        """The hook, and that of an earlier half of what the user said, which it waits for."""
        for hook in self.hooks:
            yield _whole("on_user_turn_completed", hook)
        if self.hooks or not self.after_speech:
            return
        delay = self.turn.user_delay(names.END_OF_TURN_DELAY)
        took = number(self.turn.observed.get(_EOU_HOOK_DELAY))
        if delay is not None and took is not None:  # before 1.8 the hook has no span
            decided = self.start + round(delay * 1e9)
            yield Stage("on_user_turn_completed", decided, decided + round(took * 1e9))

    def _since_start(self, name: str, seconds: float) -> Stage:
        return Stage(name, self.start, self.start + round(seconds * 1e9))

    def _tool_stages(self) -> Iterator[Stage]:
        """The silent LLM steps, and the tools that the reply waited for.

        A tool in which a whole conversation took place has what its turns left of it.
        """
        until = self.sound if self.spoken is None else self.spoken.start_time_unix_nano
        around: list[Stage] = []
        for stage in self._silent_stages(until):
            if stage.end <= self.start:
                continue
            if any(stage.start < step.start_time_unix_nano < stage.end for step in self.silent):
                around.append(stage)
            else:
                yield stage
        yield from around

    def _silent_stages(self, until: int) -> Iterator[Stage]:
        tools = [
            tool
            for spans in (self.earlier, self.turn.steps)
            for tool in named(spans, names.FUNCTION_TOOL)
            if tool.end_time_unix_nano <= until
        ]
        starts = [step.start_time_unix_nano for step in self.silent]
        seen: dict[str, int] = {}
        for step, following in zip(self.silent, [*starts, until + 1][1:], strict=True):
            called = [
                t for t in tools if step.start_time_unix_nano <= t.start_time_unix_nano < following
            ]
            path = _awaited(called)
            end = min([step.end_time_unix_nano, *(t.start_time_unix_nano for t in path[:1])])
            if end > self.start:
                yield Stage(_numbered("llm_step", seen), step.start_time_unix_nano, end)
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
            first, ended, lasted = map(measured.number, ("ttfb", "timestamp", "duration"))
            if first is None or ended is None or lasted is None:
                continue
            if abs(first - ttfb) < _SAME_TTFB_SECONDS:
                return round((ended - lasted) * 1e9)
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
            begun = self.turn.span.start_time_unix_nano
            made = self.hooks[-1].end_time_unix_nano if self.hooks else begun
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


_EOU_HOOK_DELAY = stamps.TURN_EOU + "on_user_turn_completed_delay"
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
