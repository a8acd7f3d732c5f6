"""Serves the pages on this machine, and opens a browser on them."""

from __future__ import annotations

import socket
import sys
import webbrowser
from collections.abc import Callable

from aiohttp import web

from tracing.places import VIEWER_PORT
from tracing.view.app import make_app
from tracing.view.guard import is_loopback, new_token
from tracing.view.library import Library


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def serve(
    library: Library,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    call: str = "",
    say: Callable[[str], None] = _say,
) -> None:
    """Serve until interrupted, and open the browser on a call if one is given.

    Without a port it is the usual one, or any that is free.

    Where others can reach `host`, a token is asked for, and said here. Raises OSError where the
    address cannot be listened on.
    """
    token = None if is_loopback(host) else new_token()
    listening = _listen(host, port)
    place = _address(host, listening.getsockname()[1]) + (f"calls/{call}" if call else "")
    say(f"The calls of {library.name}: {place}  (Ctrl-C ends it)")
    if token is not None:
        say(f"It asks for this token: {token}")
    if browser:
        webbrowser.open(place)
    app = make_app(library, token=token)
    web.run_app(app, sock=listening, print=None, access_log=None, handle_signals=True)


def _listen(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in (VIEWER_PORT, 0) if port is None else (port,):
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, wanted))
        except OSError as error:
            listening.close()
            if wanted and port is None:
                continue
            raise OSError(error.errno, error.strerror, f"{host}:{wanted}") from error
        return listening
    raise OSError(f"no free port on {host}")


def _address(host: str, port: int) -> str:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"
