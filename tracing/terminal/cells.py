"""Cells: how texts, seconds, shares and counts look in a table."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tracing.safe_text import printable

BAD, GOOD, DIM, TITLE = "bold red", "green", "dim", "bold"


def plain(value: object, length: int | None = None) -> str:
    """Somebody's text on one line, safe to show in a terminal, shortened to a length."""
    text = printable(" ".join(str(value).split()))
    if length is None or len(text) <= length:
        return text
    return text[: length - 1].rstrip() + "…"


def seconds(value: float | None) -> str:
    """Seconds to the hundredth; nothing for what is unknown."""
    return "" if value is None else f"{value:.2f} s"


def share(value: float | None) -> str:
    """A share as a percentage; nothing for what is unknown."""
    return "" if value is None else f"{value:.0%}"


def counted(count: int, one: str) -> str:
    """A count with its word: `1 turn`, `2 turns`."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"


class TextTable(Table):
    """A table in which what a cell says is text, never Rich's markup."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row as `Table` does."""
        super().add_row(*(Text(c) if isinstance(c, str) else c for c in cells), **options)


def new_table(*columns: str) -> Table:
    """An empty table; a column that begins with `>` is of numbers, with `!` is never wrapped."""
    table = TextTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(
            column.lstrip(">!"),
            justify="right" if column.startswith(">") else "left",
            no_wrap=column.startswith((">", "!")),
        )
    return table
