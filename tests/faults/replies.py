"""How a backend can answer, as data, and the script that says when it answers how."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Cut = Literal["", "mid_request", "before_response", "mid_response", "drip", "drip_status", "flood"]


@dataclass(frozen=True)
class Reply:
    """What the receiver does with one request."""

    status: int = 200
    store: bool = True
    """Whether the spans are kept, whatever the client is told."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """None means the right OTLP body for the status."""
    delay_seconds: float = 0.0
    """Silence before the answer; the spans are stored before it."""
    cut: Cut = ""
    """Where the connection dies; `drip` and `drip_status` send a byte of the answer, or of its
    status line, every two seconds, `flood` sends an answer without end."""
    reject_spans: int = 0
    """Spans refused through partial_success."""
    limit_bytes: int = 0
    """Largest request body accepted, as it is on the wire; 0 means no limit."""
    refuse: bool = False
    """The port is closed: connections are refused."""


OK = Reply()
DOWN = Reply(refuse=True)
SLOW = Reply(delay_seconds=0.05)
SERVER_ERROR = Reply(500, store=False, body=b"internal error")
UNAVAILABLE = Reply(503, store=False, body=b"try later")
UNAUTHORIZED = Reply(401, store=False, body=b"unknown key: check LANGFUSE_PUBLIC_KEY")
BAD_REQUEST = Reply(400, store=False, body=b"malformed request")
NOT_FOUND = Reply(404, store=False, body=b"no such path")
REDIRECT = Reply(307, store=False, headers={"Location": "/login"}, body=b"")
HANG = Reply(store=False, delay_seconds=15, cut="before_response")
HANG_STORED = Reply(store=True, delay_seconds=15)
BLACK_HOLE = Reply(store=False, delay_seconds=600, cut="before_response")
RESET_IN_BODY = Reply(store=False, cut="mid_request")
STORED_THEN_RESET = Reply(store=True, cut="before_response")
STORED_THEN_CUT_OFF = Reply(store=True, cut="mid_response")
CUT_OFF = Reply(store=False, cut="mid_response")
DRIP = Reply(store=False, cut="drip")
DRIP_STATUS = Reply(store=False, cut="drip_status")
FLOOD = Reply(store=False, cut="flood")
PARTIAL_SUCCESS = Reply(reject_spans=5, body=b"quota of this project is used up")
GARBAGE = Reply(body=b"\xff\x00<html>what?</html>\xff\xff")
PAGE = Reply(
    store=False,
    headers={"Content-Type": "text/html; charset=utf-8"},
    body=b"<!doctype html><title>please sign in</title>",
)
LIMIT_1_MB = Reply(limit_bytes=1_000_000)


def too_many_requests(retry_after_seconds: int) -> Reply:
    """A 429 that asks the client to come back after so many seconds."""
    headers = {"Retry-After": str(retry_after_seconds)}
    return Reply(429, store=False, headers=headers, body=b"slow down")


@dataclass(frozen=True)
class Phase:
    """So many seconds in which requests get these replies in turn."""

    seconds: float
    replies: tuple[Reply, ...]


class Script:
    """The phases in order, from `start()` on; the last one lasts until `heal()`."""

    def __init__(self, *phases: Phase) -> None:
        self._phases = phases or (Phase(0, (OK,)),)
        self._started_at: float | None = None
        self._healed = False
        self._requests = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the clock; until then the first phase holds."""
        self._started_at = time.monotonic()

    def heal(self) -> None:
        """Take every fault away, for good."""
        self._healed = True

    def refuses(self) -> bool:
        """Whether the port is closed now."""
        return self._phase().replies[0].refuse

    def next_reply(self) -> Reply:
        """The reply for the request that has just come."""
        replies = self._phase().replies
        with self._lock:
            self._requests += 1
            return replies[(self._requests - 1) % len(replies)]

    def _phase(self) -> Phase:
        if self._healed:
            return Phase(0, (OK,))
        elapsed = 0.0 if self._started_at is None else time.monotonic() - self._started_at
        for phase in self._phases:
            if elapsed < phase.seconds:
                return phase
            elapsed -= phase.seconds
        return self._phases[-1]
