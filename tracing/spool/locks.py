"""Advisory file locks: how one process knows that another is alive."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

if sys.platform == "win32":  # pragma: no cover - not tried on Windows
    import msvcrt

    # Windows locks are mandatory: lock one byte far behind any data, so that reads still work.
    _LOCK_OFFSET = 2**40

    def lock_file(fd: int, *, shared: bool = False) -> None:
        """Take the file's lock without waiting; OSError where it cannot be had."""
        position = os.lseek(fd, 0, os.SEEK_CUR)
        try:
            os.lseek(fd, _LOCK_OFFSET, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(fd, position, os.SEEK_SET)

else:
    import fcntl

    def lock_file(fd: int, *, shared: bool = False) -> None:
        """Take the file's lock without waiting; OSError where it cannot be had.

        The kernel frees it when the last descriptor of this open file is closed, so also
        when the process dies.
        """
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def try_lock(fd: int) -> bool:
    """Whether the file's exclusive lock could be had; False when somebody holds it."""
    return _is_locked_by_us(fd)


def is_free(fd: int) -> bool:
    """Whether nobody holds the file's lock; those who ask at the same time do not count."""
    return _is_locked_by_us(fd, shared=True)


def _is_locked_by_us(fd: int, *, shared: bool = False) -> bool:
    try:
        lock_file(fd, shared=shared)
    except OSError:
        return False
    return True


def is_locked(path: str | os.PathLike[str]) -> bool:
    """Whether a living process holds the file's lock; False for a file that is not there."""
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not is_free(fd)
    finally:
        os.close(fd)


def why_no_locks(directory: Path, lock: Callable[[int], None] = lock_file) -> str:
    """Why files in this directory cannot be locked; "" where they can, or where none can be made.

    Some network and FUSE file systems refuse, others grant a lock to everybody. There, who lives
    and who drains cannot be known.
    """
    path = directory / f"locks-{secrets.token_hex(4)}"
    try:
        fds = [os.open(path, os.O_RDWR | os.O_CREAT, 0o600) for _ in range(2)]
    except OSError:
        return ""
    try:
        lock(fds[0])
        with contextlib.suppress(OSError):
            lock(fds[1])
            return "a file that one has locked can be locked by another"
    except OSError as error:
        return error.strerror or str(error)
    finally:
        for fd in fds:
            os.close(fd)
        path.unlink(missing_ok=True)
    return ""


def no_locks(directory: Path, why: str) -> str:
    """What there is to say of a directory without file locks, and the mend."""
    return (
        f"TRACING_DIR is {str(directory)!r}, whose file system has no file locks ({why}), so that "
        "it cannot be known who delivers: give a directory on a local disk"
    )


class FileLock:
    """A lock file that this process holds; a forked child leaves it to its parent."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path

    @classmethod
    def take(cls, path: Path, *, pauses_seconds: Sequence[float] = (0.0,)) -> FileLock | None:
        """The lock, tried after each of these pauses; None where another process has it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        _open_fds.add(fd)
        if not any(_try_after(pause, fd) for pause in pauses_seconds):
            _close(fd)
            return None
        return cls(fd, path)

    def read(self) -> str:
        """What the file holds."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        return os.read(self._fd, 2**16).decode(errors="replace")

    def write(self, text: str) -> None:
        """Have the file hold this."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.ftruncate(self._fd, 0)
        os.write(self._fd, text.encode())

    def touch(self) -> None:
        """Change the time of the file, which takes no room."""
        with contextlib.suppress(OSError):
            os.utime(self._fd)

    def is_in_place(self) -> bool:
        """Whether the file is still the one under its path."""
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except OSError:
            return False

    def release(self) -> None:
        """Leave it to whoever comes next."""
        _close(self._fd)


def leave_locks_to_parent() -> None:
    """In a forked child: the locks of this process are the parent's, and end with it."""
    for fd in list(_open_fds):
        _close(fd)


def _try_after(pause_seconds: float, fd: int) -> bool:
    time.sleep(pause_seconds)
    return try_lock(fd)


_open_fds: set[int] = set()


def _close(fd: int) -> None:
    if fd in _open_fds:
        _open_fds.discard(fd)
        os.close(fd)
