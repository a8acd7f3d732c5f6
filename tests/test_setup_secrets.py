"""No secret of the settings is in any file, log line or answer of ours, whatever a server says."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.fakes import RecordingServer, Reply, call, partial_success, until
from tests.test_setup_privacy import everything_under
from tracing import setup_tracer
from tracing.cli import app
from tracing.deliver.status import read_backends
from tracing.spool.losses import read_losses


def _within_base64(part: str) -> Iterator[str]:
    """What stands for it in base64, whatever is before and behind it."""
    for before in range(3):
        encoded = base64.b64encode(b" " * before + part.encode()).decode()
        yield encoded[-(-8 * before // 6) : 8 * (before + len(part)) // 6]


SECRET = "sk-lf-quartz-very-secret"
SENT = ("quartz", *_within_base64("quartz"))
"""Parts of the secret, as it is and within base64 at any offset: none that a number may have."""


class ReflectingServer(RecordingServer):
    """Says what it was asked, headers and path, as some gateways do; and colours it."""

    def __init__(self, answer: Callable[[str], Reply]) -> None:
        super().__init__()
        self._answer = answer

    def choose(self, headers: Mapping[str, str], spans: tuple[Any, ...]) -> Reply:
        words = f"\x1b[31m{json.dumps(dict(headers))} {headers.get('authorization', '')} {SECRET}"
        return self._answer(words)


ANSWERS: Mapping[str, Callable[[str], Reply]] = {
    "401": lambda words: Reply(401, words.encode()),
    "400": lambda words: Reply(400, words.encode()),
    "503": lambda words: Reply(503, words.encode()),
    "redirect": lambda words: Reply(302, b"", {"Location": f"https://sso/?state={SECRET}"}),
    "accepted in part": lambda words: partial_success(1, words),
}

SETTINGS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "header": lambda url: {"endpoint": url, "headers": {"Authorization": f"Bearer {SECRET}"}},
    "header as curl has it": lambda url: {
        "endpoint": url,
        "headers": f"Authorization: Bearer {SECRET}",
    },
    "header of a vendor": lambda url: {"endpoint": url, "headers": {"x-honeycomb-team": SECRET}},
    "password": lambda url: {"endpoint": url.replace("//", f"//user:{SECRET}@")},
    "key pair": lambda url: {"base_url": url, "public_key": "pk-lf-1", "secret_key": SECRET},
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_server_that_gives_back_what_it_got_reveals_nothing(
    in_thread: None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    settings: str,
    answer: str,
) -> None:
    """Status, notices, losses, quarantine, log and doctor say the rest of its words."""
    with ReflectingServer(ANSWERS[answer]) as server, caplog.at_level(logging.DEBUG, "tracing"):
        arguments = SETTINGS[settings](server.url)
        handle = setup_tracer("langfuse" if settings == "key pair" else "otlp", **arguments)
        call()
        spool = handle.directory
        assert spool is not None
        until(lambda: read_losses(spool) or _is_waiting(spool))
        doctor = CliRunner().invoke(app, ["doctor", "--dir", str(spool.parents[1])]).output
        handle.shutdown()
    said = everything_under(tmp_path).decode("utf-8", "replace") + caplog.text + doctor
    assert [part for part in SENT if part in said] == []
    assert "\x1b" not in doctor + caplog.text


def _is_waiting(spool: Path) -> bool:
    return any(one["state"] != "delivering" and one["detail"] for one in read_backends(spool))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"http://127.0.0.1:1/v1/traces?api-key={SECRET}"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://user:{SECRET}@127.0.0.1:1"),
        ("HTTP_PROXY", f"http://user:{SECRET}@127.0.0.1:1"),
        ("HTTP_PROXY", f"http://us er:{SECRET}@[127.0.0.1:1"),
        ("HTTP_PROXY", f"ftp://user:{SECRET}@127.0.0.1:1"),
        ("HTTP_PROXY", f"user:{SECRET}@127.0.0.1:1"),
        ("HTTP_PROXY", f"http://user:{SECRET}/x?y@127.0.0.1:1"),
    ],
)
def test_secret_in_an_address_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
    in_thread: None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    value: str,
) -> None:
    """A key in the query, a password, a proxy that cannot be read: tried or refused, never told."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost.invalid:1")
    monkeypatch.setenv(name, value)
    said = ""
    with caplog.at_level(logging.DEBUG):
        try:
            spool = setup_tracer("otlp").directory
            call()
            assert spool is not None
            until(lambda: _is_waiting(spool))
        except ValueError as error:
            said = str(error)
    said += caplog.text + everything_under(tmp_path).decode("utf-8", "replace")
    assert [part for part in SENT if part in said] == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"headers": {f"Authorization: Bearer {SECRET}": ""}},
        {"headers": {"Authorization": f"Bearer {SECRET}\n"}},
        {"headers": [SECRET]},
        {"endpoint": f"user:{SECRET}@127.0.0.1:4318"},
        {"endpoint": f"http://user:{SECRET}@[127.0.0.1:4318"},
        {"endpoint": f"http://127.0.0.1:port/?key={SECRET}"},
        {"endpoint": f"127.0.0.1/v1/traces?key={SECRET}"},
    ],
)
def test_setting_that_cannot_work_is_refused_without_its_secret(
    caplog: pytest.LogCaptureFixture, arguments: dict[str, Any]
) -> None:
    """What is wrong is said, and where; also in the log of who sets up without `strict`."""
    given = {"endpoint": "http://127.0.0.1:4318", **arguments}
    handle = setup_tracer("otlp", strict=False, **given)
    assert not handle.enabled
    assert "1 problem:" in caplog.text
    assert [part for part in SENT if part in caplog.text] == []
