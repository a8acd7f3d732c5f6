"""Recordings to Langfuse in its three steps: ask where to, put the bytes there, say how it went."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from tracing import names, stamps
from tracing.config.backends import Backend
from tracing.deliver.senders.http import (
    Answer,
    HttpClient,
    Verdict,
    refusal,
    verdict_of,
)
from tracing.deliver.senders.langfuse_api import LangfuseApi, Rejected
from tracing.deliver.senders.sender import Unavailable
from tracing.deliver.senders.tally import Tally
from tracing.dialects.media import media_id, upload_request
from tracing.span import Span
from tracing.spool.files import NO_LINK

_UPLOAD_TIMEOUT_SECONDS = 300.0
"""For the whole of it: 200 MB take this long at 5 Mbit/s."""


class MediaSender:
    """Uploads the recordings that spans point to; a file is deleted once Langfuse has it."""

    def __init__(self, backend: Backend, tally: Tally) -> None:
        self._backend = backend
        self._tally = tally
        self._api = LangfuseApi(backend)
        self._directory = Path(backend.sender_options["directory"])
        self._max_bytes: int = backend.sender_options["max_bytes"]
        self._keep: bool = backend.sender_options["keep"]
        self._accounted: set[bytes] = set()

    def deliver(self, spans: Sequence[Span]) -> None:
        """Upload every recording, or raise Unavailable; what cannot be uploaded is counted."""
        for span in spans:
            if span.span_id not in self._accounted:
                self._deliver(span)
                self._accounted.add(span.span_id)
        self._accounted.clear()

    def _deliver(self, span: Span) -> None:
        path = Path(names.text(span.attributes, stamps.RECORDING_PATH))
        try:
            self._upload(span, path)
        except (Rejected, OSError, LookupError, ValueError) as error:
            self._tally.recording_lost(f"{path}: {error}")
            return
        if not self._keep:
            path.unlink(missing_ok=True)

    def _upload(self, span: Span, path: Path) -> None:
        if path.parent != self._directory or path.is_symlink():
            # A span may be anybody's, and a replayed file too: they name no file of the machine's.
            raise Rejected(f"it is not in {self._directory}")
        asked = upload_request(span)
        if asked["contentLength"] > self._max_bytes:
            raise Rejected(f"{asked['contentLength']:,} bytes are more than {self._max_bytes:,}")
        answered = self._api.ask("POST", self._backend.url, asked)
        if "mediaId" not in answered:
            words = f"POST {self._backend.url} was answered by something else: no media"
            raise Unavailable(words, refused=True)
        if answered["mediaId"] != media_id(names.text(span.attributes, stamps.RECORDING_SHA256)):
            raise Rejected(f"Langfuse calls it {answered['mediaId']}, its trace does not")
        url = answered.get("uploadUrl")
        if not url:
            return  # Langfuse has these bytes
        began = time.monotonic()
        with os.fdopen(os.open(path, os.O_RDONLY | NO_LINK), "rb") as file:
            if os.fstat(file.fileno()).st_size != asked["contentLength"]:
                raise Rejected("the file is not what it was")
            answer = self._put(str(url), file, asked)
        took_millis = round((time.monotonic() - began) * 1000)
        self._report(str(answered["mediaId"]), answer, took_millis)
        self._judge(str(url), answer)

    def _put(self, url: str, file: IO[bytes], asked: Mapping[str, Any]) -> Answer:
        """Put the bytes into Langfuse's object store, whose URL is all the permission it takes."""
        headers = {
            "Content-Type": asked["contentType"],
            "Content-Length": str(asked["contentLength"]),
        }
        if "storage.googleapis.com" not in url:  # which fails on headers that were not signed
            headers["x-amz-checksum-sha256"] = asked["sha256Hash"]
            headers["x-ms-blob-type"] = "BlockBlob"
        store = dataclasses.replace(self._backend, url=url, client_certificate=None)
        client = HttpClient(store, timeout_seconds=_UPLOAD_TIMEOUT_SECONDS)
        answer = client.request("PUT", url, file, headers)
        is_page = answer.content_type == "text/html" and answer.words
        if is_page and verdict_of(answer.status) is Verdict.ACCEPTED:  # of a proxy, not of a store
            raise Unavailable(refusal("PUT", url.partition("?")[0], answer), refused=True)
        return answer

    def _report(self, media: str, answer: Answer, took_millis: int) -> None:
        said = {
            "uploadedAt": datetime.now(timezone.utc).isoformat().replace("+00:00", "Z"),
            "uploadHttpStatus": answer.status,
            "uploadTimeMs": took_millis,
        }
        if verdict_of(answer.status) is not Verdict.ACCEPTED:
            said["uploadHttpError"] = answer.words
        self._api.ask("PATCH", f"{self._backend.url}/{media}", said)

    def _judge(self, url: str, answer: Answer) -> None:
        verdict = verdict_of(answer.status)
        if verdict is Verdict.RETRY:
            raise Unavailable(refusal("PUT", url, answer))
        if verdict is not Verdict.ACCEPTED:
            raise Rejected(refusal("PUT", url, answer))
