"""A language model that knows one script by heart, with the timing and the bill of a real one."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from typing import Any

from livekit.agents import llm, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions

from demo import script

FIRST_TOKEN_SECONDS = (0.25, 0.4)
TOKENS_PER_SECOND = 50


class ScriptedLLM(llm.LLM):
    """Answers from the script: words, a tool call, or what follows a tool's answer."""

    @property
    def model(self) -> str:
        """Name of the model."""
        return "script"

    @property
    def provider(self) -> str:
        """Name of the provider."""
        return "demo"

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **options: Any,
    ) -> llm.LLMStream:
        """Answer the conversation; a script has no use for further options."""
        return _Stream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Stream(llm.LLMStream):
    async def _run(self) -> None:
        answer = reply_to(self.chat_ctx)
        prompt = [text for item in self.chat_ctx.items for text in tokens(_text_of(item))]
        await asyncio.sleep(_first_token_seconds(self.chat_ctx))
        request_id = utils.shortuuid("chat_")
        if isinstance(answer, script.ToolCall):
            call = llm.FunctionToolCall(
                name=answer.name,
                arguments=json.dumps(answer.arguments),
                call_id=utils.shortuuid("call_"),
            )
            completion = tokens(call.name + call.arguments)
            await asyncio.sleep(len(completion) / TOKENS_PER_SECOND)
            self._send(request_id, delta=llm.ChoiceDelta(role="assistant", tool_calls=[call]))
        else:
            completion = tokens(answer)
            for token in completion:
                self._send(request_id, delta=llm.ChoiceDelta(role="assistant", content=token))
                await asyncio.sleep(1 / TOKENS_PER_SECOND)
        self._send(request_id, usage=_usage(self.chat_ctx, len(prompt), len(completion)))

    def _send(self, request_id: str, **content: Any) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id=request_id, **content))


def reply_to(chat_ctx: llm.ChatContext) -> str | script.ToolCall:
    """What the script says next: a text, or a tool to call."""
    spoken = [item for item in chat_ctx.items if _is_turn(item)]
    last = spoken[-1] if spoken else None
    if isinstance(last, llm.FunctionCallOutput):
        return _after_tool(last)
    if isinstance(last, llm.ChatMessage) and last.role == "user":
        heard = script.words(last.text_content or "")
        replies = (turn.reply for turn in script.TURNS if script.words(turn.caller) == heard)
        return next(replies, script.UNKNOWN)
    return _greeting(chat_ctx)


def tokens(text: str) -> list[str]:
    """Split a text about as finely as a tokeniser does."""
    return re.findall(r"\s*\w{1,6}|\s*[^\w\s]", text)


def _is_turn(item: llm.ChatItem) -> bool:
    said = isinstance(item, llm.ChatMessage) and item.role in ("user", "assistant")
    return said or isinstance(item, llm.FunctionCallOutput)


def _after_tool(output: llm.FunctionCallOutput) -> str:
    replies = [turn.reply for turn in script.TURNS]
    calls = [reply for reply in replies if isinstance(reply, script.ToolCall)]
    call = next((call for call in calls if call.name == output.name), None)
    if call is None:
        return script.UNKNOWN
    return call.sorry if output.is_error else call.then


def _greeting(chat_ctx: llm.ChatContext) -> str:
    instructions = " ".join(
        item.text_content or ""
        for item in chat_ctx.items
        if isinstance(item, llm.ChatMessage) and item.role in ("system", "developer")
    )
    said = set(script.words(instructions))
    return next((text for who, text in script.GREETINGS.items() if who in said), script.UNKNOWN)


def _text_of(item: llm.ChatItem) -> str:
    if isinstance(item, llm.ChatMessage):
        return item.text_content or ""
    if isinstance(item, llm.FunctionCall):
        return item.name + item.arguments
    return item.output if isinstance(item, llm.FunctionCallOutput) else ""


def _first_token_seconds(chat_ctx: llm.ChatContext) -> float:
    """A wait that varies between questions and is the same for the same question."""
    low, high = FIRST_TOKEN_SECONDS
    newest = _text_of(chat_ctx.items[-1]) if chat_ctx.items else ""
    return low + (high - low) * (zlib.crc32(newest.encode()) % 1000) / 1000


def _usage(
    chat_ctx: llm.ChatContext, prompt_tokens: int, completion_tokens: int
) -> llm.CompletionUsage:
    """Bill the whole prompt, of which all but the newest item was seen before."""
    newest = len(tokens(_text_of(chat_ctx.items[-1]))) if chat_ctx.items else 0
    return llm.CompletionUsage(
        prompt_tokens=prompt_tokens,
        prompt_cached_tokens=prompt_tokens - newest,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
    )
