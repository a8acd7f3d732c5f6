"""Locks: who lives is known without disturbing who asks, or who wants to live."""

from __future__ import annotations

import os
from pathlib import Path

from tests.fakes import run_python
from tracing.spool.locks import is_locked, try_lock


def test_held_lock_is_seen_and_freed_with_its_last_descriptor(tmp_path: Path) -> None:
    """A file is locked as long as somebody has it open who took the lock."""
    path = tmp_path / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    assert is_locked(path) is False
    assert try_lock(fd) is True
    assert is_locked(path) is True
    copy = os.dup(fd)
    os.close(fd)
    assert is_locked(path) is True
    os.close(copy)
    assert is_locked(path) is False


def test_missing_file_is_not_locked(tmp_path: Path) -> None:
    """Nobody holds what is not there."""
    assert is_locked(tmp_path / "gone") is False


ASK = """
import os, sys
from tracing.spool.locks import is_locked

children = [os.fork() for _ in range(2)]
seen = sum(is_locked(sys.argv[1]) for _ in range(3000))
os.write(1, f"{seen}\\n".encode())
if 0 not in children:
    for child in children:
        os.waitpid(child, 0)
os._exit(0)
"""


def test_those_who_ask_do_not_see_each_other(tmp_path: Path) -> None:
    """Several processes look at a dead segment at once: it stays dead for all of them."""
    (tmp_path / "file").touch()
    assert set(run_python(ASK, tmp_path / "file").split()) == {"0"}
