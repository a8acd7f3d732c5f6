"""The command line: `python -m tracing report | transcript | view | replay | doctor`."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from tracing.commands.doctor import Check, check_directory, check_spools, check_store
from tracing.config.backends import STORE_NAME
from tracing.otlp_json import LeftOut, OtlpJsonError
from tracing.places import data_directory
from tracing.read.compare import compare
from tracing.read.selection import ChoiceError, choose, choose_call, parse_time
from tracing.read.sources import RecordedFiles, Source, load_calls
from tracing.safe_text import get_logger, safe
from tracing.store.call_rows import CallSummary
from tracing.store.reports import find_reports
from tracing.store.store import Store
from tracing.terminal.comparison import print_comparison
from tracing.terminal.report import print_report, to_json, write_csv
from tracing.terminal.transcript import print_transcript

if TYPE_CHECKING:
    from tracing.config.settings import Settings
    from tracing.view.beside.around import Around
    from tracing.view.library import Call

CHECKS: list[Callable[[Path], Sequence[Check]]] = [check_directory, check_spools, check_store]
"""What `doctor` looks at, in this order; a check that raises counts as could not run."""

_PIPED_COLUMNS = 200

T = TypeVar("T")

logger = get_logger(__name__)

app = typer.Typer(
    help="Read what LiveKit agents did.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_Files = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Files of OTLP JSON, also packed by gzip or zstd, `-` for standard input; without"
        " them the local store is read."
    ),
]
_Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse a file of which anything cannot be read.")
]
_Sides = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--compare",
        metavar="A B",
        help="Compare two sides: each a session id, the beginning of a trace id, START..END,"
        " or NAME=VALUE such as preemptive_generation=true.",
    ),
]
_Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Calls from 2026-10-01, or 2h for 2 hours ago."),
]
_Until = Annotated[str | None, typer.Option(metavar="TIME", help="Calls before this.")]
_Agent = Annotated[
    str | None, typer.Option(metavar="PATTERN", help="Calls of this agent, as in clinic*.")
]
_Model = Annotated[str | None, typer.Option(metavar="PATTERN", help="Calls that used this model.")]
_Directory = Annotated[
    Path, typer.Option("--dir", envvar="TRACING_DIR", help="Where the traces are kept.")
]


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows ASCII only
    app()


@app.command()
def report(
    files: _Files = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a row per turn.")] = False,
    sides: _Sides = None,
    since: _Since = None,
    until: _Until = None,
    agent: _Agent = None,
    model: _Model = None,
    last: Annotated[int | None, typer.Option(min=1, help="The last so many calls.")] = None,
    strict: _Strict = False,
    directory: _Directory = Path(".tracing"),
) -> None:
    """Show calls: each turn's latency and where it went, interruptions, tools, errors, usage."""
    with _failures():
        if as_csv and (as_json or sides):
            raise ChoiceError("--csv goes with neither --json nor --compare")
        wanted: dict[str, Any] = {
            "since": parse_time(since) if since else None,
            "until": parse_time(until) if until else None,
            "agent": agent,
            "model": model,
        }
        with _source(files, directory, strict) as source:
            if sides:
                among = list(islice(source.calls(**wanted), last))
                _print_comparison(source, sides, as_json, among)
                return
            calls = load_calls(source, last=last, **wanted)
        if not calls:
            typer.echo(_nothing_found(files, directory, any(wanted.values())), err=True)
        _print_calls(calls, as_json, as_csv)


@app.command()
def transcript(
    call: Annotated[
        str | None,
        typer.Argument(help="A session id, or the beginning of a trace id; else the latest call."),
    ] = None,
    files: _Files = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    strict: _Strict = False,
    directory: _Directory = Path(".tracing"),
) -> None:
    """Show a call's conversation, with its tools and handoffs, and LiveKit's own report of it."""
    with _failures():
        # Late, because `--help` and `doctor` can do without.
        from tracing.calls.transcribe import transcribe
        from tracing.calls.tree import Tree

        if call is not None and _is_file(call):
            files, call = [Path(call), *(files or ())], None
        with _source(files, directory, strict) as source:
            chosen = choose_call(call, list(source.calls()))
            found = transcribe(Tree(source.spans(chosen.trace_id)))
        reports = find_reports(data_directory(directory), chosen.trace_id)
        found.update({"reports": reports} if reports else {})
        if as_json:
            typer.echo(to_json(found))
        else:
            print_transcript(found, _console())


@app.command()
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
    port: Annotated[int | None, typer.Option(help="Listen here; else on 8765 or any.")] = None,
    host: Annotated[
        str, typer.Option(help="Listen here; where others reach it, a token is asked for.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open a browser on it.")] = True,
    strict: _Strict = False,
    directory: _Directory = Path(".tracing"),
) -> None:
    """Look at calls in a browser, at one in the terminal, or save one as a page."""
    with _failures():
        # Late, because the other commands can do without.
        from tracing.view.library import Library, call_of

        files = [Path(one) for one in what or () if _is_file(one)]
        calls = [one for one in what or () if not _is_file(one)]
        if len(calls) > 1:
            raise ChoiceError(f"{calls[1]!r} is no file, and one call was given: {calls[0]!r}")
        if withheld and html is None:
            raise ChoiceError("--withheld goes with --html FILE")
        # Late, because the other commands can do without.
        from tracing.commands.view_links import view_links
        from tracing.view.beside.around import Around

        around = Around(None if files else data_directory(directory), _set_up(view_links))
        with _source(files, directory, strict) as source:
            if html is not None or terminal:
                chosen = choose_call(calls[0] if calls else None, list(source.calls()))
                spans = source.spans(chosen.trace_id)
                _show_one(call_of(spans), html, around, withheld=withheld)
                return
            from tracing.view.server import serve

            name = ", ".join(map(str, files)) or str(data_directory(directory) / STORE_NAME)
            call = choose_call(calls[0], list(source.calls())).trace_id if calls else ""
            library = Library(source, name, around)
            serve(library, host=host, port=port, browser=browser, call=call)


def _is_file(given: str) -> bool:
    return given == "-" or Path(given).is_file()


def _show_one(call: Call, html: Path | None, around: Around, *, withheld: bool) -> None:
    """Print a call's waterfall, or write its page."""
    if html is None:
        from tracing.terminal.waterfall import print_waterfall

        print_waterfall(call.described, call.tree, _console())
        return
    from tracing.view.share import share

    html.write_text(share(call, around, withheld=withheld), encoding="utf-8")
    typer.echo(f"written: {html}")


@app.command()
def replay(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files of OTLP JSON, also packed; `-` for standard input."),
    ],
    backend: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="langfuse, otlp, local, or several with commas."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be delivered, and deliver nothing.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.1, metavar="N", help="At most so many spans a second.")
    ] = None,
    strict: _Strict = False,
    directory: _Directory = Path(".tracing"),
) -> None:
    """Deliver recorded calls, stamped as live ones are; exits 1 if something is left or lost.

    A replay that was stopped goes on where it was when it is given the same files again.
    """
    with _failures():
        # Late, because the other commands can do without.
        from tracing.commands.replay import plan_replay
        from tracing.commands.replay import replay as deliver
        from tracing.terminal.progress import progress_bar

        settings = _settings(backend, directory)
        if not settings.backends:
            raise ChoiceError(f"nothing is delivered: {settings.off_because}")
        names = ", ".join(settings.backends)
        if dry_run:
            plan = plan_replay(files, settings, strict=strict)
            _say_left_out(plan.left_out)
            typer.echo(f"{plan.told()} to {names}")
            return
        try:
            with progress_bar(f"spans to {names}") as progress:
                done = deliver(
                    files, settings, strict=strict, spans_per_second=rate, progress=progress
                )
        except KeyboardInterrupt:
            _complain("stopped: the same command goes on where it was")
            raise typer.Exit(1) from None
        _say_left_out(done.plan.left_out)
    typer.echo("\n".join(done.told()), err=not done.is_complete)
    if not done.is_complete:
        raise typer.Exit(1)


@app.command()
def doctor(directory: _Directory = Path(".tracing")) -> None:
    """Look for what stands in the way of traces; exits 0 if fine, 1 if something is to mend."""
    with _failures():
        found = [check for look in CHECKS for check in look(directory)]
        console = _console()
        for check in found:
            mark = ("ok  ", "green") if check.is_fine else ("mend", "bold red")
            console.print(Text.assemble(mark, safe(f"  {check.name}: {check.text}")))
    if not all(check.is_fine for check in found):
        raise typer.Exit(1)


@contextmanager
def _source(files: Sequence[Path] | None, directory: Path, strict: bool) -> Iterator[Source]:
    if files:
        recorded = RecordedFiles(files, strict=strict)
        _say_left_out(recorded.left_out)
        yield recorded
    else:
        with Store(data_directory(directory) / STORE_NAME, read_only=True) as store:
            yield store


def _settings(backend: str | None, directory: Path) -> Settings:
    from tracing.config.load import load_settings

    names = backend.split(",") if backend else None
    return _set_up(lambda: load_settings(names, directory=directory))


def _set_up(read: Callable[[], T]) -> T:
    """What is read from the settings; every problem in them is said, and ends it with status 2."""
    from tracing.config.settings import ConfigError

    try:
        return read()
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def _say_left_out(left_out: Mapping[Path, LeftOut]) -> None:
    for path, found in left_out.items():
        _complain(f"{path}: left out {found}")


def _complain(text: str) -> None:
    typer.echo(safe(f"livekit-tracing: {text}"), err=True)


def _print_calls(calls: Sequence[Mapping[str, Any]], as_json: bool, as_csv: bool) -> None:
    if as_json:
        typer.echo(to_json({"calls": calls}))
    elif as_csv:
        write_csv(calls, sys.stdout)
    else:
        print_report(calls, _console())


def _print_comparison(
    source: Source, sides: tuple[str, str], as_json: bool, calls: Sequence[CallSummary]
) -> None:
    a, b = (choose(side, source, calls) for side in sides)
    compared = compare(a, b)
    if as_json:
        typer.echo(to_json({"compare": compared}))
    else:
        print_comparison(compared, _console())


def _nothing_found(files: Sequence[Path] | None, directory: Path, is_filtered: bool) -> str:
    if is_filtered:
        return "No call matches."
    if files:
        return "No call in these files."
    return f"No calls in {directory} yet. To get one in, offline and without keys: make demo"


def _console() -> Console:
    """A console that is as wide as the terminal, or wide enough to cut nothing in a pipe."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    columns = shutil.get_terminal_size((_PIPED_COLUMNS, 0)).columns
    return Console(highlight=False, width=columns)


@contextmanager
def _failures() -> Iterator[None]:
    """Say in one line what could not be read, and exit with status 2."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read our output has enough
    except (typer.Exit, typer.Abort):
        raise
    except (ChoiceError, OtlpJsonError, OSError) as error:
        _complain(str(error))
        raise typer.Exit(2) from error
    except Exception as error:
        logger.debug("the command failed", exc_info=True)
        _complain(f"cannot go on, by a fault of this program: {error!r}")
        raise typer.Exit(2) from error
