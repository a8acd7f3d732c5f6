"""Measures what waits in a spool, and writes what was heard as spans below the turns.

One small span for each turn, in the call's own trace, so that every backend gets it as it gets
the others. Its id comes from the turn's: a repeat is the same span.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tracing import stamps
from tracing.heard import waiting
from tracing.heard.recorders_clock import in_place
from tracing.heard.recording_file import NotMeasured, loudness_of
from tracing.heard.turns import Sound, Turn, heard_of
from tracing.heard.waiting import Waiting
from tracing.span import AttributeValue, Span
from tracing.spool.losses import Ledger
from tracing.spool.records import end_frame
from tracing.spool.segments import SegmentWriter


def measure_all(spool: Path) -> list[str]:
    """Measure what waits in a spool; the result says, a sentence each, what could not be."""
    told = [said for path in waiting.left(spool) if (said := _measure(spool, path))]
    waiting.remove_strays(spool, time.time())
    return told


def _measure(spool: Path, path: Path) -> str:
    """Measure one call; why it could not be, or ""."""
    path, is_once_too_often = waiting.take(path)
    sound, why_not = None, ""
    try:
        call = waiting.read(path)
        sound = waiting.sounds(spool) / Path(call.sound).name
        if is_once_too_often:
            raise NotMeasured(f"it failed {waiting.MAX_TRIES} times before")
        _write(spool, call, spans_of(call, measured(call, sound)))
    except (NotMeasured, ValueError, OSError) as error:
        why_not = f"the recording of call {path.name[:32]} was not measured: {error}"
    for used in (path, sound):
        if used is not None:
            used.unlink(missing_ok=True)
    return why_not


def measured(call: Waiting, path: Path) -> list[dict[str, AttributeValue]]:
    """What was heard of each turn, in the recording at `path`; raises NotMeasured."""
    caller, agent = loudness_of(path)
    sound = Sound(in_place(caller, call.began, call.runs), agent, call.began)
    return heard_of(sound, [turn.told for turn in call.turns])


def spans_of(call: Waiting, heard: Sequence[Mapping[str, AttributeValue]]) -> Iterator[Span]:
    """A span for each turn of which something was to be heard.

    It lasts as long as the wait that was heard; where there was none, it is an instant.
    """
    trace_id = bytes.fromhex(call.trace_id)
    for waited, found in zip(call.turns, heard, strict=True):
        turn = Turn.of(waited.told)
        if not found or turn is None:
            continue
        sound = turn.began + _number(found, stamps.TURN_VOICE_LEAD_IN)
        begun = sound - max(_number(found, stamps.TURN_HEARD_LATENCY), 0.0)
        parent = bytes.fromhex(waited.span_id)
        yield Span(
            trace_id,
            hashlib.sha256(stamps.HEARD_SCOPE.encode() + trace_id + parent).digest()[:8],
            parent,
            stamps.HEARD,
            round(begun * 1e9),
            round(sound * 1e9),
            {**call.shared, **found},
            scope_name=stamps.HEARD_SCOPE,
        )


def _write(spool: Path, call: Waiting, spans: Iterable[Span]) -> None:
    """Append the spans to a segment of this process's own."""
    ledger = Ledger(spool)
    writer = SegmentWriter(spool, resource=call.resource, labels=call.labels, ledger=ledger)
    writer.open()
    frames = b"".join(end_frame(span, span.attributes) for span in spans)
    if frames:
        writer.append(frames)
    writer.close()
    ledger.settle(finally_=True)


def _number(found: Mapping[str, AttributeValue], key: str) -> float:
    value = found.get(key)
    return float(value) if isinstance(value, (int, float)) else 0.0
