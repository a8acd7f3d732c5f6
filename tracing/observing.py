"""`observe(session)`: what only a session's events know, on its spans, in the log, as a table."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from livekit.agents import AgentSession, get_job_context

from tracing import stamps
from tracing.account.session import Watcher
from tracing.account.summary import BUDGET_SECONDS
from tracing.account.turns.turn import Turn
from tracing.capture.current import current_capture
from tracing.capture.jobs import attach_recording
from tracing.capture.session_events import SessionObserver
from tracing.capture.sound.to_measure import HeardTurns
from tracing.config.environment import Environment
from tracing.read.used import in_words
from tracing.safe_text import get_logger
from tracing.span import Attributes, AttributeValue

logger = get_logger(__name__)

_observed: weakref.WeakKeyDictionary[AgentSession[Any], SessionObserver] = (
    weakref.WeakKeyDictionary()
)


def observe(
    session: AgentSession[Any],
    *,
    session_id: str | None = None,
    user_id: str | None = None,
    budget_seconds: float | None = None,
    table: bool = False,
    listen: bool = False,
    log_summary: bool = True,
) -> None:
    """Record what only the events of a session know; once per session, before or after it starts.

    - `session`: what is observed.
    - `session_id`: names the call; else what `setup_tracer` says, the job's id alone where content
      is withheld.
    - `user_id`: names the caller; else what `setup_tracer` says, nobody where content is withheld.
    - `budget_seconds`: a reply slower than this is marked; else 1.0.
    - `table`: print a table in the terminal after each turn; else False.
    - `listen`: measure, from the sound that passes, what the caller heard of each turn; else False.
    - `log_summary`: log the call's numbers at its end; else True.
    """
    if session in _observed:
        return
    env = Environment({})  # a text is not a yes; what is wrong is said, and the call goes on
    watchers: list[Watcher] = []
    if env.check_flag("log_summary=", log_summary, default=True):
        watchers.append(SummaryLog())
    if env.check_flag("table=", table, default=False):
        from tracing.terminal.turn_table import TurnTable

        watchers.append(TurnTable())
    heard = HeardTurns()
    watchers.append(heard)
    observer = SessionObserver(
        session,
        env.check_text("session_id=", session_id) or None,
        env.check_text("user_id=", user_id) or None,
        _budget(budget_seconds, env),
        watchers,
        _listen(session) if env.check_flag("listen=", listen, default=False) else None,
    )
    if env.problems:
        logger.warning("observe: %s", "; ".join(env.problems))
    _observed[session] = observer
    observer.listen(session)
    _attach_recording(session, heard)


def _listen(session: AgentSession[Any]) -> Callable[[Attributes], Attributes]:
    from tracing.capture.sound.listening import Listener

    listener = Listener()
    listener.attach(session)
    return listener.heard


def _budget(given: object, env: Environment) -> float | None:
    if given is None:
        return None
    return env.check_number("budget_seconds=", given, BUDGET_SECONDS)


def _attach_recording(session: AgentSession[Any], heard: HeardTurns) -> None:
    capture, job = current_capture(), get_job_context(required=False)
    if capture is not None and job is not None:
        heard.follow(session)
        attach_recording(job, session, capture, heard)


class SummaryLog:
    """Logs a session's numbers at its end."""

    def turn_ended(self, turn: Turn, stamped: Attributes) -> None:
        """Wait for the end."""

    def session_ended(self, stamped: Attributes) -> None:
        """Log the numbers in one line; options and the like are on the trace."""
        told = (
            f"{key[len(stamps.CALL) :]}={_shown(key, value)}"
            for key, value in stamped.items()
            if "." not in key[len(stamps.CALL) :] or key.startswith(_ERRORS)
        )
        logger.info("call ended: %s", " ".join(told))


_ERRORS = (stamps.CALL_ERRORS, stamps.CALL_RECOVERABLE_ERRORS)


def _shown(key: str, value: AttributeValue) -> str:
    if key == stamps.CALL_USAGE:
        return f"[{'; '.join(f'{model}: {amount}' for model, amount in in_words(value))}]"
    return str(round(value, 3) if isinstance(value, float) else value)
