"""How a drain is going, as a file: written by the drainer, read by the handle and the doctor."""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tracing.safe_text import get_logger, safe
from tracing.spool.files import write_json

logger = get_logger(__name__)

_FILE_NAME = "status.json"
_NOTICES = "notices"

State = Literal["delivering", "retrying", "paused"]


@dataclass
class BackendStatus:
    """One backend's state; times are Unix seconds."""

    name: str
    url: str
    state: State = "delivering"
    since: float = field(default_factory=time.time)
    detail: str = ""
    delivered_spans: int = 0
    pending_bytes: int = 0
    asking_since: float = 0.0
    """When the request under way was begun; 0.0 between requests."""
    beside: str = ""
    """The backend that this one goes beside; see `Backend.beside`."""
    tenant: str = ""
    """Whose spans these are, without a secret; see `tracing.config.tenants`."""


def write_status(directory: Path, backends: list[BackendStatus]) -> None:
    """Replace the spool's status file."""
    document = {
        "pid": os.getpid(),
        "at": time.time(),
        "backends": [_shown(backend) for backend in backends],
    }
    write_json(directory / _FILE_NAME, document)


def _shown(backend: BackendStatus) -> dict[str, Any]:
    """The fields of a backend's status; their texts may leave."""
    fields = asdict(backend)
    return {key: safe(value) if isinstance(value, str) else value for key, value in fields.items()}


def read_status(directory: Path) -> dict[str, Any]:
    """The last status: `{"pid", "at", "backends": [...]}`; empty where none can be read."""
    try:
        document = json.loads((directory / _FILE_NAME).read_text())
        backends = [asdict(BackendStatus(**backend)) for backend in document["backends"]]
        return {"pid": int(document["pid"]), "at": float(document["at"]), "backends": backends}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def status_written_at(directory: Path) -> float:
    """When the status was last written, by the file's own clock; 0.0 where none is."""
    try:
        return (directory / _FILE_NAME).stat().st_mtime
    except OSError:
        return 0.0


def read_backends(directory: Path) -> list[dict[str, Any]]:
    """What the drainer said last of each backend: the fields of `BackendStatus`."""
    backends: list[dict[str, Any]] = read_status(directory).get("backends", [])
    return backends


def post_notice(directory: Path, backend: str, level: int, text: str) -> None:
    """Leave one sentence for whichever agent process logs it first; a newer one replaces it."""
    notices = directory / _NOTICES
    notices.mkdir(mode=0o700, exist_ok=True)
    write_json(notices / f"{backend}.json", [level, safe(text)])


def take_notices(directory: Path) -> list[tuple[int, str]]:
    """The notices that no other process has taken: (logging level, sentence)."""
    taken: list[tuple[int, str]] = []
    for path in sorted((directory / _NOTICES).glob("*.json")):
        mine = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            path.rename(mine)
            level, text = json.loads(mine.read_text())
            taken.append((int(level), str(text)))
        except (OSError, ValueError, TypeError):
            logger.debug("cannot read %s", path, exc_info=True)
        mine.unlink(missing_ok=True)
    return taken
