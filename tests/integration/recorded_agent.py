"""The demo's agent, whose sessions are recorded and listened to.

LiveKit records a session where its `record` says so; the agent that people copy leaves that alone.
"""

from __future__ import annotations

from livekit.agents import AgentServer, AgentSession, JobContext, cli

from agent_entry import Host
from demo.agent import prewarm
from tracing import observe

server = AgentServer(setup_fnc=prewarm)


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    """Serve one call."""
    session: AgentSession[None] = AgentSession(**ctx.proc.userdata["models"])
    observe(session, listen=True)
    await session.start(agent=Host(), room=ctx.room, record={"audio": True})


if __name__ == "__main__":
    cli.run_app(server)
