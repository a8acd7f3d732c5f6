"""Who may look: this machine alone, or whoever has the token; and what a page may do."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""A page loads nothing from elsewhere, and runs nothing that is written into it."""

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_COOKIE = "tracing_view"
_OPEN_TO_ALL = ("/token", "/static/")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOKEN_PAGE: web.AppKey[Callable[[web.Request, bool], web.Response]] = web.AppKey("token_page")
"""How the page is made that asks for the token; its second argument: the last one was wrong."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address that is listened on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """What who comes from elsewhere has to show."""
    return secrets.token_urlsafe(18)


class Guard:
    """The middleware before every page."""

    def __init__(self, token: str | None) -> None:
        self._token = token
        """None where only this machine can reach the viewer."""

    @web.middleware
    async def before(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await self._answer(request, handler)
        if not response.prepared:
            for name, value in _HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD") and request.path != "/token":
            return web.Response(status=405, text="This viewer only reads.")
        if self._token is None:
            # A page from elsewhere whose name was made to point here comes under that name.
            if not is_loopback(_host(request)):
                return web.Response(status=403, text="Open this viewer as 127.0.0.1 or localhost.")
        elif not self._has_token(request) and not request.path.startswith(_OPEN_TO_ALL):
            return request.app[TOKEN_PAGE](request, False)
        try:
            return await handler(request)
        except web.HTTPException as error:
            return web.Response(status=error.status, text=error.text, headers=_location(error))

    def _has_token(self, request: web.Request) -> bool:
        shown = request.cookies.get(_COOKIE, "")
        return hmac.compare_digest(shown.encode(), (self._token or "").encode())

    async def take_token(self, request: web.Request) -> web.StreamResponse:
        """The answer to the form that asks for the token."""
        form = await request.post()
        shown, following = str(form.get("token", "")), str(form.get("next", "/"))
        if self._token is None or not hmac.compare_digest(shown.encode(), self._token.encode()):
            return request.app[TOKEN_PAGE](request, True)
        is_here = following.startswith("/") and not following.startswith(("//", "/\\"))
        response = web.Response(status=303, headers={"Location": following if is_here else "/"})
        response.set_cookie(_COOKIE, self._token, httponly=True, samesite="Strict")
        return response


def stream_headers() -> dict[str, str]:
    """The headers of an answer that has no end."""
    return {**_HEADERS, "Content-Type": "text/event-stream"}


def _host(request: web.Request) -> str:
    host = request.host
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _location(error: web.HTTPException) -> dict[str, str]:
    return {"Location": error.headers["Location"]} if "Location" in error.headers else {}
