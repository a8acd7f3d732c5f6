"""The viewer answers this machine alone, or who shows the token, and only reads."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TypeAlias

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.view.calls import TOOLS, VOICE, library, only_call
from tracing.store.store import Store
from tracing.view.app import make_app
from tracing.view.guard import CONTENT_SECURITY_POLICY, is_loopback
from tracing.view.library import Library

Client: TypeAlias = "TestClient[web.Request, web.Application]"


@asynccontextmanager
async def viewer(token: str | None = None) -> AsyncIterator[Client]:
    """A viewer of one recorded call, on a real socket."""
    async with TestClient(TestServer(make_app(library(TOOLS), token=token))) as client:
        yield client


async def the_call(client: Client) -> str:
    """The address of the call."""
    text = await (await client.get("/")).text()
    found = re.search(r'href="(/calls/[0-9a-f]{32})"', text)
    assert found
    return found[1]


async def test_every_address_answers() -> None:
    """Pages, a drawer, data, files of the page, and what is not there."""
    async with viewer() as client:
        call = await the_call(client)
        data = json.loads(await (await client.get(f"{call}.json")).text())
        span = "0" * 16
        expected = {
            "/": (200, "text/html"),
            "/?q=hello&since=24h&is=over&sort=-p95": (200, "text/html"),
            "/compare": (200, "text/html"),
            f"/compare?a={call[7:19]}&b={call[7:19]}": (200, "text/html"),
            "/compare?a=nothing&b=nobody": (200, "text/html"),
            call: (200, "text/html"),
            f"{call}?turn=1&align=ttft&sort=slowest&dense=1": (200, "text/html"),
            f"{call}/turns/{data['turns'][0]['number']}": (200, "text/html"),
            f"{call}.html": (200, "text/html"),
            f"{call}.html?withheld=1": (200, "text/html"),
            "/static/view.css": (200, "text/css"),
            "/static/view.js": (200, "text/javascript"),
            "/static/icon.svg": (200, "image/svg+xml"),
            f"{call}/turns/999": (404, "text/html"),
            f"{call}/spans/{span}.json": (404, "application/octet-stream"),
            "/calls/ffffffff": (404, "text/html"),
            "/static/app.py": (404, "application/octet-stream"),
            "/static/..%2fapp.py": (404, "application/octet-stream"),
            "/calls/../../etc/passwd": (404, "application/octet-stream"),
        }
        found = {}
        for address in expected:
            answer = await client.get(address)
            found[address] = (answer.status, answer.content_type)
            assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert {k: v[0] for k, v in found.items()} == {k: v[0] for k, v in expected.items()}
        assert [k for k in expected if expected[k][0] == 200 and found[k] != expected[k]] == []


ODD = ("", "..", "nan..inf", "1e999..-1", "9" * 400, "\x00", "<script>", "\u0663", "-p95", "a:b:c")


@pytest.mark.parametrize("odd", ODD)
async def test_no_address_is_a_fault_of_ours(odd: str) -> None:
    """Whatever stands in it: what cannot be understood is left out, or said."""
    names = ("q", "since", "agent", "model", "option", "is", "latency", "sort", "before")
    names += ("turn", "t", "align", "dense", "a", "b", "withheld")
    async with viewer() as client:
        call = await the_call(client)
        for path in ("/", call, f"{call}.html", "/compare", f"{call}/turns/{odd or 0}"):
            for name in names:
                answer = await client.get(path, params={name: odd})
                assert answer.status in (200, 404), (path, name)


@pytest.mark.parametrize("column", ["head", "row", "shown", "turns"])
@pytest.mark.parametrize("forged", ["{}", "[]", "7", "no JSON", '{"flags": 7, "lanes": []}'])
async def test_what_somebody_else_wrote_into_the_store_is_said(
    tmp_path: Path, column: str, forged: str
) -> None:
    """On a page where the list or the call cannot be shown; never as a fault of the server."""
    with Store(tmp_path / "calls.db") as store:
        store.add(only_call(TOOLS).recorded)
    with closing(sqlite3.connect(tmp_path / "calls.db")) as db, db:
        table, name = ("turns", "described") if column == "turns" else ("described", column)
        db.execute(f"UPDATE {table} SET {name} = ?", (forged,))
        [(trace_id,)] = db.execute("SELECT trace_id FROM calls")
    here = f"/calls/{trace_id}"
    with Store(tmp_path / "calls.db", read_only=True) as store:
        async with TestClient(TestServer(make_app(Library(store, "forged")))) as client:
            for address in ("/", here, f"{here}.json", f"{here}.html", f"{here}/turns/1"):
                answer = await client.get(address)
                assert answer.status in (200, 404, 503), address
                assert answer.status != 503 or "cannot be read" in await answer.text()
            for what in ("audio", "peaks"):
                assert (await client.get(f"{here}/{what}")).status == 404


async def test_a_call_leads_to_the_ones_beside_it() -> None:
    """The newer and the older one of the list; the ends of it to one alone."""
    calls = library(TOOLS, VOICE)
    newest, oldest = (row["trace_id"] for row in calls.rows())
    assert calls.beside(newest) == {"older": oldest}
    assert calls.beside(oldest) == {"newer": newest}
    async with TestClient(TestServer(make_app(calls))) as client:
        text = await (await client.get(f"/calls/{newest}")).text()
    assert f'href="/calls/{oldest}" data-key="older"' in text
    assert 'data-key="newer"' not in text


async def test_only_reading_is_allowed() -> None:
    """No other method reaches a page."""
    async with viewer() as client:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            assert (await client.request(method, "/")).status == 405


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost", 200),
        ("[::1]:8765", 200),
        ("rebound.example:8765", 403),
        ("127.0.0.1.rebound.example", 403),
        ("", 403),
    ],
)
async def test_a_page_that_was_made_to_point_here_gets_nothing(host: str, status: int) -> None:
    """The name under which a browser came has to be this machine's."""
    async with viewer() as client:
        assert (await client.get("/", headers={"Host": host})).status == status


async def test_who_comes_from_elsewhere_shows_the_token() -> None:
    """Every page asks for it; the right one opens all, and leads to what was asked for."""
    async with viewer("right token") as client:
        asked = await client.get("/compare?a=1234")
        assert asked.status == 401
        assert "asks" in await asked.text()
        wrong = await client.post("/token", data={"token": "wrong", "next": "/"})
        assert (wrong.status, "not the token" in await wrong.text()) == (401, True)
        right = await client.post(
            "/token", data={"token": "right token", "next": "/compare"}, allow_redirects=False
        )
        assert (right.status, right.headers["Location"]) == (303, "/compare")
        assert (await client.get("/")).status == 200


@pytest.mark.parametrize("following", ["//elsewhere.example", "https://elsewhere.example", "/\\e"])
async def test_the_token_leads_nowhere_else(following: str) -> None:
    """An address of another machine is not followed."""
    async with viewer("token") as client:
        answer = await client.post(
            "/token", data={"token": "token", "next": following}, allow_redirects=False
        )
        assert answer.headers["Location"] == "/"


def test_loopback_is_what_only_this_machine_reaches() -> None:
    """By address, not by how a name looks."""
    hosts = ["127.0.0.1", "127.9.9.9", "::1", "localhost", "0.0.0.0", "::", "10.0.0.1", "a.b"]
    assert [host for host in hosts if is_loopback(host)] == hosts[:4]
