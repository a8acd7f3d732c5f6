"""LiveKit's own report of a session, written beside the local store when the session ends.

A process that is killed leaves none; everything else about its calls is in their spans.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracing.capture.redaction import Redaction
from tracing.safe_text import get_logger
from tracing.store.reports import DIRECTORY_NAME, write_report

logger = get_logger(__name__)

_LET_GO_SECONDS = 0.001
"""Whoever starts a thread waits until it pauses, and that is the voice loop."""
_CONTENT = ("room", "events", "audio_recording_path")
"""Of a report, what carries what somebody said or is called."""
_BARE_ITEM = frozenset(
    {
        "id",
        "type",
        "role",
        "interrupted",
        "created_at",
        "metrics",
        "call_id",
        "name",
        "is_error",
        "old_agent_id",
        "new_agent_id",
    }
)
"""Of an item of the chat history, what does not."""


class SessionReports:
    """Where the reports of this process's sessions go, and what may be in them."""

    def __init__(self, tracing_directory: Path, redaction: Redaction, *, withhold: bool) -> None:
        self._directory = tracing_directory / DIRECTORY_NAME
        self._redaction = redaction
        self._withhold = withhold

    def write(self, name: str, report: Any, *, withhold: bool = False) -> None:
        """Write a report under a name, in a thread: it takes milliseconds.

        The process's end waits for it.
        """
        threading.Thread(
            target=self._write,
            args=(self._directory / name, report, withhold or self._withhold),
            name="tracing-report",
        ).start()

    def _write(self, path: Path, report: Any, withhold: bool) -> None:
        time.sleep(_LET_GO_SECONDS)
        try:
            document = report.to_dict()
            if withhold:
                document = bare_report(document)
            write_report(path, self._redaction.document(document))
        except Exception:
            logger.warning("the report of a session could not be kept", exc_info=True)


def bare_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report of which only numbers, states and times are left."""
    bare = {key: value for key, value in report.items() if key not in _CONTENT}
    items = (report.get("chat_history") or {}).get("items", [])
    bare["chat_history"] = {
        "items": [
            {key: value for key, value in item.items() if key in _BARE_ITEM} for item in items
        ]
    }
    return bare
