"""What is in force once set up: settled and said where a worker starts, kept in a later set-up."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable
from dataclasses import replace

from tracing.capture.current import current_capture
from tracing.capture.processor import TracingProcessor
from tracing.config.asked import Asked, not_applying
from tracing.config.backends import Backend
from tracing.config.environment import as_flag
from tracing.config.settings import ConfigError, Settings
from tracing.handle import Tracing, make_current
from tracing.safe_text import get_logger

logger = get_logger("tracing.setup")  # what people know it as


def ask_again(tracing: Tracing, again: Asked) -> None:
    """Obey what a later set-up asks for in privacy; say once what of it does not apply."""
    first, capture = tracing.asked, current_capture()
    if first is None or tracing.settings is None or not again.differing(first):
        return
    if capture is not None:
        if again.withholds:
            tracing.settings = replace(tracing.settings, capture_content=False)
        again, tracing.asked = _obey(again, first, capture.processor)
    if not tracing.said_again and (words := _not_in_force(tracing, again)):
        tracing.said_again = True
        logger.warning("setup_tracer was called again %s", words)


def _not_in_force(tracing: Tracing, again: Asked) -> str:
    assert tracing.asked is not None
    assert tracing.settings is not None
    try:
        ignored = not_applying(again, tracing.asked, tracing.settings)
    except ConfigError as error:
        return f"otherwise, and wrongly: {error}"
    names = ", ".join(f"{name}=" for name in ignored)
    return names and (
        f"with {names}, which does not apply: the first call's settings are in force. "
        "Give them there, or call shutdown() before."
    )


def _obey(again: Asked, first: Asked, processor: TracingProcessor) -> tuple[Asked, Asked]:
    """Withhold from now on what a later set-up withholds; the rest of it, and what is in force."""
    in_force = dict(first.arguments)
    if again.withholds:
        processor.withhold_content()
        in_force["capture_content"] = False
        if as_flag(again.arguments["capture_content"]) is False:
            again = again.without("capture_content")
    masks = first.masks_and(again)
    if masks is not None:
        processor.redaction.mask = in_force["mask"] = masks
        again = again.without("mask")
    return again, Asked(in_force)


def settle(tracing: Tracing, asked: Asked, build: Callable[[Settings, Asked], Tracing]) -> None:
    """Build anew where variables came after the set-up that its jobs will find before theirs."""
    try:
        settings = asked.settings()
        if settings == tracing.settings:
            return
        tracing.shutdown()
        tracing.become(build(settings, asked))
    except ConfigError as error:
        logger.warning(str(error))  # its lines stay lines
    make_current(tracing)


def say_choice(tracing: Tracing, *, is_heard: bool | None = None) -> None:
    """Say once where spans go, as soon as somebody hears it: often only when a worker starts."""
    if is_heard is None:
        is_heard = logger.isEnabledFor(logging.INFO) and logger.hasHandlers()
    if is_heard and tracing.choice:
        logger.info("%s", tracing.choice)
        tracing.choice = ""


def choice_of(settings: Settings, backends: list[Backend]) -> str:
    """Where spans go, why, and what is given and not used; "" where another process says it."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        return ""  # a job's process that imports what its worker imported: that says it
    if settings.off_because:
        return f"tracing is off: {settings.off_because}"
    names_of = ", ".join(_described(backend) for backend in backends if not backend.beside)
    unused = f"; not used: {', '.join(settings.unused)}" if settings.unused else ""
    remarks = "".join(f"; {remark}" for remark in settings.remarks)
    return f"tracing to {names_of} ({settings.chosen_by}){unused}{remarks}"


def _described(backend: Backend) -> str:
    return f"{backend.name} at {backend.url}" if backend.url else backend.name
