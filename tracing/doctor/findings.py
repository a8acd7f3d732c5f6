"""One thing that the doctor looked at: what was found, and what to do about it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tracing.safe_text import safe

State = Literal["ok", "note", "mend", "unknown"]
"""`note` is worth knowing and may be meant; `unknown` could not be told, and is not fine."""


class Finding(NamedTuple):
    """One finding; its texts hold no secret."""

    name: str
    """What was looked at: a backend's name and the subject, a setting, a spool."""
    state: State
    text: str
    """What was found, and why."""
    mend: str = ""
    """What to do; empty where nothing is to be done."""

    @property
    def line(self) -> str:
        """All of it on one line."""
        return f"{self.name}: {self.text}{': ' if self.mend else ''}{self.mend}"


def ok(name: str, text: str) -> Finding:
    """It is as it should be."""
    return _safe("ok", name, text)


def note(name: str, text: str, mend: str = "") -> Finding:
    """It changes what is sent, or cannot be judged from here, and may be meant."""
    return _safe("note", name, text, mend)


def mend(name: str, text: str, how: str) -> Finding:
    """It stands in the way."""
    return _safe("mend", name, text, how)


def unknown(name: str, text: str, how: str = "") -> Finding:
    """It could not be told, which is not to be taken for fine."""
    return _safe("unknown", name, text, how)


def _safe(state: State, name: str, text: str, how: str = "") -> Finding:
    return Finding(safe(name), state, safe(text), safe(how))
