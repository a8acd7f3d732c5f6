"""Templates into HTML: one environment, in which every word of a call is shown, never obeyed."""

from __future__ import annotations

import functools
import json
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from tracing.calls import silence, tools
from tracing.calls.parts import kind_of
from tracing.view.charts import clock, percent, ticks
from tracing.view.pages import heard_marks

ABSENT = "\u2013"
"""What stands where nothing was measured."""


def render(template: str, *, shared: bool = False, **context: Any) -> str:
    """A template of this package with its context; `shared`: for a file that has no server."""
    link = _anchor if shared else _address
    found = _environment().get_template(template)
    return found.render(shared=shared, turn_link=link, **context)


def asset(name: str) -> str:
    """A file of the pages' own: style sheet, script, icon."""
    return (files("tracing.view") / "static" / name).read_text(encoding="utf-8")


def _address(turn: int) -> str:
    return f"?turn={turn}#t{turn}"


def _anchor(turn: int) -> str:
    return f"#turn-{turn}"


class _Environment(Environment):
    """An environment in which a key of a dict is found at once, and before a method of dicts."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


@functools.cache
def _environment() -> Environment:
    environment = _Environment(
        loader=PackageLoader("tracing.view"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters.update(
        clock=clock,
        seconds=_seconds,
        share=_share,
        lasted=_lasted,
        day=_day,
        time=_time,
        pretty=_pretty,
        signed=_signed,
    )
    environment.globals.update(
        percent=percent,
        ticks=ticks,
        kind_of=kind_of,
        heard_in_words=heard_marks.in_words,
        silence=silence.in_words,
        ended_first=silence.ENDED_FIRST,
        most_named=tools.MOST_NAMED,
    )
    return environment


def _seconds(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.0f}%"


def _signed(value: float) -> str:
    return "=" if abs(value) < 0.01 else f"{value:+.2f}"


def _lasted(seconds: float | None) -> str:
    """How long a call was, for a person: `50.4 s`, `2 min 11 s`."""
    if seconds is None:
        return ABSENT
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _moment(iso: str) -> datetime | None:
    try:
        return datetime.fromisoformat(iso).astimezone()
    except ValueError:
        return None


def _day(iso: str) -> str:
    """A call's day where this viewer runs; the page's script says it where the reader is."""
    moment = _moment(iso)
    return "" if moment is None else f"{moment.day} {moment:%B %Y}"


def _time(iso: str) -> str:
    moment = _moment(iso)
    return "" if moment is None else f"{moment:%H:%M:%S}"


def _pretty(value: object) -> str:
    """JSON, indented; a text that is none is shown as it is."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


def _shown(value: object) -> object:
    """What the environment does with every value of a template before it escapes it."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value)


_INVISIBLE = {
    **{code: chr(0x2400 + code) for code in range(32) if code not in (9, 10)},
    0x7F: "\u2421",
    **{code: f"\\u{code:04x}" for code in (0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067)},
    **{code: f"\\u{code:04x}" for code in (0x2068, 0x2069, 0x200E, 0x200F, 0x061C)},
}


def visible(text: str) -> str:
    """A text whose control characters and changes of writing direction are shown, not obeyed."""
    if text.isascii() and text.isprintable():  # as most are
        return text
    return text.translate(_INVISIBLE)
