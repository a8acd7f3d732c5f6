"""Somebody's agent: everything public, in its types, under the strictest settings."""

from __future__ import annotations

from collections.abc import Mapping

from livekit.agents import Agent, AgentServer, AgentSession, JobContext
from typing_extensions import assert_type

import tracing
from tracing import Backend, ConfigError, Langfuse, Local, Otlp, Tracing, observe, setup_tracer


def masked(text: str) -> str:
    """Without the names of guests."""
    return text.replace("Ada", "[guest]")


staging = Langfuse(
    public_key="pk-lf-1",
    secret_key="sk-lf-1",
    base_url="https://us.cloud.langfuse.com",
    environment="staging",
    scores="all",
    sample_rate=0.5,
    headers={"x-team": "voice"},
)
collector = Otlp(endpoint="http://127.0.0.1:4318", headers="a=b", compression="gzip", timeout=2.5)
own = Backend(name="own", sender="package.module:Sender", url="https://example.org")

server = AgentServer()


def set_up() -> Tracing:
    """Every way to name backends, and what goes with them."""
    try:
        setup_tracer([staging, collector, own, Local(), "console"], strict=False)
        setup_tracer("langfuse", public_key="pk-lf-1", secret_key="sk-lf-1", scores=False)
        setup_tracer("otlp", endpoint="http://127.0.0.1:4318", compression="none")
    except ConfigError as error:
        raise SystemExit(str(error)) from error
    return setup_tracer(
        "local",
        session_id=lambda call: str(call.get("lk.job_id", "")),
        user_id="customer-17",
        capture_content=False,
        content_safe=("order.id",),
        mask=masked,
    )


async def entrypoint(ctx: JobContext) -> None:
    """Serve one call."""
    session: AgentSession[None] = AgentSession()
    observe(session, session_id="call-1", user_id="ada", budget_seconds=0.8, table=True)
    agent = Agent(instructions="Be kind.")
    await session.start(agent, room=ctx.room)  # pyright: ignore[reportUnknownMemberType]


server.rtc_session(entrypoint)

handle = set_up()
assert_type(handle, Tracing)
assert_type(handle.flush(2.0), bool)
assert_type(handle.dropped, Mapping[str, int])
assert_type(tracing.__version__, str)
