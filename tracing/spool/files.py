"""Files and directories that belong to one user alone, and are replaced as a whole."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path


class UnsafeDirectory(Exception):
    """A spool directory that somebody else can read, write or replace."""


def check_not_foreign(path: Path) -> None:
    """Raise UnsafeDirectory for a link, or for what belongs to another user than root."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise UnsafeDirectory(f"{path} is a symbolic link")
    if os.name != "nt" and status.st_uid not in (0, os.geteuid()):
        raise UnsafeDirectory(f"{path} belongs to user {status.st_uid}, not to {os.geteuid()}")


def make_private_directory(path: Path) -> None:
    """Create `path` for its owner alone, or check that it is so.

    Raises UnsafeDirectory for a symbolic link, a file or another user's directory, and
    OSError where it cannot be created or written.
    """
    for missing in [parent for parent in reversed(path.parents) if not parent.exists()]:
        missing.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise UnsafeDirectory(f"{path} is a symbolic link")
    if os.name != "nt":
        if status.st_uid != os.geteuid():
            raise UnsafeDirectory(f"{path} belongs to user {status.st_uid}, not to {os.geteuid()}")
        if stat.S_IMODE(status.st_mode) & 0o077:
            path.chmod(0o700)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(13, "the directory is not writable", str(path))


def write_json(path: Path, document: object) -> None:
    """Replace a small private file as a whole, so that no reader sees half of it."""
    new = path.with_suffix(".new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(document, file)
    new.replace(path)
