"""One deadline over a whole HTTP exchange: connect, TLS, request, status line, headers and body.

The timeouts of a socket are for one wait, and a peer that sends a byte now and then never lets
one pass.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_SHORTEST_WAIT_SECONDS = 0.001


class Deadline:
    """Shuts down the connection on which an exchange waits, once its time is over.

    One exchange at a time, over one connection, which may be kept for the next.
    """

    def __init__(self) -> None:
        self._ends_at = 0.0
        self._socket: socket.socket | None = None
        self._is_running = False
        self._is_released = False
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Give what is done inside so many seconds."""
        self._ends_at, self._is_running = time.monotonic() + seconds, True
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._is_running = False
            if self._is_released:
                self.release()

    @property
    def is_over(self) -> bool:
        """Whether the time that was given has passed."""
        return time.monotonic() >= self._ends_at

    def seconds_left(self) -> float:
        """How long the exchange may still take; never 0, which sockets take for "do not wait"."""
        return max(self._ends_at - time.monotonic(), _SHORTEST_WAIT_SECONDS)

    def watch(self, connection: socket.socket) -> None:
        """Shut down this one; by a handle of its own, because TLS takes the socket's away."""
        with self._lock:
            self._close()
            self._socket = connection.dup()
        if self.is_over:
            self._end()

    def release(self) -> None:
        """The connection is closed: let go of it, once no answer is read from it any more."""
        with self._lock:
            if self._is_running:
                self._is_released = True
            else:
                self._close()

    def _close(self) -> None:
        self._is_released = False
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _end(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)


def pool_classes(deadline: Deadline) -> dict[str, Any]:
    """By scheme, urllib3's pools with connections that keep to a deadline."""

    class Connection(_Bounded, HTTPConnection):
        within = deadline

    class TlsConnection(_Bounded, HTTPSConnection):
        within = deadline

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    return {"http": Pool, "https": TlsPool}


class _Bounded(HTTPConnection):
    """A connection that shares the time among a host's addresses, and then is watched."""

    within: Deadline

    def _new_conn(self) -> socket.socket:
        try:
            addresses = len(socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))
        except OSError:
            addresses = 1  # what is wrong with the name is told by who connects
        self.timeout = self.within.seconds_left() / max(addresses, 1)
        connected = super()._new_conn()
        self.within.watch(connected)
        connected.settimeout(self.within.seconds_left())
        return connected

    def close(self) -> None:
        """Close it, and its watcher's handle."""
        super().close()
        self.within.release()
