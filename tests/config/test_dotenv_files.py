"""What the files say, below what the process has."""

from __future__ import annotations

import logging
import os
import sys
import types
from pathlib import Path

import pytest

from tracing.config.dotenv_files import process_environ
from tracing.config.langfuse import Langfuse
from tracing.config.load import load_settings

KEYS = "LANGFUSE_PUBLIC_KEY=pk-lf-1\nLANGFUSE_SECRET_KEY='sk-lf-2'\n"


def ours() -> dict[str, str]:
    """The variables of ours and the vendors' that are in force."""
    return {
        name: value
        for name, value in process_environ().items()
        if name.startswith(("LANGFUSE_", "OTEL_", "TRACING_"))
    }


def test_files_of_the_working_directory_are_read_and_nothing_is_written(tmp_path: Path) -> None:
    """Quotes and comments are understood; what is not ours is left alone."""
    (tmp_path / ".env").write_text(KEYS + "# a comment\nexport TRACING_DIR=data\nHOME=/nowhere\n")
    before = dict(os.environ)
    found = process_environ()
    assert ours() == {
        "LANGFUSE_PUBLIC_KEY": "pk-lf-1",
        "LANGFUSE_SECRET_KEY": "sk-lf-2",
        "TRACING_DIR": "data",
    }
    assert found["HOME"] == before["HOME"]
    assert dict(os.environ) == before
    settings = load_settings()
    assert [type(backend) for backend in settings.backends.values()] == [Langfuse]
    assert settings.directory == tmp_path / "data"


def test_process_goes_before_local_before_shared_before_the_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty value in the process is a value; in a file it is a line that nobody filled in."""
    script = types.ModuleType("__mp_main__")
    script.__file__ = str(tmp_path / "app" / "agent.py")
    monkeypatch.setitem(sys.modules, "__mp_main__", script)
    (tmp_path / "app").mkdir()
    (tmp_path / ".env.local").write_text("LANGFUSE_RELEASE=local\nTRACING_DIR=\n")
    (tmp_path / ".env").write_text(
        "LANGFUSE_RELEASE=shared\nTRACING_DIR=shared\nTRACING_BACKEND=otlp\nTRACING_SCORES=all\n"
    )
    (tmp_path / "app" / ".env").write_text("TRACING_DIR=script\nTRACING_DRAINER=thread\n")
    monkeypatch.setenv("TRACING_BACKEND", "")
    monkeypatch.setenv("TRACING_SCORES", "false")
    assert ours() == {
        "LANGFUSE_RELEASE": "local",
        "TRACING_DIR": "shared",
        "TRACING_BACKEND": "",
        "TRACING_SCORES": "false",
        "TRACING_DRAINER": "thread",
    }


def test_reading_files_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By python-dotenv's own variable."""
    (tmp_path / ".env").write_text(KEYS)
    monkeypatch.setenv("PYTHON_DOTENV_DISABLED", "1")
    assert ours() == {}


def test_file_that_cannot_be_read_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And none of it is in the log; the other file is read."""
    (tmp_path / ".env.local").write_bytes(b"LANGFUSE_SECRET_KEY=sk-lf-secret\xff\n")
    (tmp_path / ".env").write_text(KEYS)
    assert ours()["LANGFUSE_SECRET_KEY"] == "sk-lf-2"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(tmp_path / ".env.local") in caplog.text
    assert "sk-lf-secret" not in caplog.text


def test_pipe_is_left_alone(tmp_path: Path) -> None:
    """It could be read but once, and might never end."""
    os.mkfifo(tmp_path / ".env")
    assert ours() == {}
