"""The recording of a call in its page: played in parts, drawn, shared, or why there is none."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.audio import keep, ogg
from tests.view.calls import TOOLS, Given, only_call
from tracing.span import Span
from tracing.view.app import make_app
from tracing.view.beside import player
from tracing.view.beside.around import Around
from tracing.view.beside.peaks import peaks
from tracing.view.library import Call, Library, call_of
from tracing.view.pages.call_page import Choice
from tracing.view.pages.one_call import page_of
from tracing.view.share import share

SECONDS = 4
OFFSET = 0.5
Client: TypeAlias = "TestClient[web.Request, web.Application]"


def recorded(directory: Path) -> Call:
    """A call whose recording is beside the store in `directory`, and began half a second in."""
    told = keep(ogg(directory / "job" / "audio.ogg", SECONDS), directory / "recordings")
    return with_recording(only_call(TOOLS), **told)


def with_recording(call: Call, **told: object) -> Call:
    """The call whose root tells of a recording."""
    root, *others = call.tree.spans
    told["recording.started_at"] = root.start_time_unix_nano / 1e9 + OFFSET
    spans = [root._replace(attributes={**root.attributes, **told}), *others]  # type: ignore[dict-item]
    return call_of(spans)


@asynccontextmanager
async def viewer(call: Call, directory: Path | None) -> AsyncIterator[Client]:
    """A viewer of a call, on a real socket."""
    app = make_app(Library(Given(call.recorded), "given", Around(directory)))
    async with TestClient(TestServer(app)) as client:
        yield client


def address(call: Call) -> str:
    """The call's address."""
    return f"/calls/{call.described['trace_id']}"


async def test_recording_is_answered_in_the_parts_that_are_asked_for(tmp_path: Path) -> None:
    """Ranges as browsers ask for them, also beyond the end; and only reading."""
    call = recorded(tmp_path)
    [file] = (tmp_path / "recordings").iterdir()
    whole = file.read_bytes()
    async with viewer(call, tmp_path) as client:
        answer = await client.get(f"{address(call)}/audio")
        assert (answer.status, answer.content_type) == (200, "audio/ogg")
        assert await answer.read() == whole
        for asked, status, part in (
            ("bytes=0-", 206, whole),
            ("bytes=100-199", 206, whole[100:200]),
            ("bytes=-50", 206, whole[-50:]),
            (f"bytes={len(whole)}-", 416, None),
            ("bytes=0-99999999999", 206, whole),
        ):
            answer = await client.get(f"{address(call)}/audio", headers={"Range": asked})
            assert answer.status == status, asked
            assert part is None or await answer.read() == part
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (await client.post(f"{address(call)}/audio")).status == 405


async def test_peaks_show_who_sounded_when(tmp_path: Path) -> None:
    """Twenty-five a second of both channels: the caller in even seconds, the agent in odd."""
    call = recorded(tmp_path)
    async with viewer(call, tmp_path) as client:
        found = await (await client.get(f"{address(call)}/peaks")).read()
    for second in range(SECONDS):
        middle = found[50 * second + 10 : 50 * second + 40]
        loud, silent = middle[second % 2 :: 2], middle[1 - second % 2 :: 2]
        assert min(loud) > 100, second
        assert max(silent) < 10, second
    assert len(found) == pytest.approx(50 * SECONDS, abs=50)


def test_what_cannot_be_decoded_has_no_peaks(tmp_path: Path) -> None:
    """A file that is none, and one that is cut off: as far as it goes."""
    broken = tmp_path / "broken.ogg"
    broken.write_bytes(b"OggS" + bytes(1000))
    assert peaks(broken) == b""
    whole = ogg(tmp_path / "whole.ogg", SECONDS).read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    assert 0 < len(peaks(broken)) < 50 * SECONDS


async def test_nothing_else_of_the_machine_is_answered(tmp_path: Path) -> None:
    """What a span names elsewhere, a link, a store of files, a call that is none."""
    secret = ogg(tmp_path / "secret" / "0123456789abcdef012345.ogg", 1)
    (tmp_path / "recordings").mkdir()
    linked = tmp_path / "recordings" / "1123456789abcdef012345.ogg"
    linked.symlink_to(secret)
    for named in (secret, linked, Path("/etc/passwd"), tmp_path / "recordings" / ".." / "x.ogg"):
        call = with_recording(only_call(TOOLS), **{"recording.path": str(named)})
        async with viewer(call, tmp_path) as client:
            for what in ("audio", "peaks"):
                answer = await client.get(f"{address(call)}/{what}")
                assert (answer.status, await answer.text()) == (404, "no such recording")
                assert (await client.get(f"/calls/ffffffff/{what}")).status == 404
    call = recorded(tmp_path)
    async with viewer(call, None) as client:
        assert (await client.get(f"{address(call)}/audio")).status == 404


def test_page_plays_the_recording_in_step(tmp_path: Path) -> None:
    """It says where sound and peaks are, and when the recording began on the call's axis."""
    call = recorded(tmp_path)
    page = page_of(call, Choice(), Around(tmp_path))
    here = address(call)
    assert {key: page[key] for key in ("audio", "peaks", "audio_offset", "silent")} == {
        "audio": f"{here}/audio",
        "peaks": f"{here}/peaks",
        "audio_offset": OFFSET,
        "silent": "",
    }


def silent_calls() -> Iterator[tuple[str, Call, dict[str, bool], str]]:
    """Calls that cannot be heard, how their page is made, and what it says."""
    call = only_call(TOOLS)
    told = with_recording(call, **{"recording.path": f"/x/recordings/{'0' * 22}.ogg"})
    begun = [span._replace(end_time_unix_nano=0) for span in call.recorded[:1]] + call.recorded[1:]
    yield "not recorded", call, {}, player.NONE_KEPT
    yield "deleted", told, {}, player.GONE
    yield "in progress", call_of(begun), {}, player.IN_PROGRESS
    yield "withheld in the file", told, {"withheld": True, "shared": True}, player.WITHHELD
    bare = [span._replace(attributes=without_words(span)) for span in call.recorded]
    yield "withheld in the call", call_of(bare), {}, player.WITHHELD


def without_words(span: Span) -> dict[str, object]:
    """Attributes of a span whose content was withheld where it was recorded."""
    words = ("lk.pii.", "turn.user_text", "turn.agent_text", "conversation.")
    return {key: value for key, value in span.attributes.items() if not key.startswith(words)}


SILENT = list(silent_calls())


@pytest.mark.parametrize(
    ("call", "how", "why"), [c[1:] for c in SILENT], ids=[c[0] for c in SILENT]
)
def test_player_says_why_it_is_silent(
    call: Call, how: dict[str, bool], why: str, tmp_path: Path
) -> None:
    """Its buttons are off, with the reason as their label."""
    page = page_of(call, Choice(turn=2), Around(tmp_path), **how)
    assert (page["audio"], page["peaks"], page["silent"]) == ("", "", why)
    assert page["drawer"]["silent"] == why


def test_shared_file_has_the_recording_in_it(tmp_path: Path) -> None:
    """Sound and peaks as data, up to 10 MB; none of it where content is withheld."""
    call = recorded(tmp_path)
    [file] = (tmp_path / "recordings").iterdir()
    sound = base64.b64encode(file.read_bytes()).decode()
    drawn = base64.b64encode(peaks(file)).decode()
    around = Around(tmp_path)
    shared = share(call, around)
    assert f'src="data:audio/ogg;base64,{sound}"' in shared
    assert f'data-peaks="{drawn}"' in shared
    withheld = share(call, around, withheld=True)
    assert "data:audio" not in withheld
    assert sound[:200] not in withheld
    assert player.WITHHELD in withheld
    with file.open("ab") as grown:
        grown.truncate(player.MAX_SHARED_BYTES + 1)
    left_out = share(call, around)
    assert "data:audio" not in left_out
    assert player.TOO_LARGE in left_out


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("19.5..20.7", (19.5, 20.7)),
        ("0..1", (0.0, 1.0)),
        ("20.7..19.5", None),
        ("1..1", None),
        ("1..", None),
        ("-1..2", None),
        ("1e3..2e3", None),
        ("<script>..1", None),
        ("", None),
    ],
)
def test_interval_of_an_address(asked: str, found: tuple[float, float] | None) -> None:
    """Seconds, two of them, in order; anything else selects nothing."""
    assert player.read_interval(asked) == found
