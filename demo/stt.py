"""Speech recognition on this machine: pocketsphinx, which carries its English model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from livekit import rtc
from livekit.agents import inference, stt, utils, vad
from livekit.agents.types import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    NotGivenOr,
)
from pocketsphinx import Decoder

from demo import script

SAMPLE_RATE = 16_000
SILENCE_SECONDS = 0.2
"""Silence that ends an utterance: less than the session's own, so that words come before turns."""
EAGER_SECONDS = 0.1
"""Silence after which a whole phrase is reported in advance, as cloud recognisers do: with
preemptive generation the model starts on it."""


class Recogniser:
    """Understands a closed set of phrases; whatever is said becomes the most similar one.

    A grammar keeps a small acoustic model at no word errors and about a hundredth of real time,
    where free dictation would leave the script.
    """

    def __init__(self, phrases: Iterable[str]) -> None:
        self._phrase_by_words = {" ".join(script.words(phrase)): phrase for phrase in phrases}
        self._decoder = Decoder(samprate=SAMPLE_RATE, lm=None, loglevel="FATAL")
        lines = " | ".join(self._phrase_by_words)
        self._decoder.add_jsgf_string("call", f"#JSGF V1.0; grammar call; public <line> = {lines};")
        self._decoder.activate_search("call")

    def start(self) -> None:
        """Begin an utterance."""
        self._decoder.start_utt()

    def hear(self, pcm: bytes) -> str:
        """Take some more sound and return the words so far, as the phrase writes them."""
        self._decoder.process_raw(pcm, False, False)
        hypothesis = self._decoder.hyp()
        return self._written(hypothesis.hypstr) if hypothesis else ""

    def finish(self) -> tuple[str, float]:
        """End the utterance; return the phrase and how sure its words are, in the mean."""
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        if not hypothesis or not self.is_phrase(phrase := self._written(hypothesis.hypstr)):
            return "", 0.0
        return phrase, min(hypothesis.prob, 1.0) ** (1 / len(phrase.split()))

    def is_phrase(self, text: str) -> bool:
        """Tell whether a text is one of the phrases, whole."""
        return text in self._phrase_by_words.values()

    def _written(self, words: str) -> str:
        """Give words their capitals and commas back: they are the beginning of some phrase."""
        beginnings = (
            p for w, p in self._phrase_by_words.items() if f"{w} ".startswith(f"{words} ")
        )
        phrase = next(beginnings, words)
        return " ".join(phrase.split()[: len(words.split())])


class OfflineSTT(stt.STT):
    """A streaming recogniser with interim words, for a script's phrases."""

    def __init__(self, phrases: Iterable[str]) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self._recogniser = Recogniser(phrases)

    @property
    def model(self) -> str:
        """Name of the acoustic model."""
        return "en-us"

    @property
    def provider(self) -> str:
        """Name of the engine."""
        return "pocketsphinx"

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        self._recogniser.start()
        self._recogniser.hear(bytes(utils.merge_frames(buffer).data))
        return _event(stt.SpeechEventType.FINAL_TRANSCRIPT, *self._recogniser.finish())

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        """Open a stream; there is no language to choose."""
        return _Stream(self, self._recogniser, conn_options)


class _Stream(stt.RecognizeStream):
    """Cuts the sound into utterances by voice activity and reports words as they come."""

    def __init__(self, owner: OfflineSTT, recogniser: Recogniser, options: APIConnectOptions):
        super().__init__(stt=owner, conn_options=options, sample_rate=SAMPLE_RATE)
        self._recogniser = recogniser
        self._words = ""
        self._announced = ""

    async def _run(self) -> None:
        activity = inference.VAD(min_silence_duration=SILENCE_SECONDS).stream()
        feeding = asyncio.create_task(self._feed(activity))
        try:
            async for event in activity:
                self._on_activity(event)
        finally:
            await utils.aio.cancel_and_wait(feeding)
            await activity.aclose()

    async def _feed(self, activity: vad.VADStream) -> None:
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                activity.push_frame(item)
        activity.end_input()

    def _on_activity(self, event: vad.VADEvent) -> None:
        if event.type == vad.VADEventType.START_OF_SPEECH:
            self._words = self._announced = ""
            self._recogniser.start()
            self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.START_OF_SPEECH))
            self._hear(event)
        elif event.type == vad.VADEventType.INFERENCE_DONE and event.speaking:
            self._hear(event)
        elif event.type == vad.VADEventType.END_OF_SPEECH:
            self._finish(event)

    def _hear(self, event: vad.VADEvent) -> None:
        words = self._recogniser.hear(b"".join(bytes(frame.data) for frame in event.frames))
        if words != self._words:
            self._words = words
            self._event_ch.send_nowait(_event(stt.SpeechEventType.INTERIM_TRANSCRIPT, words))
        eager = event.raw_accumulated_silence >= EAGER_SECONDS and self._recogniser.is_phrase(words)
        if eager and words != self._announced:
            self._announced = words
            self._event_ch.send_nowait(_event(stt.SpeechEventType.PREFLIGHT_TRANSCRIPT, words))

    def _finish(self, event: vad.VADEvent) -> None:
        text, confidence = self._recogniser.finish()
        send = self._event_ch.send_nowait
        if text:
            send(_event(stt.SpeechEventType.FINAL_TRANSCRIPT, text, confidence))
        send(stt.SpeechEvent(stt.SpeechEventType.END_OF_SPEECH))
        usage = stt.RecognitionUsage(audio_duration=event.speech_duration)
        send(stt.SpeechEvent(stt.SpeechEventType.RECOGNITION_USAGE, recognition_usage=usage))


def _event(kind: stt.SpeechEventType, text: str, confidence: float = 0.0) -> stt.SpeechEvent:
    data = stt.SpeechData(language="en", text=text, confidence=confidence)
    return stt.SpeechEvent(type=kind, alternatives=[data])
