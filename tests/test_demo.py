"""The offline call: its recordings, its models, and the call itself."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from livekit import rtc
from livekit.agents import (
    AgentHandoff,
    AgentStateChangedEvent,
    ConversationItemAddedEvent,
    FunctionToolsExecutedEvent,
    UserInputTranscribedEvent,
    UserStateChangedEvent,
    llm,
)
from livekit.local_inference import EOT, EOT_MAX_SAMPLES
from rich.console import Console

pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed: it is in the demo group")

from demo import script
from demo.__main__ import parse, python_from, tell
from demo.audio import CLIPS, SAMPLE_RATE, Loudspeaker, Microphone, Samples, load
from demo.llm import FIRST_TOKEN_SECONDS, ScriptedLLM, reply_to, tokens
from demo.stt import OfflineSTT, Recogniser
from demo.terminal import Terminal
from demo.tts import FIRST_BYTE_SECONDS, OfflineTTS, voice_bank
from tests.fakes import RecordingServer, Reply, call, until
from tracing import names, setup_tracer
from tracing.config.load import load_settings
from tracing.config.settings import backends_of
from tracing.deliver.outcome import Outcomes
from tracing.stamps import HEARD
from tracing.store.store import Store
from tracing.view.beside.peaks import PEAKS_PER_SECOND, peaks
from tracing.view.beside.player import find_recording
from tracing.view.library import call_of

REPOSITORY = Path(__file__).parent.parent
PHRASES = [turn.caller for turn in script.TURNS]
CLIP_NAMES = [turn.clip for turn in script.TURNS]


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * SAMPLE_RATE), np.int16)


def heard(clip: str) -> Samples:
    """A recording as the microphone gives it: with silence around it."""
    return np.concatenate([silence(0.5), load(clip), silence(0.6)])


def frames(samples: Samples, seconds: float = 0.02) -> list[rtc.AudioFrame]:
    size = int(seconds * SAMPLE_RATE)
    parts = [samples[start : start + size] for start in range(0, len(samples), size)]
    return [rtc.AudioFrame(part.tobytes(), SAMPLE_RATE, 1, len(part)) for part in parts]


def conversation(*items: llm.ChatItem, instructions: str = "You are the host.") -> llm.ChatContext:
    system = llm.ChatMessage(role="system", content=[instructions])
    return llm.ChatContext([system, *items])


def said(role: str, text: str) -> llm.ChatMessage:
    return llm.ChatMessage(role=role, content=[text])


def tool_output(name: str, *, is_error: bool) -> llm.FunctionCallOutput:
    return llm.FunctionCallOutput(name=name, call_id="call_1", output="-", is_error=is_error)


# The recordings


@pytest.mark.parametrize("clip", CLIP_NAMES)
def test_clip_decodes_to_a_line_of_speech(clip: str) -> None:
    """Each line of the caller is there, audible, and short enough for a call of a minute."""
    samples = load(clip)
    assert 1.0 < len(samples) / SAMPLE_RATE < 3.0
    assert np.abs(samples.astype(np.int32)).max() > 5_000


def test_recordings_stay_small() -> None:
    """The repository carries less than 400 kB of sound."""
    assert sum(file.stat().st_size for file in CLIPS.iterdir()) < 400_000


@pytest.mark.parametrize("clip", CLIP_NAMES)
@pytest.mark.parametrize("pause", [0.2, 0.25, 0.3])
def test_turn_detector_takes_each_clip_for_a_whole_turn(clip: str, pause: float) -> None:
    """LiveKit's local model sees an end of turn with a margin, its threshold being 0.36."""
    samples = np.concatenate([load(clip), silence(pause)])[-EOT_MAX_SAMPLES:]
    assert EOT().predict(samples) > 0.42


# Speech recognition


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser(PHRASES)


@pytest.mark.parametrize("turn", script.TURNS, ids=CLIP_NAMES)
def test_recogniser_understands_each_clip(recogniser: Recogniser, turn: script.Turn) -> None:
    """Every line is understood word for word, and written as the script writes it."""
    recogniser.start()
    for frame in frames(heard(turn.clip)):
        recogniser.hear(bytes(frame.data))
    text, confidence = recogniser.finish()
    assert text == turn.caller
    assert 0.7 < confidence <= 1


def test_recogniser_hears_nothing_in_silence(recogniser: Recogniser) -> None:
    """Silence is no phrase."""
    recogniser.start()
    recogniser.hear(silence(1).tobytes())
    assert recogniser.finish()[0] == ""


async def test_stt_streams_words_then_the_phrase_then_usage() -> None:
    """Interim words grow, the phrase is announced before it is final, and usage is reported."""
    async with OfflineSTT(PHRASES).stream() as stream:
        for frame in frames(heard("hours")):
            stream.push_frame(frame)
        stream.end_input()
        events = [event async for event in stream]
    told = [(e.type.value, e.alternatives[0].text if e.alternatives else "") for e in events]
    assert told[0] == ("start_of_speech", "")
    assert [kind for kind, _ in told[1:-4]] == ["interim_transcript"] * len(told[1:-4])
    lengths = [len(text.split()) for _, text in told[1:-4]]
    assert lengths == sorted(lengths)
    assert told[-5:] == [
        ("interim_transcript", PHRASES[0]),
        ("preflight_transcript", PHRASES[0]),
        ("final_transcript", PHRASES[0]),
        ("end_of_speech", ""),
        ("recognition_usage", ""),
    ]
    assert events[-1].recognition_usage is not None
    assert 1.0 < events[-1].recognition_usage.audio_duration < 3.0


# The language model

TABLE, GIFT_CARD = (turn.reply for turn in script.TURNS if turn.clip in ("table", "gift-card"))


@pytest.mark.parametrize(
    ("chat", "reply"),
    [
        (conversation(), script.GREETINGS["host"]),
        (conversation(instructions="You are the chef."), script.GREETINGS["chef"]),
        (conversation(said("user", PHRASES[0])), script.TURNS[0].reply),
        (conversation(said("user", PHRASES[1].upper())), TABLE),
        (conversation(said("user", "Tell me a joke.")), script.UNKNOWN),
        (conversation(tool_output("find_table", is_error=False)), TABLE.then),
        (conversation(tool_output("redeem_gift_card", is_error=True)), GIFT_CARD.sorry),
        (conversation(tool_output("another", is_error=False)), script.UNKNOWN),
    ],
)
def test_llm_knows_the_script(chat: llm.ChatContext, reply: object) -> None:
    """The last thing said, or done, decides what comes next."""
    assert reply_to(chat) == reply


async def test_llm_streams_tokens_with_timing_and_usage() -> None:
    """The first token waits, the text arrives whole, and the bill covers prompt and answer."""
    chat = conversation(said("user", PHRASES[0]))
    began, first = time.monotonic(), 0.0
    chunks = []
    async with ScriptedLLM().chat(chat_ctx=chat) as stream:
        async for chunk in stream:
            first = first or time.monotonic() - began
            chunks.append(chunk)
    text = "".join(chunk.delta.content or "" for chunk in chunks if chunk.delta)
    prompt = len(tokens("You are the host.")) + len(tokens(PHRASES[0]))
    assert text == script.TURNS[0].reply
    assert first >= FIRST_TOKEN_SECONDS[0]
    assert chunks[-1].usage == llm.CompletionUsage(
        prompt_tokens=prompt,
        prompt_cached_tokens=len(tokens("You are the host.")),
        completion_tokens=len(tokens(text)),
        total_tokens=prompt + len(tokens(text)),
    )


async def test_llm_calls_tools() -> None:
    """A line that needs a tool becomes a call with JSON arguments."""
    chat = conversation(said("user", PHRASES[1]))
    response = await ScriptedLLM().chat(chat_ctx=chat).collect()
    [call] = response.tool_calls
    assert (response.text, call.name, json.loads(call.arguments)) == (
        "",
        "find_table",
        {"guests": 2, "time": "19:00"},
    )


# The voice


@pytest.mark.parametrize("text", script.agent_texts())
def test_voice_speaks_the_script_at_a_human_pace(text: str) -> None:
    """What the script says takes as long as its words take."""
    seconds = len(voice_bank().speak(text)) / SAMPLE_RATE
    assert 0.15 < seconds / len(script.words(text)) < 0.5


@pytest.mark.parametrize("text", ["xylophone", "Zürich 42", "noon zzz ten"])
def test_voice_spells_words_that_it_does_not_know(text: str) -> None:
    """Any text has a sound: a letter or digit takes its time."""
    assert len(voice_bank().speak(text)) / SAMPLE_RATE > 0.1 * len(text)


@pytest.mark.parametrize("text", ["", "…", "你好"])
def test_voice_is_silent_for_what_has_no_letters(text: str) -> None:
    """Text that cannot be spelled is a short silence, not an error."""
    assert voice_bank().speak(text).tolist() == [0] * int(0.15 * SAMPLE_RATE)


async def test_tts_streams_faster_than_it_speaks() -> None:
    """The first audio comes soon, all of it comes, and sooner than it could be heard."""
    text = script.GREETINGS["host"]
    began, first, seconds = time.monotonic(), 0.0, 0.0
    async with OfflineTTS().stream() as stream:
        for token in tokens(text):
            stream.push_text(token)
        stream.end_input()
        async for audio in stream:
            first = first or time.monotonic() - began
            seconds += audio.frame.duration
    whole = sum(len(voice_bank().speak(s)) for s in script.sentences(text)) / SAMPLE_RATE
    assert first >= FIRST_BYTE_SECONDS
    assert seconds == pytest.approx(whole, abs=0.02)
    assert time.monotonic() - began < whole


# Microphone and loudspeaker


async def test_microphone_plays_a_recording_in_real_time() -> None:
    """Silence, then the recording, at the pace of the clock."""
    microphone = Microphone()
    recording = np.full(int(0.2 * SAMPLE_RATE), 7, np.int16)
    collected: list[bytes] = []

    async def listen() -> None:
        async for frame in microphone:
            collected.append(bytes(frame.data))

    listening = asyncio.create_task(listen())
    began = time.monotonic()
    await microphone.play(recording)
    elapsed = time.monotonic() - began
    listening.cancel()
    samples = np.frombuffer(b"".join(collected), np.int16)
    assert samples[samples != 0].tolist() == recording.tolist()
    assert elapsed > 0.18


async def test_loudspeaker_reports_when_the_sound_is_over() -> None:
    """Playing takes as long as the sound is, however fast it was pushed."""
    loudspeaker = Loudspeaker()
    began = time.monotonic()
    for frame in frames(silence(0.2)):
        await loudspeaker.capture_frame(frame)
    loudspeaker.flush()
    event = await loudspeaker.wait_for_playout()
    assert (event.interrupted, event.playback_position) == (False, pytest.approx(0.2))
    assert time.monotonic() - began >= 0.2


async def test_loudspeaker_stops_where_it_is_cut() -> None:
    """An interruption ends the sound at once and tells how much of it was heard."""
    loudspeaker = Loudspeaker()
    for frame in frames(silence(60), seconds=1):
        await loudspeaker.capture_frame(frame)
    loudspeaker.clear_buffer()
    loudspeaker.flush()
    event = await loudspeaker.wait_for_playout()
    assert event.interrupted
    assert event.playback_position < 30


async def test_loudspeaker_plays_on_after_a_cut_pause() -> None:
    """A barge-in pauses, then cuts: what is said next is heard again."""
    loudspeaker = Loudspeaker()
    for seconds in (60, 0.1):
        await loudspeaker.capture_frame(frames(silence(seconds), seconds=seconds)[0])
        loudspeaker.flush()
        if seconds == 60:
            loudspeaker.pause()
            loudspeaker.clear_buffer()
        event = await asyncio.wait_for(loudspeaker.wait_for_playout(), 5)
        assert event.interrupted == (seconds == 60)
    assert event.playback_position == pytest.approx(0.1)


async def test_loudspeaker_does_not_play_while_paused() -> None:
    """A pause does not count as playing."""
    loudspeaker = Loudspeaker()
    await loudspeaker.capture_frame(frames(silence(0.1), seconds=0.1)[0])
    loudspeaker.pause()
    loudspeaker.flush()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(loudspeaker.wait_for_playout(), 0.2)
    loudspeaker.resume()
    event = await loudspeaker.wait_for_playout()
    assert (event.interrupted, event.playback_position) == (False, pytest.approx(0.1))


# The terminal


async def test_terminal_shows_the_conversation_row_by_row() -> None:
    """Each finished row is printed once, with its latency, a failed tool and a handover."""
    session: rtc.EventEmitter[str] = rtc.EventEmitter()
    page = io.StringIO()
    terminal = Terminal(session, Console(file=page, width=60))
    call = llm.FunctionCall(call_id="call_1", name="find_table", arguments="{}")
    interrupted = llm.ChatMessage(role="assistant", content=["At noon."], interrupted=True)
    for name, event in [
        ("user_input_transcribed", UserInputTranscribedEvent(transcript="when", is_final=False)),
        ("user_state_changed", UserStateChangedEvent(
            old_state="speaking", new_state="listening", created_at=10.0)),
        ("conversation_item_added", ConversationItemAddedEvent(item=said("user", "When?"))),
        ("function_tools_executed", FunctionToolsExecutedEvent(
            function_calls=[call],
            function_call_outputs=[tool_output("find_table", is_error=True)])),
        ("agent_state_changed", AgentStateChangedEvent(
            old_state="thinking", new_state="speaking", created_at=11.5)),
        ("conversation_item_added", ConversationItemAddedEvent(item=interrupted)),
        ("conversation_item_added", ConversationItemAddedEvent(
            item=AgentHandoff(old_agent_id="host", new_agent_id="chef"))),
    ]:  # fmt: skip
        session.emit(name, event)
    await terminal.capture_text("not finished")
    assert [line.rstrip() for line in page.getvalue().splitlines()] == [
        "caller  When?",
        "tool    find_table {} failed",
        "agent   At noon. (interrupted)                        1.50 s",
        "        host hands over to chef",
    ]


# The call


def test_options_have_defaults_for_a_whole_call() -> None:
    """Without options the call has all its lines, the environment's backend, LiveKit's defaults."""
    assert vars(parse([])) == {
        "backend": None,
        "turns": len(script.TURNS),
        "preemptive": True,
        "record": False,
    }
    assert vars(parse(["--backend", "local", "--turns", "2", "--no-preemptive", "--record"])) == {
        "backend": "local",
        "turns": 2,
        "preemptive": False,
        "record": True,
    }


@pytest.fixture(scope="module")
def whole_call(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a demo that ran to its end, as docs/ci.md has it in a workflow."""
    directory = str(tmp_path_factory.mktemp("demo"))
    environ = {**os.environ, "TRACING_DIR": directory, "TRACING_BACKEND": "local"}
    assert shell("python agent_entry.py demo", environ).returncode == 0
    return environ


def shell(command: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a line of a document in the repository."""
    line = command.replace("python ", f"{sys.executable} ", 1)
    return subprocess.run(
        line, shell=True, cwd=REPOSITORY, env=environ, timeout=180,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_command_to_open_the_call_works_as_it_is_said(tmp_path: Path) -> None:
    """By the path of the environment where the demo was called beside it, which no shell has."""
    executable = Path(sys.executable)
    assert python_from(executable.parents[1]) == f"bin/{executable.name}"
    assert python_from(tmp_path) == "python"


@pytest.mark.integration
def test_whole_call_is_recorded(whole_call: dict[str, str]) -> None:
    """`agent_entry.py demo` runs the script to its end, as one call of less than a minute."""
    [call] = json.loads(shell("python -m tracing report --json", whole_call).stdout)["calls"]
    heard = [turn["user_text"] for turn in call["turns"] if turn.get("user_text")]
    assert list(dict.fromkeys(heard)) == PHRASES
    assert [turn["number"] for turn in call["turns"] if turn.get("interrupted")] == [5]
    assert call["duration_seconds"] < 60


@pytest.mark.integration
def test_gate_of_the_docs_lets_the_demo_pass(whole_call: dict[str, str], tmp_path: Path) -> None:
    """The workflow in docs/ci.md from its call on, and the two commands of a baseline."""
    text = (REPOSITORY / "docs" / "ci.md").read_text()
    workflow = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    steps = [step["run"] for step in workflow["jobs"]["gate"]["steps"] if "run" in step]
    assert steps[:2] == ["pip install --group demo .", "python agent_entry.py demo"]
    baseline = text.partition("## Against a baseline")[2].partition("```\n")[2].partition("```")[0]
    for command in [*steps[2:], *baseline.splitlines()]:
        for file in ("call.html", "baseline.json"):
            command = command.replace(file, str(tmp_path / file))
        done = shell(command, whole_call)
        assert (done.returncode, command) == (0, command), done.stdout


@pytest.mark.integration
def test_recorded_call_is_heard_as_it_sounded(tmp_path: Path) -> None:
    """`demo --record`: account, tail and lead-in are what is heard; a listener hears the same."""
    environ = {**os.environ, "TRACING_DIR": str(tmp_path), "TRACING_BACKEND": "local"}
    command = [sys.executable, "agent_entry.py", "demo", "--record"]
    subprocess.run(command, cwd=REPOSITORY, env=environ, check=True, timeout=180)
    with Store(tmp_path / "calls.db", read_only=True) as store:
        spans = store.spans(next(store.calls()).trace_id)
    measured = {span.parent_span_id: span.attributes for span in spans if span.name == HEARD}
    replies = [
        (span.attributes, measured[span.span_id])
        for span in spans
        if span.name == names.AGENT_TURN and "turn.user_bot_latency_seconds" in span.attributes
    ]
    assert len(replies) == 7
    for listened, recorded in replies:
        for heard in (listened, recorded):
            parts = [
                listened["turn.user_bot_latency_seconds"],
                heard["turn.speech_tail_seconds"],
                heard["turn.voice_lead_in_seconds"],
            ]
            assert "turn.heard_reason" not in heard
            assert heard["turn.heard_latency_seconds"] == pytest.approx(
                sum(map(float, map(str, parts))), abs=0.02
            )
        for key in ("heard_latency", "speech_tail", "voice_lead_in"):
            assert listened[f"turn.{key}_seconds"] == pytest.approx(
                recorded[f"turn.{key}_seconds"], abs=0.02
            )
    assert [turn["turn.barged_in"] for turn, _ in replies].count(True) == 1
    assert [key for key in recorded if key.endswith("_level_dbfs")]


@pytest.mark.integration
def test_recorded_call_is_heard_in_step(tmp_path: Path) -> None:
    """`demo --record`: the store has the sound, each side of it where the spans say it spoke."""
    environ = {**os.environ, "TRACING_DIR": str(tmp_path), "TRACING_BACKEND": "local"}
    command = [sys.executable, "agent_entry.py", "demo", "--record", "--turns", "1"]
    subprocess.run(command, cwd=REPOSITORY, env=environ, check=True, timeout=180)
    with Store(tmp_path / "calls.db", read_only=True) as store:
        spans = store.spans(next(store.calls()).trace_id)
    call = call_of(spans)
    recording = find_recording(tmp_path, call)
    assert recording is not None
    found = peaks(recording.path)
    on_axis = call.shown["lanes"]
    for channel, who in enumerate(("caller", "agent")):
        spoken = on_axis[who][0]
        first, last = (
            round((spoken[end] - recording.offset) * PEAKS_PER_SECOND) for end in ("at", "end")
        )
        loud = found[2 * first + channel : 2 * last : 2]
        silent = found[2 * first + 1 - channel : 2 * last : 2]
        assert np.mean(list(loud)) > 10 * np.mean(list(silent)), who


def test_sent_is_said_of_what_the_server_took(
    server: RecordingServer, in_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal is told in the server's words, and the status is 1 until it has all."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
    server.reply = Reply(401, b"who are you?")
    tracing = setup_tracer()
    assert tracing.directory is not None
    outcomes = Outcomes(tracing.directory, backends_of(load_settings()))
    call()
    out = io.StringIO()
    assert tell(tracing, outcomes, Console(file=out, width=400)) == 1
    assert "Not all is there: otlp: " in out.getvalue()
    assert "401: who are you?" in out.getvalue()
    assert "Sent" not in out.getvalue()
    server.reply = Reply()
    until(lambda: tracing.flush(5))
    assert tell(tracing, outcomes, Console(file=out, width=400)) == 0
    assert out.getvalue().endswith(f"Sent by OTLP to {server.url}/v1/traces\n")
