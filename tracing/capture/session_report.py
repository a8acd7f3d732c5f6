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
from tracing.harmless.filter import WITHHELD
from tracing.safe_text import get_logger
from tracing.store.reports import DIRECTORY_NAME, write_report

logger = get_logger(__name__)

_LET_GO_SECONDS = 0.001
"""Whoever starts a thread waits until it pauses, and that is the voice loop."""
_PARTS = frozenset(
    {
        *("options", "preemptive_generation", "recording_options", "usage", "errors"),
        *("chat_history", "items", "metrics"),
    }
)
"""Of a report without content, the objects and lists that are looked into."""
_TEXTS = frozenset(
    {
        *("job_id", "room_id", "sdk_version", "agent_name", "close_reason"),
        *("id", "type", "role", "call_id", "name", "old_agent_id", "new_agent_id"),
        *("provider", "model", "model_name", "model_provider"),
    }
)
"""And the texts that stay; numbers and booleans do."""


class SessionReports:
    """Where the reports of this process's sessions go, and what may be in them."""

    def __init__(self, tracing_directory: Path, redaction: Redaction) -> None:
        self._directory = tracing_directory / DIRECTORY_NAME
        self._redaction = redaction

    def write(self, name: str, report: Any, *, withhold: bool) -> None:
        """Write a report under a name, in a thread: it takes milliseconds.

        The process's end waits for it.
        """
        threading.Thread(
            target=self._write,
            args=(self._directory / name, report, withhold),
            name="tracing-report",
        ).start()

    def _write(self, path: Path, report: Any, withhold: bool) -> None:
        time.sleep(_LET_GO_SECONDS)
        try:
            document = report.to_dict()
            if withhold:
                document = bare_report(document)
            write_report(path, self._redaction.document(document))
        except Exception as error:
            told = self._redaction.told(error, withhold=withhold)
            logger.warning("the report of a session could not be kept", exc_info=told)


def bare_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report of which numbers, states, times and technical names are left."""
    bare: dict[str, Any] = _bare(report)
    items = (bare.get("chat_history") or {}).get("items", ())
    failed = {item.get("name") for item in items if item.get("is_error") is True}
    worked = {item.get("name") for item in items if item.get("is_error") is False}
    for item in items:  # what never went well may be no tool, but what a model made up
        if item.get("name") in failed - worked - {None}:
            item["name"] = WITHHELD
    return bare


def _bare(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _bare(inner) for key, inner in value.items() if _stays(key, inner)}
    if isinstance(value, list):
        return [_bare(item) for item in value if _stays("items", item)]
    return value


def _stays(key: str, value: Any) -> bool:
    if isinstance(value, str):
        return key in _TEXTS
    return key in _PARTS or isinstance(value, (bool, int, float))
