"""Locks: who lives is known without disturbing who asks, or who wants to live."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes import run_python
from tracing.spool.locks import is_locked, no_locks, try_lock, why_no_locks


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


def refuse(fd: int) -> None:
    """A file system that knows no locks, as some network and FUSE file systems."""
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_directory_in_which_files_can_be_locked(tmp_path: Path) -> None:
    """Nothing is wrong, and nothing is left behind."""
    assert why_no_locks(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lock", "why"),
    [
        (refuse, "No locks available"),
        (lambda fd: None, "a file that one has locked can be locked by another"),
    ],
    ids=["refused", "granted to all"],
)
def test_file_system_without_locks_is_told(
    tmp_path: Path, lock: Callable[[int], None], why: str
) -> None:
    """It refuses, or says yes to everybody; the mend is in the sentence."""
    assert why_no_locks(tmp_path, lock) == why
    assert list(tmp_path.iterdir()) == []
    assert no_locks(tmp_path, why) == (
        f"TRACING_DIR is '{tmp_path}', whose file system has no file locks ({why}), so that it "
        "cannot be known who delivers: give a directory on a local disk"
    )


def test_directory_in_which_no_file_can_be_made_is_not_judged(tmp_path: Path) -> None:
    """Something else is wrong there, and said elsewhere."""
    assert why_no_locks(tmp_path / "gone") == ""


WITHOUT_LOCKS = """
import errno, fcntl, os, sys
from pathlib import Path

def flock(fd, operation):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

fcntl.flock = flock
from tracing import setup_tracer
from tracing.doctor.kept import look_at_directory

try:
    setup_tracer("local", directory=sys.argv[1])
except ValueError as error:
    print(error)
print([check.line for check in look_at_directory(Path(sys.argv[1]))])
"""


def test_set_up_refuses_a_file_system_without_locks_and_the_doctor_says_so(tmp_path: Path) -> None:
    """Both name the mend; neither takes what it cannot know for fine."""
    directory = tmp_path / "data"
    told = no_locks(directory, "No locks available")
    assert run_python(WITHOUT_LOCKS, directory).splitlines() == [
        "tracing cannot be set up, 1 problem:",
        f"  - {told}",
        repr([f"directory: {told}"]),
    ]
