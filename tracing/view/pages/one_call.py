"""One call's page with the drawers of its turns: what the server and the shared file both show."""

from __future__ import annotations

from typing import Any

from tracing.view.beside.around import NOTHING, Around
from tracing.view.beside.player import player
from tracing.view.library import Call
from tracing.view.pages.call_page import Choice, call_page
from tracing.view.pages.turn_page import turn_page


def page_of(
    call: Call,
    choice: Choice,
    around: Around = NOTHING,
    *,
    withheld: bool = False,
    shared: bool = False,
) -> dict[str, Any]:
    """The context of a call's page, with the drawer of the chosen turn.

    `shared`: for a file that has no server.
    """
    shown = {**call.shown, "log": [] if withheld else call.logged}
    context = {
        **call_page(call.described, call.row, shown, choice, withheld=withheld),
        **player(around.directory, call, withheld=withheld, shared=shared),
        "links": around.links(call.described["trace_id"]),
    }
    return {**context, "drawer": choice.turn and drawer_of(call, choice.turn, context)}


def drawer_of(call: Call, number: int, page: dict[str, Any]) -> dict[str, Any] | None:
    """The context of one turn's drawer; None where there is no such turn."""
    at = next((row["at"] for row in page["rows"] if row["number"] == number), None)
    found = turn_page(call.described, call.tree, number, at)
    lines = [line for line in page["log"] if line.get("turn") == number]
    return found and {**found, "silent": page["silent"], "log": lines}
