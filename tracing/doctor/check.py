"""`Tracing.check()`: the same findings, of the process that has set up."""

from __future__ import annotations

from pathlib import Path

from tracing.config.asked import Asked
from tracing.config.settings import Settings
from tracing.doctor.examine import examine
from tracing.doctor.findings import Finding, mend, ok, unknown


def on_event_loop() -> Finding:
    """What is said where looking would hold an event loop."""
    how = "await asyncio.to_thread(tracing.check)"
    return unknown("check", "it was called on an event loop, and would hold the call", how)


def check_here(
    settings: Settings | None, asked: Asked | None, *, has_ended: bool, other_provider: str
) -> list[Finding]:
    """What stands between this process and its traces; never raises.

    `other_provider` names what LiveKit records with in place of ours; "" for none.
    """
    try:
        arguments = dict(asked.arguments) if asked is not None else {}
        asked = asked or Asked({})
        directory = settings.directory if settings is not None else Path(".tracing")
        found = examine(lambda: settings or asked.settings(), directory, arguments)
        if settings is None or settings.off_because:
            return found
        return [_recording(other_provider, has_ended=has_ended), *found]
    except Exception as error:
        return [unknown("check", f"it failed: {error!r}")]


def _recording(other_provider: str, *, has_ended: bool) -> Finding:
    if has_ended:
        text = "shutdown() was called: this process records nothing from then on"
        return mend("recording", text, "call setup_tracer again")
    if other_provider:
        text = f"LiveKit was given a {other_provider} after setup_tracer, which records nothing"
        how = "leave set_tracer_provider out, or give it an SDK provider"
        return mend("recording", text, how)
    return ok("recording", "LiveKit records with the provider of this set-up")
