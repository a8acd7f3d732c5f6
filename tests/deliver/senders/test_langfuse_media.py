"""A call's recording, uploaded from the drain to Langfuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langfuse.media import LangfuseMedia

from tests.audio import AUDIO, keep, record
from tests.deliver.delivering import delivering
from tests.dialects.spans import livekit_span
from tests.fakes import Reply, until, write_segment
from tests.langfuse_server import MEDIA as MEDIA_PATH
from tests.langfuse_server import LangfuseServer
from tracing.config.backends import Backend
from tracing.config.load import load_settings
from tracing.config.settings import backends_of
from tracing.dialects import media
from tracing.dialects.langfuse import LangfuseDialect
from tracing.span import Span
from tracing.spool.losses import count_losses, read_losses


@pytest.fixture
def server() -> Iterator[LangfuseServer]:
    """A Langfuse."""
    with LangfuseServer() as langfuse:
        yield langfuse


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What LiveKit's recorder has written."""
    return record(tmp_path / "job")


def root_of(attributes: dict[str, Any], name: str = "job_entrypoint", **fields: Any) -> Span:
    """The root of a call with these attributes."""
    return livekit_span(name, attributes, **{"parent_span_id": b"", **fields})


def media_backend(server: LangfuseServer, backend: Any = "langfuse") -> Backend:
    """Where recordings are delivered to; TRACING_DIR is the test's own directory."""
    settings = load_settings(backend, recording=True, directory=".", **server.settings)
    return next(b for b in backends_of(settings) if b.carries == "recordings")


def test_reference_is_what_langfuses_own_client_makes(source: Path, tmp_path: Path) -> None:
    """Same id, same token, on the span's and the trace's metadata; the path stays here."""
    theirs = LangfuseMedia(content_bytes=AUDIO, content_type="audio/ogg")
    kept = keep(source, tmp_path / "recordings")
    span = LangfuseDialect()(root_of({**kept, "recording.started_at": 17.5}))
    assert span is not None
    assert media.media_id(kept["recording.sha256"]) == theirs._media_id
    assert {k: v for k, v in span.attributes.items() if "recording" in k} == {
        "langfuse.observation.metadata.recording": theirs._reference_string,
        "langfuse.trace.metadata.recording": theirs._reference_string,
        "langfuse.observation.metadata.recording_started_at": 17.5,
    }
    assert str(tmp_path) not in str(span.attributes)


def test_broken_hash_costs_the_reference_and_no_span() -> None:
    """A mask may have rewritten it."""
    span = LangfuseDialect()(root_of({"recording.sha256": "[phone]"}))
    assert span is not None
    assert not any("recording" in key for key in span.attributes)


def test_recording_is_uploaded_in_three_steps(
    source: Path, tmp_path: Path, server: LangfuseServer
) -> None:
    """Asked, put, reported; linked to the trace, and the file goes once Langfuse has it."""
    spool, kept = tmp_path / "spool", keep(source, tmp_path / "recordings")
    write_segment(spool, root_of(kept), livekit_span("agent_turn"))
    with delivering(spool, media_backend(server)) as delivery:
        until(lambda: delivery.done)
        assert delivery.status.delivered_spans == 1
    media_id = media.media_id(kept["recording.sha256"])
    assert [
        (asked.method, asked.path.partition("?")[0], asked.status) for asked in server.asked
    ] == [
        ("POST", MEDIA_PATH, 201),
        ("PUT", f"/bucket/{media_id}", 200),
        ("PATCH", f"{MEDIA_PATH}/{media_id}", 200),
    ]
    assert "authorization" not in server.asked[1].headers
    assert server.media[media_id].content == AUDIO
    assert server.media[media_id].links == [((b"t" * 16).hex(), None, "metadata")]
    assert list((tmp_path / "recordings").iterdir()) == []
    assert count_losses(spool) == {}


def test_recording_of_a_session_below_a_root_is_the_observations(
    source: Path, tmp_path: Path, server: LangfuseServer
) -> None:
    """Whichever span carries it, there it is linked."""
    kept = keep(source, tmp_path / "recordings")
    write_segment(tmp_path / "spool", root_of(kept, "agent_session", parent_span_id=b"p" * 8))
    with delivering(tmp_path / "spool", media_backend(server)) as delivery:
        until(lambda: delivery.done)
    [uploaded] = server.media.values()
    assert uploaded.links == [((b"t" * 16).hex(), (b"s" * 8).hex(), "metadata")]


def test_repeat_uploads_nothing_again(source: Path, tmp_path: Path, server: LangfuseServer) -> None:
    """A drainer that died before its note asks again; the bytes are there, the file is not."""
    kept = keep(source, tmp_path / "recordings")
    for spool in (tmp_path / "1", tmp_path / "2"):
        write_segment(spool, root_of(kept))
        with delivering(spool, media_backend(server)) as delivery:
            until(lambda delivery=delivery: delivery.done)
        assert count_losses(spool) == {}
    assert [asked.method for asked in server.asked] == ["POST", "PUT", "PATCH", "POST"]


def test_file_stays_where_the_local_store_points_to_it(
    source: Path, tmp_path: Path, server: LangfuseServer
) -> None:
    """With a local backend beside, the recording is kept within the directory's bound."""
    kept = keep(source, tmp_path / "recordings")
    write_segment(tmp_path / "spool", root_of(kept))
    with delivering(tmp_path / "spool", media_backend(server, ["langfuse", "local"])) as delivery:
        until(lambda: delivery.done)
    assert Path(kept["recording.path"]).read_bytes() == AUDIO


def test_outage_is_waited_for_at_every_step(
    source: Path, tmp_path: Path, server: LangfuseServer
) -> None:
    """Langfuse or its store away: tried again until the recording is there."""
    kept = keep(source, tmp_path / "recordings")
    media_id = media.media_id(kept["recording.sha256"])
    server.replies = {
        MEDIA_PATH: [Reply(503), Reply(429, b"{}", {"Retry-After": "0"})],
        f"/bucket/{media_id}": [Reply(503)],
        f"{MEDIA_PATH}/{media_id}": [Reply(200), Reply(500)],
    }
    write_segment(tmp_path / "spool", root_of(kept))
    with delivering(tmp_path / "spool", media_backend(server)) as delivery:
        until(lambda: delivery.done)
    assert [(asked.method, asked.status) for asked in server.asked] == [
        *(("POST", 503), ("POST", 429)),
        *(("POST", 201), ("PUT", 503), ("PATCH", 200)),
        *(("POST", 201), ("PUT", 200), ("PATCH", 500)),
        *(("POST", 201), ("PUT", 200), ("PATCH", 200)),
    ]
    assert server.media[media_id].upload_status == 200
    assert count_losses(tmp_path / "spool") == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("missing", "No such file or directory"),
        ("foreign", "it is not in "),
        ("link", "it is not in "),
        ("other", "the file is not what it was"),
        ("same length", "answered 400: <Error><Code>BadDigest</Code></Error>"),
        ("too large", "are more than 209,715,200"),
        ("no type", "answered 400: "),
    ],
)
def test_recording_that_cannot_be_uploaded_is_counted(
    source: Path, tmp_path: Path, server: LangfuseServer, change: str, words: str
) -> None:
    """It blocks nothing: the spans after it are acknowledged."""
    spool, kept = tmp_path / "spool", keep(source, tmp_path / "recordings")
    path = Path(kept["recording.path"])
    if change == "missing":
        path.unlink()
    elif change == "foreign":
        kept["recording.path"] = str(source)
    elif change == "link":
        path.unlink()
        path.symlink_to(source)
    elif change == "other":
        path.write_bytes(b"short")
    elif change == "same length":
        path.write_bytes(AUDIO[::-1])
    elif change == "too large":
        kept["recording.bytes"] = 2**30
    else:
        kept["recording.content_type"] = "audio/unheard-of"
    write_segment(spool, root_of(kept))
    with delivering(spool, media_backend(server)) as delivery:
        until(lambda: delivery.done)
    [loss] = read_losses(spool)
    assert (loss["reason"], loss["number"]) == ("the recording could not be uploaded", 1)
    assert words in str(loss["detail"])
    assert source.exists()


def test_page_of_a_proxy_is_no_acceptance(
    source: Path, tmp_path: Path, server: LangfuseServer
) -> None:
    """A login page with status 200 takes nothing, so the file stays until Langfuse answers."""
    kept = keep(source, tmp_path / "recordings")
    page = Reply(200, b"<html>log in</html>", {"Content-Type": "text/html; charset=utf-8"})
    media_id = media.media_id(kept["recording.sha256"])
    server.replies = {
        MEDIA_PATH: [page],
        f"/bucket/{media_id}": [page],
        f"{MEDIA_PATH}/{media_id}": [page],
    }
    write_segment(tmp_path / "spool", root_of(kept))
    with delivering(tmp_path / "spool", media_backend(server)) as delivery:
        until(lambda: delivery.done)
    assert [(asked.method, asked.status) for asked in server.asked] == [
        ("POST", 200),
        *(("POST", 201), ("PUT", 200)),
        *(("POST", 201), ("PUT", 200), ("PATCH", 200)),
        *(("POST", 201), ("PUT", 200), ("PATCH", 200)),
    ]
    [uploaded] = server.media.values()
    assert uploaded.content == AUDIO


def test_nothing_leaves_where_content_is_withheld(server: LangfuseServer) -> None:
    """And nothing unless it is asked for."""
    for options, carried in (
        ({}, ["spans", "scores"]),
        ({"recording": True}, ["spans", "scores", "recordings"]),
        ({"recording": True, "capture_content": False}, ["spans", "scores"]),
    ):
        settings = load_settings("langfuse", **server.settings, **options)
        assert [backend.carries for backend in backends_of(settings)] == carried
