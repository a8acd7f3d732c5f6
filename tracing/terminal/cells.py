"""Cells: how texts, seconds, shares and counts look in a table."""

from __future__ import annotations

from rich import box
from rich.table import Table

BAD, GOOD, DIM, TITLE = "bold red", "green", "dim", "bold"


# What could move the cursor, ring, or turn the direction of the text around it.
_UNSAFE = dict.fromkeys(
    (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), " "
)


def plain(value: object, length: int | None = None) -> str:
    """Somebody's text on one line, safe to show in a terminal, shortened to a length."""
    text = " ".join(str(value).translate(_UNSAFE).split())
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


def new_table(*columns: str) -> Table:
    """An empty table; a column that begins with `>` is of numbers, with `!` is never wrapped."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(
            column.lstrip(">!"),
            justify="right" if column.startswith(">") else "left",
            no_wrap=column.startswith((">", "!")),
        )
    return table
