"""Run the fault suite: `python -m tests.faults --help`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .contenders import is_ours
from .row import Row
from .rows import ROW_BY_NAME
from .runner import Outcome, clean, run_row

CONTENDERS = ("docs", "langfuse", "ours")
JOBS = 6


def run_rows(
    rows: Sequence[Row], contenders: Sequence[str], jobs: int = JOBS, keep: Path | None = None
) -> list[Outcome]:
    """Run every row with every contender, several at once; the longest ones first.

    The files of all rows stay in the directory `keep`, if there is one.
    """
    cells = [(row, contender) for row in rows for contender in contenders]
    cells = [cell for cell in cells if is_ours(cell[1]) or not cell[0].ours_only]
    cells.sort(key=lambda cell: -cell[0].seconds)
    with tempfile.TemporaryDirectory(prefix="faults-") as name, ThreadPoolExecutor(jobs) as pool:
        folder = keep or Path(name)
        lock = threading.Lock()

        def run(cell: tuple[Row, str]) -> Outcome:
            row, contender = cell
            name = row.ours if contender == "ours" else contender
            place = folder / f"{row.name}-{name}".replace("'", "x")
            try:
                outcome = run_row(row, name, place)
            except Exception as error:  # one broken row must not hide the others
                failure = f"{type(error).__name__}: {error}"
                outcome = Outcome(row.name, name, failures=[failure])
            if keep is None:
                clean(place)
            with lock:
                print(_line(outcome), file=sys.stderr, flush=True)
            return outcome

        together = [cell for cell in cells if not cell[0].alone]
        outcomes = list(pool.map(run, together))
        return outcomes + [run(cell) for cell in cells if cell[0].alone]


def _line(outcome: Outcome) -> str:
    text = outcome.skipped or "; ".join(outcome.failures) or "fine"
    text += f" ({outcome.told})" if outcome.told else ""
    return (
        f"{outcome.row:>14} {outcome.contender:<13} {outcome.lost:>6} of {outcome.produced:>6} "
        f"lost, F {outcome.flush_seconds:5.2f} E {outcome.exit_seconds:5.2f}  {text}"
    )


def table(outcomes: Sequence[Outcome]) -> Table:
    """One line per row and contender, in the order of the table of faults."""
    view = Table(title="Lost spans by fault")
    for name in ("row", "fault", "contender"):
        view.add_column(name)
    for name in ("produced", "lost", "lost %", "uncounted", "sent again", "flush s", "exit s"):
        view.add_column(name, justify="right")
    view.add_column("verdict")
    order = list(ROW_BY_NAME)
    for outcome in sorted(outcomes, key=lambda one: (order.index(one.row), one.contender)):
        view.add_row(
            outcome.row,
            ROW_BY_NAME[outcome.row].what,
            outcome.contender,
            str(outcome.produced),
            str(outcome.lost),
            f"{outcome.lost_percent:.1f}",
            str(max(outcome.lost - outcome.counted, 0)),
            str(outcome.sent_again),
            f"{outcome.flush_seconds:.2f}",
            f"{outcome.exit_seconds:.2f}",
            _verdict(outcome),
        )
    return view


def _verdict(outcome: Outcome) -> str:
    if outcome.skipped:
        return f"skipped: {outcome.skipped}"
    if outcome.failures:
        return "[red]" + "; ".join(outcome.failures) + "[/red]"
    return "[green]fine[/green]" if is_ours(outcome.contender) else ""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--contender", default="all", help="ours, docs, langfuse, or all")
    parser.add_argument("--rows", default="", help="names with commas between; all by default")
    parser.add_argument("--bounded", action="store_true", help="the short form, for CI")
    parser.add_argument("--jobs", type=int, default=JOBS, help="how many rows run at once")
    parser.add_argument("--keep", type=Path, help="leave the files of all rows in here")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when ours meets every target, else 1."""
    options = parse(arguments)
    names = options.rows.split(",") if options.rows else list(ROW_BY_NAME)
    rows = [ROW_BY_NAME[name] for name in names]
    if options.bounded:
        rows = [row.in_short() for row in rows]
    contenders = CONTENDERS if options.contender == "all" else options.contender.split(",")
    began = time.monotonic()
    outcomes = run_rows(rows, contenders, options.jobs, options.keep)
    Console(width=None if sys.stdout.isatty() else 200).print(table(outcomes))
    print(f"{len(outcomes)} cells in {time.monotonic() - began:.0f} s")
    if options.json:
        options.json.write_text(
            json.dumps([dataclasses.asdict(one) for one in outcomes], indent=1) + "\n"
        )
    return int(any(outcome.failures for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
