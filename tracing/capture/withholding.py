"""The one question: is content withheld, here and now? Whoever demands it is asked here.

The settings (LIVEKIT_TELEMETRY_ALLOW_PII is one) and LiveKit's filter on the provider speak for
the whole process. A job (`enable_redaction`, `init_recording`) and a session, by its `record`
options, speak for their calls, and so does the stamp that the LiveKit project leaves on spans:
`Call.is_withheld` keeps what they said. They are asked where a call's first span, a job, a session
or a turn starts or ends. LiveKit has settled the matter by then: a job's before `job_entrypoint`,
a session's before `agent_session`. A demand that comes later finds written what had ended before
it, such as `room_connect` with the room's name; start records carry no content in any case. From
then on nothing more is written, nor what the call remembers of earlier spans.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from livekit.agents import AgentSession, get_job_context
from opentelemetry.sdk.trace import TracerProvider

_session: ContextVar[weakref.ref[Any] | None] = ContextVar("tracing_session", default=None)
_MARK = "_tracing_session"


class Withholding:
    """Whether content is withheld: always in this process, or where a job or session demands it."""

    def __init__(self, *, always: bool = False) -> None:
        self.always = always

    def is_demanded_here(self) -> bool:
        """Whether the process, or the job or session that is current, demands it."""
        found = _session.get()
        session = found() if found is not None else None
        return self.is_demanded_by(get_job_context(required=False), session)

    def is_demanded_by(self, job: Any, session: Any) -> bool:
        """The same of a job and a session that are known; None where there is none."""
        return self.always or _job_demands(job) or _session_demands(session)


def is_filtered(provider: TracerProvider) -> bool:
    """Whether LiveKit's filter on this provider strips content from what spans end with."""
    installed = getattr(provider._active_span_processor, "_span_processors", ())
    return any(getattr(processor, "_allow_pii", True) is False for processor in installed)


def know_sessions() -> None:
    """Let sessions be known where their spans start; LiveKit tells them only to their job.

    What `AgentSession.start` begins runs in its context, so the session is put there; once.
    """
    start: Any = AgentSession.start
    if not hasattr(start, _MARK):
        AgentSession.start = _known(start)  # type: ignore[method-assign]


def _known(start: Callable[..., Awaitable[Any]]) -> Any:
    @functools.wraps(start)
    async def start_known(self: Any, *arguments: Any, **options: Any) -> Any:
        _session.set(weakref.ref(self))
        return await start(self, *arguments, **options)

    setattr(start_known, _MARK, True)
    return start_known


def _job_demands(job: Any) -> bool:
    if job is None:
        return False
    if getattr(job, "_redaction_enabled", False):
        return True
    with contextlib.suppress(AttributeError):  # before livekit-agents 1.7
        if job.job.enable_redaction:
            return True
    return _session_demands(getattr(job, "_primary_agent_session", None))


def _session_demands(session: Any) -> bool:
    return bool(getattr(session, "_redaction_enabled", False))
