"""What set-up registered in this process: where the events of a session write to."""

from __future__ import annotations

from typing import NamedTuple

from tracing.capture.processor import TracingProcessor
from tracing.capture.session_report import SessionReports
from tracing.capture.sound.recording import Recordings
from tracing.capture.sound.to_measure import Measurable


class Capture(NamedTuple):
    """The parts of this process's pipeline that more than spans go to."""

    processor: TracingProcessor
    reports: SessionReports | None = None
    """Where LiveKit's reports of sessions go; None without a local store."""
    recordings: Recordings | None = None
    """Where sessions' audio is saved; None if it is not."""
    measurable: Measurable | None = None
    """Where sessions' audio is left to be measured."""


_current: Capture | None = None


def current_capture() -> Capture | None:
    """What is registered; None before set-up and after its shutdown."""
    return _current


def register(capture: Capture | None) -> None:
    """Make it what this process's session events write to, or None: they write nowhere."""
    global _current
    _current = capture
