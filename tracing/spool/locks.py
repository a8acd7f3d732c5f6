"""Advisory file locks: how one process knows that another is alive."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":  # pragma: no cover - not tried on Windows
    import msvcrt

    # Windows locks are mandatory: lock one byte far behind any data, so that reads still work.
    _LOCK_OFFSET = 2**40

    def try_lock(fd: int) -> bool:
        """Take the file's exclusive lock without waiting; False when somebody holds it."""
        position = os.lseek(fd, 0, os.SEEK_CUR)
        try:
            os.lseek(fd, _LOCK_OFFSET, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(fd, position, os.SEEK_SET)
        return True

else:
    import fcntl

    def try_lock(fd: int) -> bool:
        """Take the file's exclusive lock without waiting; False when somebody holds it.

        The kernel frees it when the last descriptor of this open file is closed, so also
        when the process dies.
        """
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def is_free(fd: int) -> bool:
    """Whether nobody holds the file's lock; those who ask at the same time do not count."""
    if sys.platform == "win32":  # pragma: no cover - not tried on Windows
        return try_lock(fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
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
