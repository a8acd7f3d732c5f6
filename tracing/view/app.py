"""The viewer's addresses: each a page, a fragment of one, or data, made when it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from aiohttp import web

from tracing.otlp_json import dumps
from tracing.read.selection import ChoiceError, Side
from tracing.safe_text import get_logger
from tracing.store.schema import StoreError
from tracing.view.beside.answers import Answers
from tracing.view.beside.player import Recording, find_recording, read_interval
from tracing.view.guard import TOKEN_PAGE, Guard, stream_headers
from tracing.view.library import Call, Library
from tracing.view.pages.call_page import Choice
from tracing.view.pages.calls_page import calls_page
from tracing.view.pages.compare_page import compare_page, side_choices
from tracing.view.pages.filters import Filters
from tracing.view.pages.one_call import drawer_of, page_of
from tracing.view.render import asset, render
from tracing.view.share import share

T = TypeVar("T")

logger = get_logger(__name__)

_STATIC = {"view.css": "text/css", "view.js": "text/javascript", "icon.svg": "image/svg+xml"}
_POLL_SECONDS = 0.5
_STREAM_SECONDS = 600
"""After this long a stream ends, and the browser opens it again."""


def make_app(library: Library, *, token: str | None = None) -> web.Application:
    """The viewer of a library; with a token, only for who shows it."""
    guard = Guard(token)
    viewer = _Viewer(library)
    sound = Answers(viewer.recording)
    app = web.Application(middlewares=[guard.before], client_max_size=4096)
    app[TOKEN_PAGE] = viewer.token_page
    app.add_routes(
        [
            web.get("/", viewer.calls),
            web.get("/events", viewer.events),
            web.get("/compare", viewer.compare),
            web.get("/static/{name}", viewer.static),
            web.get("/calls/{id:[0-9a-f]{4,32}}.json", viewer.call_json),
            web.get("/calls/{id:[0-9a-f]{4,32}}.html", viewer.call_file),
            web.get("/calls/{id:[0-9a-f]{4,32}}", viewer.call),
            web.get("/calls/{id:[0-9a-f]{4,32}}/events", viewer.events),
            *sound.routes("/calls/{id:[0-9a-f]{4,32}}"),
            web.get("/calls/{id:[0-9a-f]{4,32}}/turns/{turn:[0-9]{1,9}}", viewer.turn),
            web.get("/calls/{id:[0-9a-f]{4,32}}/spans/{span:[0-9a-f]{16}}.json", viewer.span_json),
            web.post("/token", guard.take_token),
        ]
    )
    app.on_shutdown.extend((viewer.close, sound.close))
    return app


class _Viewer:
    """The handlers; a library is for one thread at a time, so all its work is done in one."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tracing-view")
        self._closing = asyncio.Event()

    async def close(self, app: web.Application) -> None:
        self._closing.set()
        self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _page(self, work: Callable[[], web.Response]) -> web.Response:
        try:
            return await self._do(work)
        except web.HTTPException:
            raise
        except OSError as error:
            problem = str(error)
        except Exception as error:  # what a damaged or forged store holds can be anything
            logger.debug("a page cannot be made", exc_info=True)
            problem = f"{self._library.name} holds what cannot be shown: {error!r}"
        return self._state("The store cannot be read", "unreadable", 503, problem=problem)

    async def calls(self, request: web.Request) -> web.StreamResponse:
        filters = Filters.read(request.query, request.query.getall("is", []))
        return await self._page(lambda: self._calls(filters))

    def _calls(self, filters: Filters) -> web.Response:
        rows = self._library.rows()
        if not rows:
            return self._state("No calls yet", "empty", 200, where=self._library.name, watch=True)
        found = self._library.search(filters.query) if filters.query else {}
        return self._html("calls.html", page="calls", **calls_page(rows, filters, found))

    async def call(self, request: web.Request) -> web.StreamResponse:
        choice = _choice(request)
        return await self._page(lambda: self._call(request.match_info["id"], choice))

    def _call(self, asked: str, choice: Choice) -> web.Response:
        call = self._library.call(asked)
        if call is None:
            return self._unknown(asked)
        beside = self._library.beside(call.described["trace_id"])
        page = page_of(call, choice, self._library.around)
        return self._html("call.html", page="call", beside=beside, **page)

    async def turn(self, request: web.Request) -> web.StreamResponse:
        asked, number = request.match_info["id"], int(request.match_info["turn"])
        return await self._page(lambda: self._turn(asked, number))

    def _turn(self, asked: str, number: int) -> web.Response:
        call = self._library.call(asked)
        around = self._library.around
        turn = None if call is None else drawer_of(call, number, page_of(call, Choice(), around))
        if turn is None:
            return self._unknown(asked)
        return self._html("turn.html", turn=turn, withheld=False)

    async def compare(self, request: web.Request) -> web.StreamResponse:
        asked = {side: request.query.get(side, "") for side in ("a", "b")}
        return await self._page(lambda: self._compare(asked))

    def _compare(self, asked: Mapping[str, str]) -> web.Response:
        sides: dict[str, Side] = {}
        problems = dict.fromkeys(asked, "")
        for letter, selector in asked.items():
            try:
                if selector:
                    sides[letter] = self._library.side(selector)
            except ChoiceError as error:
                problems[letter] = str(error)
        page = compare_page(sides["a"], sides["b"]) if len(sides) == 2 else {"headline": ""}
        return self._html(
            "compare.html",
            page="compare",
            asked=asked,
            problems=problems,
            sides=[page.get("a"), page.get("b")],
            choices=side_choices(self._library.rows()),
            **page,
        )

    async def call_json(self, request: web.Request) -> web.StreamResponse:
        return await self._page(lambda: _json(self._one(request).described))

    async def call_file(self, request: web.Request) -> web.StreamResponse:
        withheld = request.query.get("withheld") == "1"
        return await self._page(lambda: self._file(self._one(request), withheld))

    def _one(self, request: web.Request) -> Call:
        call = self._library.call(request.match_info["id"])
        if call is None:
            raise web.HTTPNotFound(text="no such call")
        return call

    def _file(self, call: Call, withheld: bool) -> web.Response:
        text = share(call, self._library.around, withheld=withheld)
        name = f"call-{call.described['trace_id'][:8]}{'-withheld' if withheld else ''}.html"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)

    async def recording(self, asked: str) -> Recording | None:
        """A call's recording; None where it is not here, or where what tells of it is damaged."""
        with contextlib.suppress(Exception):
            call = await self._do(lambda: self._library.call(asked))
            if call is not None:
                return find_recording(self._library.around.directory, call)
        return None

    async def span_json(self, request: web.Request) -> web.StreamResponse:
        return await self._page(lambda: self._span(self._one(request), request.match_info["span"]))

    def _span(self, call: Call, span_id: str) -> web.Response:
        found = [span for span in call.recorded if span.span_id.hex() == span_id]
        if not found:
            raise web.HTTPNotFound(text="no such span")
        return web.Response(text=dumps(found), content_type="application/json")

    async def static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in _STATIC:
            raise web.HTTPNotFound(text="no such file")
        return web.Response(text=asset(name), content_type=_STATIC[name])

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Tell each change of the library, or of one call, until the browser goes away."""
        response = web.StreamResponse(headers=stream_headers())
        await response.prepare(request)
        asked, told = request.match_info.get("id"), None
        loop = asyncio.get_running_loop()
        until = loop.time() + _STREAM_SECONDS
        with contextlib.suppress(ConnectionResetError):  # the browser went away
            while not self._closing.is_set() and loop.time() < until:
                told = await self._tell(response, asked, told)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _POLL_SECONDS)
        return response

    async def _tell(self, response: web.StreamResponse, asked: str | None, told: object) -> object:
        """Write an event where the state is another than what was told, else a comment."""
        try:
            state = await self._do(lambda: self._state_of(asked))
        except (StoreError, OSError):
            state = told
        line = f"data: {json.dumps(state)}\n\n" if told not in (None, state) else ": \n\n"
        await response.write(line.encode())
        return state

    def _state_of(self, asked: str | None) -> object:
        if asked is None:
            return self._library.version()
        return self._library.revision(asked)

    def token_page(self, request: web.Request, wrong: bool) -> web.Response:
        following = request.path_qs if request.method == "GET" else "/"
        return self._state("Token", "token", 401, next=following, wrong=wrong)

    def _unknown(self, asked: str) -> web.Response:
        rows = self._library.rows()
        near = [row for row in rows if row["trace_id"].startswith(asked[:3])][:3]
        oldest = rows[-1]["started_at"] if rows else ""
        return self._state("No such call", "unknown", 404, asked=asked, nearest=near, oldest=oldest)

    def _state(self, title: str, kind: str, status: int, **context: Any) -> web.Response:
        context = {"watch": False, "problem": "", **context}
        return self._html("state.html", status, page="state", title=title, kind=kind, **context)

    def _html(self, template: str, status: int = 200, **context: Any) -> web.Response:
        text = render(template, base="", store=self._library.name, **context)
        return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


def _choice(request: web.Request) -> Choice:
    query = request.query
    dense, turn = query.get("dense"), query.get("turn", "")
    return Choice(
        align=query.get("align", ""),
        slowest_first=query.get("sort") == "slowest",
        dense=None if dense is None else dense == "1",
        turn=int(turn) if turn.isdecimal() and len(turn) < 10 else None,
        interval=read_interval(query.get("t", "")),
    )


def _json(value: object) -> web.Response:
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return web.Response(text=text, content_type="application/json", charset="utf-8")
