"""What set-up leaves on disk: private to its owner, without secrets and withheld content."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from livekit.agents.telemetry import tracer as livekit_tracer
from opentelemetry import trace

from tests.fakes import RecordingServer, call, run_python, until
from tracing import ConfigError, setup_tracer
from tracing.capture.current import current_capture
from tracing.deliver.status import read_status
from tracing.spool.segments import segment_paths

SECRET = "the secret text"
SECRET_KEY = "sk-lf-5678-very-secret"


def test_password_in_an_endpoint_is_neither_logged_nor_on_disk(
    in_thread: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Some people write http://user:password@host."""
    with caplog.at_level(logging.DEBUG):
        handle = setup_tracer("otlp", endpoint=f"http://user:{SECRET_KEY}@127.0.0.1:1")
        call()
        assert handle.directory is not None
        until(lambda: read_status(handle.directory or tmp_path))
    assert "5678" not in caplog.text
    assert b"5678" not in everything_under(tmp_path)


def everything_under(directory: Path) -> bytes:
    """Every byte of every file, and every name."""
    found = b""
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # some come and go
            found += str(path).encode() + path.read_bytes()
    return found


def test_directories_and_files_are_private(server: RecordingServer, tmp_path: Path) -> None:
    """0700 and 0600, whatever the umask; the store, the log and the status among them."""
    old = os.umask(0)
    try:
        handle = setup_tracer(["otlp", "local"], endpoint=server.url)
        call()
        assert handle.flush(20)
        until(lambda: read_status(handle.directory or tmp_path))
        paths = [*(tmp_path / ".tracing").rglob("*")]
    finally:
        os.umask(old)
    assert {path.name for path in paths} >= {"calls.db", "status.json", "drainer.log", "acks"}
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / ".tracing", *paths]}
    wrong = [p for p, mode in modes.items() if mode != (0o700 if p.is_dir() else 0o600)]
    assert wrong == []


def test_symbolic_link_as_directory_is_refused(tmp_path: Path) -> None:
    """Somebody else may have put it there."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError) as caught:
        setup_tracer("local", directory=tmp_path / "link")
    assert caught.value.problems == (
        f"TRACING_DIR: {tmp_path / 'link'} is a symbolic link; give a directory of your own",
    )
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_symbolic_link_as_spool_is_refused(tmp_path: Path) -> None:
    """Also below a directory that is one's own."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".tracing").mkdir(mode=0o700)
    (tmp_path / ".tracing" / "spool").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError) as caught:
        setup_tracer("local")
    assert caught.value.problems == (
        f"TRACING_DIR: {tmp_path / '.tracing' / 'spool'} is a symbolic link; "
        "give a directory of your own",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("place", [".tracing", ".tracing/spool"])
def test_foreign_directory_is_refused(tmp_path: Path, place: str) -> None:
    """Its owner could read and replace what is in it."""
    (tmp_path / ".tracing" / "spool").mkdir(parents=True, mode=0o700)
    os.chown(tmp_path / place, 12345, 12345)
    with pytest.raises(ConfigError) as caught:
        setup_tracer("local")
    assert caught.value.problems == (
        f"TRACING_DIR: {tmp_path / place} belongs to user 12345, not to 0; "
        "give a directory of your own",
    )


def test_file_in_place_of_the_directory_is_told(tmp_path: Path) -> None:
    """With its name and the system's words."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        setup_tracer("local", directory=tmp_path / "file")
    assert caught.value.problems == (
        f"TRACING_DIR is {str(tmp_path / 'file')!r}: Not a directory; "
        "give a directory that this user can write",
    )


READ_ONLY = """
import os
from tracing import ConfigError, setup_tracer
if os.getuid() == 0:
    os.setuid(65534)
try:
    setup_tracer("local", directory="read-only")
except ConfigError as error:
    print(*error.problems, flush=True)
os._exit(0)
"""


def test_read_only_directory_is_told(tmp_path: Path) -> None:
    """Before the first call, not with the first lost span."""
    tmp_path.chmod(0o755)
    (tmp_path / "read-only").mkdir(mode=0o500)
    if os.geteuid() == 0:
        os.chown(tmp_path / "read-only", 65534, 65534)
    told = run_python(READ_ONLY, cwd=tmp_path)
    assert told == (
        f"TRACING_DIR is {str(tmp_path / 'read-only')!r}: Permission denied; "
        "give a directory that this user can write\n"
    )


def speak() -> None:
    """A call in which the secret is said, called, raised and spoken, and some is left open."""
    known = {"lk.job_id": "AJ_1", "lk.pii.room_name": f"room of {SECRET}"}
    with livekit_tracer.start_as_current_span("job_entrypoint", attributes=known):
        identity = {"lk.pii.participant_identity": f"{SECRET} on the phone"}
        with livekit_tracer.start_as_current_span("user_turn", attributes=identity) as turn:
            turn.set_attribute("lk.pii.user_transcript", SECRET)
            turn.add_event("gen_ai.user.message", {"content": SECRET})
        with livekit_tracer.start_as_current_span("function_tool") as tool:
            tool.set_attribute("gen_ai.tool.call.arguments", SECRET)
            tool.record_exception(ValueError(SECRET))
            tool.set_status(trace.StatusCode.ERROR, SECRET)
    turn = livekit_tracer.start_span("agent_turn", attributes={"lk.pii.user_input": SECRET})
    assert turn.is_recording()
    capture = current_capture()
    assert capture is not None
    capture.processor.record_open_spans()


def _broken(text: str) -> str:
    raise RuntimeError(f"no mask for {text}")


@pytest.mark.parametrize(
    ("options", "environ"),
    [
        ({"capture_content": False}, {}),
        ({}, {"TRACING_CAPTURE_CONTENT": "0"}),
        ({}, {"LIVEKIT_TELEMETRY_ALLOW_PII": "0"}),
        ({"mask": lambda text: text.replace(SECRET, "***")}, {}),
        ({"mask": _broken}, {}),
        ({"capture_content": False, "mask": _broken}, {}),
    ],
    ids=["argument", "our variable", "LiveKit's variable", "mask", "broken mask", "both"],
)
def test_what_must_not_leave_is_on_no_disk(
    in_thread: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: dict[str, Any],
    environ: dict[str, str],
) -> None:
    """Not in a segment, not in a start record, not in the store, the log or the loss file."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    handle = setup_tracer(["otlp", "local"], endpoint="http://127.0.0.1:1", **options)
    speak()
    assert handle.directory is not None
    until(lambda: (tmp_path / ".tracing" / "calls.db").exists())
    until(lambda: b"function_tool" in everything_under(tmp_path / ".tracing"))
    assert len(segment_paths(handle.directory)) == 1
    assert SECRET.encode() not in everything_under(tmp_path)


def test_content_is_on_disk_when_nobody_withholds_it(in_thread: None, tmp_path: Path) -> None:
    """The other tests would pass if nothing were ever written."""
    setup_tracer("otlp", endpoint="http://127.0.0.1:1")
    speak()
    assert SECRET.encode() in everything_under(tmp_path)
