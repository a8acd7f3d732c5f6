"""A voice on this machine: recordings of sentences, words and letters, put together."""

from __future__ import annotations

import asyncio
import json
from functools import cache

import numpy as np
from livekit.agents import tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions

from demo import script
from demo.audio import CLIPS, SAMPLE_RATE, Samples, load

FIRST_BYTE_SECONDS = 0.15
"""From a sentence to the first of its audio."""
CHUNK_SECONDS = 0.1
TIMES_REAL_TIME = 4
"""How much faster than speech the audio is delivered."""
PAUSE_SECONDS = 0.15
"""Silence after a sentence."""


class VoiceBank:
    """Speaks any text: the longest recorded run of words each time, unknown words letter by letter.

    Whole sentences of the script are in the bank, so they sound as they were recorded.
    """

    def __init__(self) -> None:
        recording = load("voice")
        index: dict[str, list[float]] = json.loads((CLIPS / "voice.json").read_text())
        self._samples_by_words = {
            tuple(text.split()): recording[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
            for text, (start, end) in index.items()
        }
        self._longest = max(map(len, self._samples_by_words))

    def speak(self, text: str) -> Samples:
        """The sound of a text, with a short pause after it."""
        heard = [*script.words(text)]
        parts: list[Samples] = []
        while heard:
            part, used = self._next_part(heard)
            parts.append(part)
            heard = heard[used:]
        return np.concatenate([*parts, np.zeros(int(PAUSE_SECONDS * SAMPLE_RATE), np.int16)])

    def _next_part(self, heard: list[str]) -> tuple[Samples, int]:
        for count in range(min(self._longest, len(heard)), 0, -1):
            if (samples := self._samples_by_words.get(tuple(heard[:count]))) is not None:
                return samples, count
        letters = [self._samples_by_words.get((letter,)) for letter in heard[0]]
        known = [letter for letter in letters if letter is not None]
        return np.concatenate([*known, np.zeros(0, np.int16)]), 1


@cache
def voice_bank() -> VoiceBank:
    """The process's voice bank; decoding it takes a fifth of a second."""
    return VoiceBank()


class OfflineTTS(tts.TTS):
    """Streams a text's audio sentence by sentence, faster than it is spoken."""

    def __init__(self) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True),
            sample_rate=SAMPLE_RATE,
            num_channels=1,
        )
        voice_bank()

    @property
    def model(self) -> str:
        """Name of the voice."""
        return "flite-slt"

    @property
    def provider(self) -> str:
        """Name of the provider."""
        return "demo"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Speak one text."""
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.SynthesizeStream:
        """Speak a text that is still being written."""
        return _Stream(tts=self, conn_options=conn_options)


class _Stream(tts.SynthesizeStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid("tts_"),
            sample_rate=SAMPLE_RATE,
            num_channels=1,
            mime_type="audio/pcm",
            stream=True,
        )
        output_emitter.start_segment(segment_id=utils.shortuuid("segment_"))
        pending = ""
        async for item in self._input_ch:
            if isinstance(item, self._FlushSentinel):
                continue
            *whole, pending = script.SENTENCE_END.split(pending + item)
            for sentence in whole:
                await self._speak(sentence, output_emitter)
        if pending.strip():
            await self._speak(pending, output_emitter)
        output_emitter.end_segment()

    async def _speak(self, sentence: str, output_emitter: tts.AudioEmitter) -> None:
        self._mark_started()
        await asyncio.sleep(FIRST_BYTE_SECONDS)
        samples = voice_bank().speak(sentence)
        chunk = int(CHUNK_SECONDS * SAMPLE_RATE)
        for start in range(0, len(samples), chunk):
            output_emitter.push(samples[start : start + chunk].tobytes())
            await asyncio.sleep(CHUNK_SECONDS / TIMES_REAL_TIME)
