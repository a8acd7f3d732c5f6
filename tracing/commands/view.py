"""`view`: calls in a browser, one in the terminal, or one as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tracing.commands.options import Directory, Strict
from tracing.commands.surroundings import (
    chosen_call,
    failures_said,
    is_file,
    make_console,
    opened,
    set_up,
)
from tracing.config.backends import STORE_NAME
from tracing.places import data_directory
from tracing.read.selection import ChoiceError

if TYPE_CHECKING:
    from tracing.view.beside.around import Around
    from tracing.view.library import Call

EXAMPLES = (
    "python -m tracing view",
    "python -m tracing view 4bf9 --terminal",
    "python -m tracing view 4bf9 --html call.html --withheld",
    "python -m tracing view calls.json --port 9000 --no-browser",
)


def view(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CALL] [FILES]",
            help="A session id or the beginning of a trace id, and files of OTLP JSON.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write one call as one self-contained page, and end.")
    ] = None,
    withheld: Annotated[
        bool, typer.Option("--withheld", help="With --html: without anything that was said.")
    ] = False,
    terminal: Annotated[
        bool, typer.Option("--terminal", help="Print one call's waterfall, and end.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="PORT", help="Listen here; else on 8765 or any."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Listen here; where others reach it, a token is asked for.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open a browser on it.")] = True,
    strict: Strict = False,
    *,
    directory: Directory,
) -> None:
    """Look at calls in a browser, at one in the terminal, or save one as a page."""
    with failures_said():
        # Late, because the other commands can do without.
        from tracing.view.library import Library, call_of

        files = [Path(one) for one in what or () if is_file(one)]
        calls = [one for one in what or () if not is_file(one)]
        if len(calls) > 1:
            raise ChoiceError(f"{calls[1]!r} is no file, and one call was given: {calls[0]!r}")
        call = calls[0] if calls else None
        if withheld and html is None:
            raise ChoiceError("--withheld goes with --html FILE")
        if terminal and html is not None:
            raise ChoiceError("--terminal goes without --html")
        # Late, because the other commands can do without.
        from tracing.commands.view_links import view_links
        from tracing.view.beside.around import Around

        around = Around(None if files else data_directory(directory), set_up(view_links))
        with opened(files, directory, strict) as source:
            if html is not None or terminal:
                chosen = chosen_call(call, source, files, directory)
                found = source.spans(chosen.trace_id), source.log_lines(chosen.trace_id)
                _show_one(call_of(*found), html, around, withheld=withheld)
                return
            from tracing.view.server import serve

            name = ", ".join(map(str, files)) or str(data_directory(directory) / STORE_NAME)
            opens = chosen_call(call, source, files, directory).trace_id if call else ""
            library = Library(source, name, around)
            serve(library, host=host, port=port, browser=browser, call=opens)


def _show_one(call: Call, html: Path | None, around: Around, *, withheld: bool) -> None:
    """Print a call's waterfall, or write its page."""
    if html is None:
        from tracing.terminal.waterfall import print_waterfall

        print_waterfall(call.described, call.tree, make_console())
        return
    from tracing.view.share import share

    html.write_text(share(call, around, withheld=withheld), encoding="utf-8")
    typer.echo(f"written: {html}")
