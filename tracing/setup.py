"""Settings -> spool -> processor -> TracerProvider -> LiveKit: one pipeline per process.

Safe to repeat: in every job, from prewarm, from the entrypoint, in parents and children.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import trace

from tracing.capture.current import current_capture
from tracing.capture.job_process import hand_over
from tracing.capture.jobs import join_running_job
from tracing.capture.worker import call_when_worker_starts
from tracing.config.asked import Asked
from tracing.config.environment import as_flag, shown
from tracing.config.load import BackendArguments, Wanted, check_names
from tracing.config.settings import ConfigError, Mask
from tracing.handle import Tracing, current_tracing, make_current
from tracing.in_force import ask_again, say_choice, settle
from tracing.pipeline import build
from tracing.safe_text import get_logger
from tracing.span import Attributes

if TYPE_CHECKING:
    from typing_extensions import Unpack

logger = get_logger(__name__)

_lock = threading.Lock()


def _renew_lock() -> None:
    """In a forked child: the parent's thread that held it is not there."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def setup_tracer(
    backend: Wanted | Sequence[Wanted] | None = None,
    *,
    directory: str | os.PathLike[str] | None = None,
    session_id: str | Callable[[Attributes], str] | None = None,
    user_id: str | None = None,
    capture_content: bool | None = None,
    content_safe: Iterable[str] | None = None,
    mask: Mask | None = None,
    logs: Literal["info", "warning", False] | None = None,
    metrics: bool | None = None,
    strict: bool = True,
    **arguments: Unpack[BackendArguments],
) -> Tracing:
    """Record what this process's LiveKit agent does, and deliver it to the backends.

    Call it where the agent's module is imported, or in the server's `setup_fnc`; calling it
    again returns the same handle.

    - `backend`: one backend or a list of them, each of which gets every span: a name, or settings
      such as `Langfuse(environment="staging")` and `Otlp(endpoint=...)`; else TRACING_BACKEND,
      Langfuse's keys, an OTLP endpoint, local.
    - `directory`: where spool and store live; else TRACING_DIR, .tracing.
    - `session_id`: names the call: a text, or a function from its identity (`lk.*`, as far as
      known by then) to one, which may fail; else the room's name and the job's id.
    - `user_id`: names the caller; else the participant's identity.
    - `capture_content`: False withholds what anybody said, typed or is called: of texts, what is
      known to be technical is left. So does LIVEKIT_TELEMETRY_ALLOW_PII=0, whatever is said here;
      else TRACING_CAPTURE_CONTENT, True.
    - `content_safe`: names of attributes and events whose texts are left all the same, and of
      loggers (`"logger:my.app"`) whose lines are; else none.
    - `mask`: takes each text and returns what may leave the process; else none.
    - `logs`: the level from which on what is logged while a call runs is recorded with it, False
      for none; else TRACING_LOGS, "warning".
    - `metrics`: also export LiveKit's metrics and those of turns to the OTLP endpoint; LiveKit
      Cloud then gets none; else TRACING_METRICS, False.
    - `strict`: False: wrong settings are logged in place of ConfigError, and nothing is recorded;
      else True.
    - `arguments`: fields of the settings of backends that are given by name, those of
      `BackendArguments`: `public_key=`, `endpoint=` and so on.

    Raises ConfigError, which lists every problem.
    """
    check_names(arguments)
    asked = Asked.of(
        backend=backend,
        directory=directory,
        session_id=session_id,
        user_id=user_id,
        capture_content=capture_content,
        content_safe=content_safe,
        mask=mask,
        logs=logs,
        metrics=metrics,
        **arguments,
    )
    with _lock:
        tracing = current_tracing()
        if tracing is None:
            tracing = _first(asked, strict=strict)
            make_current(tracing)
            call_when_worker_starts(_worker_starts)
        else:
            ask_again(tracing, asked)
        say_choice(tracing)
    capture = current_capture()
    if capture is not None:
        join_running_job(tracing.provider, capture.processor)
    return tracing


def _first(asked: Asked, *, strict: bool) -> Tracing:
    """The pipeline that was asked for; a no-op where that cannot be, and the agent must run."""
    is_strict = as_flag(strict)
    try:
        if is_strict is None:
            raise ConfigError([f"strict= is {shown(strict)}: give True or False"])
        return build(asked.settings(), asked)
    except ConfigError as error:
        if is_strict is not False:
            raise
        logger.warning(f"{error}\nNothing is recorded.")  # its lines stay lines
        return Tracing(trace.NoOpTracerProvider(), asked=asked)


def _worker_starts(server: Any) -> None:
    """Settle for good what this worker and its jobs record to; say it, and hand it over."""
    with _lock:
        tracing = current_tracing()
        if tracing is None or tracing.asked is None:
            return
        settle(tracing, tracing.asked, build)
        say_choice(tracing, is_heard=True)
    if tracing.directory is not None:
        hand_over(server, functools.partial(_repeat, tracing.asked), tracing.directory)


def _repeat(asked: Asked) -> None:
    """Set up in a job's process what its worker has set up and said."""
    with _lock:
        if current_tracing() is None:
            tracing = _first(asked, strict=False)
            tracing.choice = ""
            make_current(tracing)
