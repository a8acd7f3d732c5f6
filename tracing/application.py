"""`current_call()`: what the application itself says of the call that it is in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from tracing.capture.current import current_capture
from tracing.capture.told import taken
from tracing.capture.told.current import SpokenOf, find_call
from tracing.config.backends import Backend
from tracing.config.environment import Environment
from tracing.config.langfuse import DIALECT, OTLP_PATH
from tracing.config.settings import backends_of
from tracing.handle import current_tracing
from tracing.limits import OncePerMinute
from tracing.places import VIEWER_PORT
from tracing.safe_text import get_logger

logger = get_logger(__name__)

Metadata = str | bool | int | float | list[str] | list[bool] | list[int] | list[float]
"""What a value of metadata, or of an event's attribute, may be."""

_complaint = OncePerMinute()
Result = TypeVar("Result")


def _harmless(default: Any) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Let an error of ours cost what was said, and not the call."""

    def wrapping(method: Callable[..., Result]) -> Callable[..., Result]:
        @functools.wraps(method)
        def guarded(*arguments: Any, **options: Any) -> Any:
            try:
                return method(*arguments, **options)
            except Exception as error:
                if _complaint.is_due():
                    logger.error("%s failed: %s", method.__qualname__, type(error).__name__)
                return default

        return guarded

    return wrapping


class CurrentCall:
    """The call that code runs in, to be told of what only the application knows.

    It may be kept, and used from any thread, until the job ends. Nothing that it does raises:
    what cannot be taken is said in the log and left out. Where nothing is recorded it does
    nothing.
    """

    def __init__(self, call: SpokenOf | None = None) -> None:
        self._call = call

    @_harmless(None)
    def set(
        self,
        *,
        user_id: str | None = None,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Metadata] | None = None,
        outcome: str | None = None,
    ) -> None:
        """Say whose call it is, what it is about, and what came of it.

        Tags and metadata are added to those that are there; a name of metadata that is said again,
        and an outcome, have the later value. An outcome goes before that of LiveKit's tagger.
        """
        if (call := self._open()) is None:
            return
        env = Environment({})
        told = (
            env.check_text("user_id=", user_id),
            taken.tags(tags, env),
            taken.metadata("metadata=", metadata, env),
            env.check_text("outcome=", outcome),
        )
        self._say("set", env, call.set(*told))

    @_harmless(None)
    def score(self, name: str, value: float | str, *, comment: str | None = None) -> None:
        """Score the call: by a number, by True or False, or by a category in a word.

        What is said again under a name is another score.
        """
        if (call := self._open()) is None:
            return
        env = Environment({})
        named, said = taken.name(name, env), env.check_text("comment=", comment)
        scored = taken.score(value, env)
        lost = 0 if env.problems else call.score(named, scored, said)
        self._say("score", env, lost)

    @_harmless(None)
    def event(self, name: str, **attributes: Metadata) -> None:
        """Note that something happened, now: an event of the current span."""
        if (call := self._open()) is None:
            return
        env = Environment({})
        named, found = taken.name(name, env), taken.metadata("", attributes, env)
        self._say("event", env, call.event(named, found) if named else 0)

    @_harmless(None)
    def use_prompt(self, prompt: Any, version: int | None = None) -> None:
        """Link the calls to a model that follow to a prompt that Langfuse manages.

        That is a prompt of Langfuse's SDK, or a name with a version. It holds until the agent
        changes or another is named.
        """
        if (call := self._open()) is None:
            return
        env = Environment({})
        found = taken.prompt(prompt, version, env)
        if found is not None:
            call.use_prompt(found)
        self._say("use_prompt", env)

    @property
    def trace_id(self) -> str:
        """The id of the call's trace, 32 hex digits; "" where nothing is recorded."""
        return self._call.trace_id if self._call is not None else ""

    @_harmless("")
    def url(self) -> str:
        """The page that shows the call: in Langfuse, else in the local viewer; "" without either.

        Nothing is asked for it: Langfuse leads from this address to the trace in its project.
        """
        handle = current_tracing()
        if self._call is None or handle is None or handle.settings is None:
            return ""
        address = next(map(_page_of, filter(_is_langfuse, backends_of(handle.settings))), "")
        if not address and handle.settings.has_store:
            address = f"http://127.0.0.1:{VIEWER_PORT}/calls/"
        return address and address + self.trace_id

    def _open(self) -> SpokenOf | None:
        """The call, while something can be said of it."""
        call = self._call
        if call is not None and call.is_over:
            self._say("", Environment({}), is_late=True)
            return None
        return call

    def _say(self, method: str, env: Environment, lost: int = 0, *, is_late: bool = False) -> None:
        """Say what could not be taken, once for each call."""
        found = [f"current_call().{method}: {problem}" for problem in env.problems]
        if lost:
            found.append(f"current_call().{method}: too much or too long, see docs/application.md")
        if is_late:
            found.append("current_call() came too late: the call is over")
        for problem in found:
            if self._call is not None and self._call.is_new(problem):
                logger.warning("%s", problem)


@_harmless(CurrentCall())
def current_call() -> CurrentCall:
    """The call that this code runs in: in the entrypoint, in tools, hooks, callbacks and tasks.

    It is that of the current span, else that of LiveKit's job. Where nothing is recorded, it is
    one that does nothing.
    """
    capture = current_capture()
    return CurrentCall(find_call(capture.processor) if capture is not None else None)


def _is_langfuse(backend: Backend) -> bool:
    return backend.dialect == DIALECT


def _page_of(backend: Backend) -> str:
    """Where a Langfuse shows a trace, but for the trace's id."""
    return f"{backend.url.partition(OTLP_PATH)[0]}/trace/"
