"""A stand-in for a provider that speaks OpenAI's chat API, and for any other web server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROMPT_TOKENS, COMPLETION_TOKENS = 206, 9
TOKENS = PROMPT_TOKENS + COMPLETION_TOKENS
"""What every answer takes."""
MODEL = "gpt-4o-mini"


class OpenAIServer(ThreadingHTTPServer):
    """Answers every question with a call of the only tool, and what the tool tells with words."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        """The requests for an answer of a model."""

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def openai_server() -> Iterator[OpenAIServer]:
    """One that runs."""
    server = OpenAIServer()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: OpenAIServer

    def do_GET(self) -> None:
        """Anything else that an agent looks up."""
        self._answer("text/plain", b"ok")

    def do_POST(self) -> None:
        """One answer of a model, as a whole or as a stream."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(asked)
        message = _message(asked)
        if not asked.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": _reason(message)}
            whole = _document("chat.completion", choices=[choice], usage=_usage())
            self._answer("application/json", json.dumps(whole).encode())
            return
        for call in message.get("tool_calls", ()):
            call["index"] = 0
        parts = [
            {"index": 0, "delta": message, "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": _reason(message)},
        ]
        chunks = [_document("chat.completion.chunk", choices=[part]) for part in parts]
        if (asked.get("stream_options") or {}).get("include_usage"):
            chunks.append(_document("chat.completion.chunk", choices=[], usage=_usage()))
        lines = [json.dumps(chunk) for chunk in chunks] + ["[DONE]"]
        self._answer("text/event-stream", "".join(f"data: {line}\n\n" for line in lines).encode())

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


def _message(asked: dict[str, Any]) -> dict[str, Any]:
    if not asked.get("tools") or asked["messages"][-1]["role"] == "tool":
        return {"role": "assistant", "content": "It is done, 4111-1111."}
    function = {"name": asked["tools"][0]["function"]["name"], "arguments": "{}"}
    called = {"id": "call_1", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [called]}


def _reason(message: dict[str, Any]) -> str:
    return "tool_calls" if message.get("tool_calls") else "stop"


def _document(kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": "answer", "object": kind, "created": 1, "model": MODEL, **fields}


def _usage() -> dict[str, Any]:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": COMPLETION_TOKENS,
        "total_tokens": TOKENS,
        "prompt_tokens_details": {"cached_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
