"""One call below which others record too: `python -m tests.integration.instrumented_call`.

INSTRUMENTED names who records beside LiveKit (`openinference`, `openllmetry`, `langfuse`), all
HTTP clients are instrumented, and the model is LiveKit's plugin or, with OWN_MODEL, one that tells
LiveKit no tokens. OPENAI_URL has the provider. The tool asks a model by itself, and looks things
up by three clients.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tests.workers import CARD
from tracing import observe, setup_tracer

TRACING = setup_tracer(
    mask=lambda text: text.replace(CARD, "[card]"), session_id="order-7", user_id="ann"
)
WHO = os.environ["INSTRUMENTED"].split()
URL = os.environ["OPENAI_URL"]


def instrument() -> None:
    """Everybody on the provider that set-up made global."""
    from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
    from opentelemetry.instrumentation.requests import RequestsInstrumentor

    for instrumentor in (AioHttpClientInstrumentor, HTTPXClientInstrumentor, RequestsInstrumentor):
        instrumentor().instrument()
    if "langfuse" in WHO:
        import langfuse.openai  # noqa: F401  (it wraps the client where it is)
    if "openinference" in WHO:
        from openinference.instrumentation.openai import OpenAIInstrumentor

        OpenAIInstrumentor().instrument()
    if "openllmetry" in WHO:
        from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OfTraceloop

        OfTraceloop().instrument()


instrument()

import aiohttp  # noqa: E402
import httpx  # noqa: E402
import openai  # noqa: E402
import requests  # noqa: E402
from livekit.agents import Agent, AgentSession, llm  # noqa: E402
from livekit.agents.llm import function_tool  # noqa: E402
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS  # noqa: E402
from livekit.plugins.openai import LLM  # noqa: E402

from tests.integration.openai_server import MODEL  # noqa: E402

CLIENT = openai.AsyncOpenAI(api_key="none", base_url=f"{URL}/v1")


class OwnModel(llm.LLM):
    """Asks the provider for a whole answer, and says nothing of what it took."""

    model = MODEL
    provider = "own"

    def chat(self, *, chat_ctx: Any, tools: Any = None, **options: Any) -> llm.LLMStream:
        """One answer."""
        connect = options.get("conn_options") or DEFAULT_API_CONNECT_OPTIONS
        return OwnStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=connect)


class OwnStream(llm.LLMStream):
    """One answer under way."""

    async def _run(self) -> None:
        messages, _ = self._chat_ctx.to_provider_format("openai")
        tools = llm.ToolContext(self._tools).parse_function_tools("openai")
        answer = await CLIENT.chat.completions.create(model=MODEL, messages=messages, tools=tools)
        message = answer.choices[0].message
        calls = [
            llm.FunctionToolCall(name=c.function.name, arguments="{}", call_id=c.id)
            for c in message.tool_calls or ()
        ]
        delta = llm.ChoiceDelta(role="assistant", content=message.content, tool_calls=calls)
        self._event_ch.send_nowait(llm.ChatChunk(id=answer.id, delta=delta))


@function_tool
async def charge() -> str:
    """Charge a card."""
    async with aiohttp.ClientSession() as session, session.get(f"{URL}/aiohttp"):
        pass
    async with httpx.AsyncClient() as client:
        await client.get(f"{URL}/httpx")
    await asyncio.to_thread(requests.get, f"{URL}/requests", timeout=5)
    message = {"role": "user", "content": f"Is {CARD} good?"}
    answer = await CLIENT.chat.completions.create(model=MODEL, messages=[message])
    return str(answer.choices[0].message.content)


async def call() -> None:
    """One question, one answer."""
    is_own = "OWN_MODEL" in os.environ
    model = OwnModel() if is_own else LLM(model=MODEL, api_key="none", base_url=f"{URL}/v1")
    session: AgentSession[None] = AgentSession(llm=model)
    session.output.set_audio_enabled(False)
    observe(session)
    await session.start(Agent(instructions="You take payments.", tools=[charge]))
    await session.run(user_input=f"Please charge {CARD}.")
    await session.aclose()


if __name__ == "__main__":
    asyncio.run(call())
    if "langfuse" in WHO:
        import langfuse

        langfuse.get_client().flush()
    assert TRACING.flush(30)
    os._exit(0)
