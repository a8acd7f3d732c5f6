"""Render the demo's audio again, after a change to `script.py`.

Needs the `flite` program (Debian and Ubuntu: `apt-get install flite`) with its voices rms and
slt, and PyAV, which livekit-agents brings. Run `python -m demo.render_clips`; it writes
`demo/clips/*.ogg` (the caller, one file a line) and `demo/clips/voice.{ogg,json}` (the agent: its
sentences, their words, letters and digits, and where each lies in the file).
"""

from __future__ import annotations

import json
import string
import subprocess
import tempfile
import wave
from pathlib import Path

import av
import numpy as np

from demo import script
from demo.audio import CLIPS, SAMPLE_RATE, Samples

CALLER_VOICE, AGENT_VOICE = "rms", "slt"
BIT_RATE = 16_000
QUIET = 300
"""Below this amplitude (of 32767) the edges of a rendering count as silence."""
EDGE_SECONDS = 0.03
GAP_SECONDS = 0.1
"""Silence between two entries of the voice bank: the codec smears sound a little over its ends."""


def speak(text: str, voice: str) -> Samples:
    """A text spoken by flite, without the silence around it."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", voice, "--setf", "duration_stretch=0.85"]
        subprocess.run([*command, "-t", text, "-o", file.name], check=True)
        with wave.open(file.name) as rendered:
            assert rendered.getframerate() == SAMPLE_RATE
            samples = np.frombuffer(rendered.readframes(rendered.getnframes()), dtype=np.int16)
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET)
    edge = int(EDGE_SECONDS * SAMPLE_RATE)
    return samples[max(loud[0] - edge, 0) : loud[-1] + edge]


def write_opus(path: Path, samples: Samples) -> None:
    """Write mono samples as Ogg Opus."""
    with av.open(str(path), "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = BIT_RATE
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def bank_texts() -> list[str]:
    """What the voice bank holds: whole sentences, then all that they are made of."""
    sentences = [s for text in script.agent_texts() for s in script.sentences(text)]
    single = {word for sentence in sentences for word in script.words(sentence)}
    single |= set(string.ascii_lowercase + string.digits)
    return [*dict.fromkeys(sentences), *sorted(single)]


def render_bank() -> None:
    """Render the agent's voice bank: one recording and an index of seconds into it."""
    index, parts, position = {}, [], 0
    for text in bank_texts():
        spoken = speak(text, AGENT_VOICE)
        index[" ".join(script.words(text))] = [
            round(position / SAMPLE_RATE, 3),
            round((position + len(spoken)) / SAMPLE_RATE, 3),
        ]
        parts += [spoken, np.zeros(int(GAP_SECONDS * SAMPLE_RATE), np.int16)]
        position += len(parts[-2]) + len(parts[-1])
    write_opus(CLIPS / "voice.ogg", np.concatenate(parts))
    entries = (f"{json.dumps(text)}: {json.dumps(where)}" for text, where in index.items())
    (CLIPS / "voice.json").write_text("{\n" + ",\n".join(entries) + "\n}\n")


def main() -> None:
    """Render every clip of the script."""
    CLIPS.mkdir(exist_ok=True)
    for turn in script.TURNS:
        in_one_breath = " ".join(script.words(turn.caller))
        write_opus(CLIPS / f"{turn.clip}.ogg", speak(in_one_breath, CALLER_VOICE))
    render_bank()
    print(sum(file.stat().st_size for file in CLIPS.iterdir()), "bytes in", CLIPS.name)


if __name__ == "__main__":
    main()
