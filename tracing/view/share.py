"""One call as one file: the page with every drawer in it, which needs nothing else."""

from __future__ import annotations

import base64
import hashlib

from tracing import __version__
from tracing.view.beside.around import NOTHING, Around
from tracing.view.library import Call
from tracing.view.pages.call_page import Choice
from tracing.view.pages.one_call import drawer_of, page_of
from tracing.view.render import asset, render


def share(call: Call, around: Around = NOTHING, *, withheld: bool = False) -> str:
    """The call's page as self-contained HTML.

    Its recording is in it, up to 10 MB. `withheld` leaves out everything that anybody said or that
    was passed to a tool, names, rooms, messages of errors, attributes and the recording; numbers,
    kinds, models and the names of tools stay.
    """
    context = page_of(call, Choice(dense=False), around, withheld=withheld, shared=True)
    drawers = (drawer_of(call, row["number"], context) for row in context["rows"] if row["number"])
    style, script = asset("view.css"), asset("view.js")
    return render(
        "share.html",
        shared=True,
        base="",
        page="call",
        store="",
        style=style,
        script=script,
        policy=_policy(style, script),
        version=__version__,
        drawers=[drawer for drawer in drawers if drawer is not None],
        **{**context, "drawer": None},
    )


def _policy(style: str, script: str) -> str:
    """What the file may do: nothing but its own style and script."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "img-src data:",
            "media-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
