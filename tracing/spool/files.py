"""Files and directories that belong to one user alone, and are replaced as a whole."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from tracing.places import data_directory

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""For `os.open`: rather fail than follow a link."""


class UnsafePath(OSError):
    """A file or directory that somebody else can read, write or replace."""


def check_not_foreign(path: Path) -> None:
    """Raise UnsafePath for a link, or for what belongs to another user than root."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise UnsafePath(f"{path} is a symbolic link")
    if os.name != "nt" and status.st_uid not in (0, os.geteuid()):
        raise UnsafePath(f"{path} belongs to user {status.st_uid}, not to {os.geteuid()}")


def check_own_file(path: Path) -> None:
    """Raise UnsafePath for what is there and is no file of ours; root may look into anybody's."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "no file"
        raise UnsafePath(f"{path} is {what}, which others may have put there: move it away")
    if os.name != "nt" and os.geteuid() not in (0, status.st_uid):
        raise UnsafePath(
            f"{path} belongs to user {status.st_uid}, not to {os.geteuid()}: move it away"
        )


def make_spool(tracing_directory: Path, name: str) -> Path:
    """The spool of this name, and what else has to be private in a TRACING_DIR.

    Raises as `make_private_directory`.
    """
    check_not_foreign(tracing_directory)
    if not tracing_directory.exists():
        make_private_directory(tracing_directory)
    spools = tracing_directory / "spool"
    kept = data_directory(tracing_directory)
    for path in (spools, spools / name, *([kept] if kept != tracing_directory else [])):
        make_private_directory(path)
    return spools / name


def make_private_directory(path: Path) -> None:
    """Create `path` for its owner alone, or check that it is so.

    Raises UnsafePath for a symbolic link, a file or another user's directory, and
    OSError where it cannot be created or written.
    """
    for missing in [parent for parent in reversed(path.parents) if not parent.exists()]:
        missing.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise UnsafePath(f"{path} is a symbolic link")
    if os.name != "nt":
        if status.st_uid != os.geteuid():
            raise UnsafePath(f"{path} belongs to user {status.st_uid}, not to {os.geteuid()}")
        if stat.S_IMODE(status.st_mode) & 0o077:
            path.chmod(0o700)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(13, "the directory is not writable", str(path))


def write_json(path: Path, document: object) -> None:
    """Replace a small private file as a whole, so that no reader sees half of it."""
    new = path.with_suffix(".new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | NO_LINK, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(document, file)
    new.replace(path)
