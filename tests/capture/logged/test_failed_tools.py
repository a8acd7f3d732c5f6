"""A failed tool's span has the exception that was raised, in real sessions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from livekit.agents import Agent, ToolError, function_tool
from livekit.agents.log import logger as livekit_logger

from tests.sessions.scripted import Said
from tests.sessions.studio import Recorder, attached, studio
from tracing.capture.logged.failed_tools import FailedTools, know_failed_tools
from tracing.dialects.langfuse import LangfuseDialect
from tracing.span import STATUS_ERROR, Span

TOLD_THE_MODEL = "An internal error occurred"


class NoTableError(Exception):
    """Raised by a tool of the application."""


class Clerk(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Help.")

    @function_tool
    async def book(self) -> str:
        """Book a table."""
        raise NoTableError("no table for ann@example.com")

    @function_tool
    async def refuse(self) -> str:
        """Say why not, in words for the model."""
        raise ToolError("we are closed on Monday")

    @function_tool
    async def recover(self) -> str:
        """Log an exception of one's own, and another tool's, and answer all the same."""
        for extra in ({}, {"function": "book"}):
            try:
                raise NoTableError("tried another")
            except NoTableError:
                livekit_logger.exception("exception occurred while executing tool", extra=extra)
        return "found one"

    @function_tool
    async def cancel(self) -> str:
        """Fail in a task of one's own."""

        async def fail() -> str:
            raise KeyError("order")

        return await asyncio.create_task(fail())


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    """As set-up does, twice; and gone with the test."""
    before = list(livekit_logger.filters)
    know_failed_tools()
    know_failed_tools()
    assert sum(isinstance(found, FailedTools) for found in livekit_logger.filters) == 1
    yield
    livekit_logger.filters[:] = before


async def called(tool: str, recorder: Recorder) -> Span:
    """The span of a tool that the model called, as it is written."""
    script = {"please": Said(tools=[(tool, "{}")]), TOLD_THE_MODEL: Said("Sorry."), "": Said("Ok.")}
    script |= {"we are closed on Monday": Said("Sorry."), "found one": Said("Good.")}
    with attached(recorder):
        async with studio(Clerk(), script, audio=False, recorder=recorder) as running:
            await running.session.run(user_input="please")
    [found] = recorder.named("function_tool")
    return found


@pytest.mark.parametrize(
    ("tool", "status", "kind", "message"),
    [
        ("book", "NoTableError: no table for ann@example.com", "NoTableError", "no table"),
        ("cancel", "KeyError: 'order'", "KeyError", "'order'"),
        ("refuse", "we are closed on Monday", None, None),
    ],
)
async def test_the_exception_is_on_the_tools_span(
    tool: str, status: str, kind: str | None, message: str | None
) -> None:
    """Its name, its words and where it was raised; what the model was told stays the output."""
    span = await called(tool, Recorder())
    assert (span.status_code, span.status_message) == (STATUS_ERROR, status)
    assert span.attributes.get("exception.type") == kind
    shown = LangfuseDialect()(span)
    assert shown is not None
    assert shown.attributes["langfuse.observation.status_message"] == status
    told = TOLD_THE_MODEL if kind else status
    assert shown.attributes["langfuse.observation.output"] == told
    if kind is None or message is None:
        return
    assert message in str(span.attributes["exception.message"])
    assert f"in {tool}" in str(span.attributes["exception.stacktrace"])
    [event] = [event for event in span.events if event.name == "exception"]
    about = {key: value for key, value in span.attributes.items() if key.startswith("exception.")}
    assert event.attributes == about


async def test_a_tool_that_answers_has_not_failed() -> None:
    """Whatever is logged meanwhile, by itself or about another one."""
    span = await called("recover", Recorder())
    assert not [key for key in span.attributes if key.startswith("exception.")]
    assert span.attributes["lk.pii.function_tool.output"] == "found one"


async def test_withheld_it_is_only_named() -> None:
    """The words of an exception, and its stack, may quote what somebody said."""
    span = await called("book", Recorder(content=False))
    assert span.status_message == "NoTableError: [withheld]"
    assert "ann@example.com" not in str(span)
    assert "no table" not in str(span)


async def test_masked_it_is_masked() -> None:
    """In the status, the attributes and the event."""
    recorder = Recorder()
    recorder.processor.redaction.mask = lambda text: text.replace("ann@example.com", "[mail]")
    span = await called("book", recorder)
    assert span.status_message == "NoTableError: no table for [mail]"
    assert "ann@example.com" not in str(span)


async def test_where_errors_are_not_logged_the_model_was_told_something() -> None:
    """It is all that there is."""
    logging.disable(logging.CRITICAL)
    try:
        span = await called("book", Recorder())
    finally:
        logging.disable(logging.NOTSET)
    assert span.status_message == TOLD_THE_MODEL
