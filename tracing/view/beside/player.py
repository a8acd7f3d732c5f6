"""What the player of a call's page plays: the recording that is here, or why there is none."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tracing import stamps
from tracing.calls.rows import is_withheld
from tracing.places import RECORDING_TYPES
from tracing.store import recordings
from tracing.view.beside.peaks import peaks
from tracing.view.library import Call

MAX_SHARED_BYTES = 10 * 10**6
"""What is larger is left out of a file that is shared."""

NONE_KEPT = (
    "No recording: with setup_tracer(recording=True) the one of session.start(record=True) is kept"
)
NOTHING_SAID = "Nobody spoke: there is nothing to play"
WITHHELD = "What was said is withheld, and with it the recording"
IN_PROGRESS = "The recording can be heard when the call has ended"
GONE = "The recording is not here: it was deleted, or is where the call was recorded"
TOO_LARGE = f"The recording is left out: it has more than {MAX_SHARED_BYTES // 10**6} MB"

_NUMBER = r"([0-9]{1,6}(?:\.[0-9]{1,3})?)"
_INTERVAL = re.compile(rf"{_NUMBER}\.\.{_NUMBER}")


class Recording(NamedTuple):
    """A recording that is here."""

    path: Path
    content_type: str
    offset: float
    """When it began, in seconds since the start of the call."""


def find_recording(directory: Path | None, call: Call) -> Recording | None:
    """The recording of a call beside the store in `directory`; None where there is none."""
    told = call.shown["recording"]
    path = recordings.find(directory, recordings.name_of(told)) if directory else None
    if path is None:
        return None
    offset = _offset(told, call.described.get("started_at", ""))
    return Recording(path, RECORDING_TYPES[path.suffix], offset)


def player(directory: Path | None, call: Call, *, withheld: bool, shared: bool) -> dict[str, Any]:
    """What the page plays: `audio` and `peaks`, as addresses or, `shared`, as the data itself.

    `audio_offset` is when it began, in seconds since the start of the call; `silent` says why
    there is nothing to play.
    """
    recording = None if withheld else find_recording(directory, call)
    if recording is None:
        return _silent(WITHHELD if withheld else _why_silent(call))
    if shared:
        return _in_itself(recording)
    here = f"/calls/{call.described['trace_id']}"
    return _playing(recording, f"{here}/audio", f"{here}/peaks")


def read_interval(asked: str) -> tuple[float, float] | None:
    """Seconds of a call, as in `19.5..20.7`; None for anything else."""
    found = _INTERVAL.fullmatch(asked)
    if found is None or float(found[1]) >= float(found[2]):
        return None
    return float(found[1]), float(found[2])


def _playing(recording: Recording, audio: str, drawn: str) -> dict[str, Any]:
    offset = round(recording.offset, 3)
    return {"audio": audio, "peaks": drawn, "audio_offset": offset, "silent": ""}


def _silent(why: str) -> dict[str, Any]:
    return {"audio": "", "peaks": "", "audio_offset": 0.0, "silent": why}


def _in_itself(recording: Recording) -> dict[str, Any]:
    if recording.path.stat().st_size > MAX_SHARED_BYTES:
        return _silent(TOO_LARGE)
    encoded = base64.b64encode(recording.path.read_bytes()).decode()
    drawn = base64.b64encode(peaks(recording.path)).decode()
    return _playing(recording, f"data:{recording.content_type};base64,{encoded}", drawn)


def _why_silent(call: Call) -> str:
    if is_withheld(call.described):
        return WITHHELD
    if call.row.get("is_text"):
        return NOTHING_SAID
    if call.row.get("is_open"):
        return IN_PROGRESS
    return GONE if call.shown["recording"] else NONE_KEPT


def _offset(told: Mapping[str, Any], started_at: str) -> float:
    began = told.get(stamps.RECORDING_STARTED_AT)
    if not isinstance(began, float) or not started_at:
        return 0.0
    return began - datetime.fromisoformat(started_at).timestamp()
