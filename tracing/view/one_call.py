"""One call's page with the drawers of its turns: what the server and the shared file both show."""

from __future__ import annotations

from typing import Any

from tracing.view.call_page import Choice, call_page
from tracing.view.library import Call
from tracing.view.turn_page import turn_page

NO_RECORDING = "No recording: start the session with record=True to hear it here"


def page_of(call: Call, choice: Choice, *, withheld: bool = False) -> dict[str, Any]:
    """The context of a call's page, with the drawer of the chosen turn."""
    context = call_page(call.described, call.tree, choice, withheld=withheld)
    return {
        **context,
        "links": [],
        "audio": "",
        "audio_offset": 0,
        "silent": NO_RECORDING,
        "drawer": None if choice.turn is None else drawer_of(call, choice.turn, context),
    }


def drawer_of(call: Call, number: int, page: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """The context of one turn's drawer; None where there is no such turn."""
    rows = (page or call_page(call.described, call.tree, Choice()))["rows"]
    at = next((row["at"] for row in rows if row["number"] == number), None)
    return turn_page(call.described, call.tree, number, at)
