"""A real job in which a marker stands wherever somebody's words, names or numbers can stand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobExecutorType
from livekit.agents.evals import EvaluationResult, JudgmentResult
from livekit.agents.llm import function_tool
from livekit.agents.telemetry import tracer
from livekit.agents.telemetry.rpc import TracingRpcInterceptor
from opentelemetry import trace

from tests.sessions.scripted import FakeLLM, Said
from tracing import current_call, observe

MARK = "mark-"


def mark(place: str) -> str:
    """The marker of a place; no marker begins like another."""
    return f"{MARK}{place}-end"


OTHERS: dict[str, tuple[str, ...]] = {
    "openinference.instrumentation.openai": (
        *("input.value", "output.value", "llm.input_messages.0.message.content"),
        *("llm.output_messages.0.message.content", "llm.prompt_template.variables"),
        *("retrieval.documents.0.document.content", "tool.parameters", "llm.invocation_parameters"),
        *("session.id", "user.id", "tag.tags", "metadata"),
    ),
    "opentelemetry.instrumentation.openai.v1": (
        *("gen_ai.prompt.0.content", "gen_ai.completion.0.content", "traceloop.entity.input"),
        *("traceloop.entity.output", "traceloop.association.properties.caller", "llm.user"),
        *("gen_ai.conversation.id", "gen_ai.request.stop_sequences"),
    ),
    "langfuse-sdk": (
        *("langfuse.observation.input", "langfuse.observation.output", "langfuse.trace.input"),
        *("langfuse.trace.output", "langfuse.trace.name", "langfuse.trace.metadata.order"),
        *("langfuse.observation.metadata.note", "langfuse.observation.status_message"),
        *("langfuse.session.id", "langfuse.user.id", "langfuse.trace.tags"),
        *("langfuse.observation.model.parameters",),
    ),
    "logfire": ("logfire.msg", "logfire.msg_template", "all_messages_events", "final_result"),
    "ai": ("ai.prompt", "ai.prompt.messages", "ai.response.text", "ai.toolCall.args"),
    "mlflow": ("mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.traceName"),
    "opentelemetry.instrumentation.httpx": (
        *("url.full", "url.path", "url.query", "http.url", "http.target", "user_agent.original"),
        *("http.request.header.authorization", "client.address"),
    ),
    "opentelemetry.instrumentation.asyncpg": (
        *("db.statement", "db.query.text", "db.query.parameter.0", "db.user"),
    ),
    "of the application": ("order.id", "note", "lk.pii.own", "customer"),
}
"""Attributes that carry content, by the instrumentation that writes them."""
_TECHNICAL = {
    "opentelemetry.instrumentation.httpx": {"http.request.method": "GET"},
    "opentelemetry.instrumentation.asyncpg": {"db.system": "postgresql"},
}
_SAYING_NAMES = {
    "opentelemetry.instrumentation.httpx": "GET /callers/{}",
    "opentelemetry.instrumentation.asyncpg": "SELECT * FROM callers WHERE name = '{}'",
}
"""Of those whose span's own name says it, too."""


def others() -> None:
    """A span of each instrumentation, with every kind of place in which a span can hold a text."""
    for scope, keys in OTHERS.items():
        name = _SAYING_NAMES.get(scope, "a step").format(mark(f"name of {scope}"))
        own = trace.get_tracer(scope).start_span(name, attributes=_TECHNICAL.get(scope))
        own.set_attributes({key: mark(key) for key in keys})
        own.set_attribute(f"{scope}.list", [mark(f"list of {scope}"), "x"])
        own.set_attribute(f"{scope}.count", 7)
        own.add_event(mark(f"event of {scope}"), {"message": mark(f"in event of {scope}")})
        link = trace.SpanContext(1, 2, is_remote=False)
        own.add_link(link, {"because": mark(f"link of {scope}")})
        own.record_exception(ValueError(mark(f"exception of {scope}")))
        own.set_status(trace.StatusCode.ERROR, mark(f"status of {scope}"))
        own.end()


@function_tool
async def book(name: str) -> str:
    """Book a table."""
    return mark("tool result")


@function_tool
async def cancel(name: str) -> str:
    """Cancel a table."""
    raise ValueError(mark("tool error"))


_ARGUMENTS = json.dumps({"name": mark("argument")})
SCRIPT = defaultdict(
    lambda: Said("I could not cancel it.", 0.0),
    {
        mark("typed"): Said(mark("answered"), 0.0, tools=[("book", _ARGUMENTS)]),
        mark("tool result"): Said("Booked.", 0.0, tools=[("cancel", '{"name": "x"}')]),
        "An internal error occurred": Said(
            "One moment.", 0.0, tools=[(mark("refused tool"), "{}")]
        ),
    },
)
"""What the LLM answers to what; to the refusal of a tool as to anything else."""


def _link_caller(session: AgentSession[None]) -> None:
    """A SIP caller as RoomIO tells of one."""
    attributes = {
        "sip.phoneNumber": mark("phone"),
        "sip.trunkPhoneNumber": mark("trunk phone"),
        "sip.h.X-Caller": mark("sip header"),
        "sip.hostname": mark("sip host"),
        "sip.callID": mark("sip call"),
        "note": mark("participant attribute"),
    }
    caller = SimpleNamespace(
        sid="PA_1",
        identity=mark("identity"),
        kind=rtc.ParticipantKind.PARTICIPANT_KIND_SIP,
        attributes=attributes,
        metadata=mark("participant metadata"),
    )
    session._on_room_io_participant_linked(caller)  # type: ignore[arg-type]


async def _rpc() -> None:
    """A client's call of a method, through LiveKit's own interceptor."""
    invocation = SimpleNamespace(
        method="seat",
        request_id="RPC_1",
        caller_identity=mark("rpc caller"),
        response_timeout=5.0,
        payload=mark("rpc payload"),
    )

    async def answer(_: Any) -> str:
        return mark("rpc response")

    await TracingRpcInterceptor().intercept_incoming(invocation, answer)


def _log() -> None:
    """What an application logs while it talks with somebody."""
    try:
        raise ValueError(mark("exception that is logged"))
    except ValueError:
        logging.getLogger("customers").exception("%s is angry", mark("log line"))
    logging.getLogger("orders").warning("%s has come", mark("line of a vouched logger"))


def _judge(ctx: JobContext) -> None:
    ctx.tagger.fail(reason=mark("outcome reason"))
    ctx.tagger.add(f"mood:{mark('tag')}")
    judged = JudgmentResult(verdict="pass", reasoning=mark("judge's reasoning"))
    ctx.tagger._evaluation(EvaluationResult(judgments={"accuracy": judged}))
    with tracer.start_as_current_span("judge_evaluation") as span:
        span.set_attribute("gen_ai.evaluation.name", "tone")
        span.set_attribute("gen_ai.evaluation.score.label", "pass")
        span.set_attribute("gen_ai.evaluation.explanation", mark("judge's explanation"))


def _speak() -> None:
    """All that the application can say of a call, and what cannot be taken."""
    call = current_call()
    call.set(tags=[mark("own tag")], metadata={"plan": mark("metadata"), "seats": 2})
    call.set(outcome=mark("outcome"))
    call.set(tags=mark("wrong tags"), user_id=mark("later user"))
    call.score("csat", 5, comment=mark("score's comment"))
    call.score("mood", mark("score's category"))
    call.event(mark("own event"), said=mark("in own event"))


Begin = Callable[[JobContext], dict[str, Any]]
"""What a mode does when a job begins: a demand on the job, and the arguments of `start`."""


def entrypoint(begin: Begin) -> Callable[[JobContext], Any]:
    """A call in which everything happens."""

    async def run(ctx: JobContext) -> None:
        started = begin(ctx)
        session: AgentSession[None] = AgentSession(llm=FakeLLM(SCRIPT))
        session.output.set_audio_enabled(False)
        observe(session, session_id=mark("session id"), user_id=mark("user id"))
        agent = Agent(instructions=mark("instructions"), tools=[book, cancel])
        await session.start(agent, **started)
        _link_caller(session)
        await session.run(user_input=mark("typed"))
        with tracer.start_as_current_span("look up"):
            others()
        await _rpc()
        _log()
        _judge(ctx)
        _speak()
        session.history.add_message(role="user", content=mark("typed later"))
        ctx.shutdown(mark("shutdown reason"))

    return run


async def run_job(begin: Begin) -> None:
    """One worker with one job, in threads of this process."""
    server = AgentServer(
        job_executor_type=JobExecutorType.THREAD, num_idle_processes=0, host="127.0.0.1", port=0
    )
    server.rtc_session(entrypoint(begin))
    started = asyncio.Event()
    server.once("worker_started", started.set)
    serving = asyncio.create_task(server.run(devmode=True, unregistered=True))
    await started.wait()
    await server.simulate_job(mark("room"), fake_job=True)
    while not server.active_jobs:
        await asyncio.sleep(0.01)
    while server.active_jobs:
        await asyncio.sleep(0.01)
    await server.aclose()
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def places(found: str) -> list[str]:
    """The places whose markers are in a text."""
    return sorted({part.partition("-end")[0] for part in found.split(MARK)[1:]})
