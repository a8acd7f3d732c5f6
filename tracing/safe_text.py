"""Text that may leave: secrets are struck out, control characters are shown and not obeyed.

Whatever is logged, printed, written down or sent in words of ours or a server's goes through
`safe`. It knows the secrets that this process was configured with, by `keep_secret`, and strikes
passwords and queries of any URL besides.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import quote, quote_plus

STRUCK = "[secret]"
"""What stands where a secret stood."""

_SHORTEST = 4
"""A secret of fewer characters cannot be told from other text."""
_SHORT = 8
"""Up to so many characters a secret is struck only where it stands alone."""
_JOINERS = "\u200c\u200d"
"""What Persian, Hindi and emoji need between letters; they move nothing."""

_URL = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]{0,63}://[^\s"'<>]+""")
"""No scheme is longer, and without a bound a word of n letters takes n x n steps."""
_QUERY = re.compile(r"""\?[^\s"'<>?=&]+=[^\s"'<>]*""")


_NOTHING = re.compile("(?!)")
_TAKEN_FOR_ASCII = "\u0130\u0131\u017f\u212a"
"""What `re.IGNORECASE` takes for an i, an s or a k, and `str.lower` does not."""


class _Known:
    """The secrets of this process, in every form in which a server may give them back."""

    def __init__(self) -> None:
        self.forms: set[str] = set()
        self.pattern = _NOTHING
        self._lowered: tuple[str, ...] = ()

    def add(self, forms: set[str]) -> None:
        """Know these forms, too."""
        self.forms |= forms
        self.pattern = _pattern(self.forms)
        self._lowered = tuple(map(str.lower, self.forms))

    def struck_from(self, text: str) -> str:
        """The text without them."""
        return self.pattern.sub(STRUCK, text) if self._may_be_in(text) else text

    def _may_be_in(self, text: str) -> bool:
        """Whether it is worth trying the pattern, which tries every form at every character."""
        if not text.isascii() and any(one in text for one in _TAKEN_FOR_ASCII):
            return True
        lowered = text.lower()
        return any(form in lowered or not form.isascii() for form in self._lowered)


_known = _Known()


def keep_secret(values: Iterable[str]) -> None:
    """Strike these values out of every text from now on: headers, keys, passwords."""
    found = _all_forms(values)
    if not found <= _known.forms:
        _known.add(found)


def safe(text: str, *, keep: str = "", secrets: Iterable[str] = ()) -> str:
    """The text without secrets, on one line; of control characters those of `keep` stay.

    `secrets` are struck besides those of the process.
    """
    text = _known.struck_from(text)
    if secrets:
        text = _pattern(_all_forms(secrets)).sub(STRUCK, text)
    if "://" in text:
        text = _URL.sub(lambda found: _shown_url(found[0]), text)
    if "?" in text:
        text = _QUERY.sub("?...", text)
    return printable(text, keep=keep)


def printable(text: str, *, keep: str = "") -> str:
    """The text with control, format and direction characters as escapes; `keep` stays."""
    if text.isprintable():
        return text
    plain = text
    for one in keep:
        plain = plain.replace(one, "")
    if plain.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in keep or _is_harmless(one) else _escaped(one)
        for one in text
    )


def get_logger(name: str) -> logging.Logger:
    """The logger of that name, all of whose records are safe."""
    logger = logging.getLogger(name)
    logger.addFilter(make_safe)
    return logger


def make_safe(record: logging.LogRecord) -> bool:
    """Make a log record safe; arguments stay on one line, what our own words say keeps its."""
    if isinstance(record.args, tuple):
        record.args = tuple(map(_safe_argument, record.args))
    record.msg, record.args = safe(record.getMessage(), keep="\n\t"), ()
    if record.exc_info:
        traceback = logging.Formatter().formatException(record.exc_info)
        record.exc_text, record.exc_info = safe(traceback, keep="\n\t"), None
    return True


def _safe_argument(argument: object) -> object:
    return argument if isinstance(argument, (int, float)) else safe(str(argument))


def _shown_url(url: str) -> str:
    """A URL without what stands before its `@` or behind its `?`, also where it cannot be read."""
    scheme, _, rest = url.partition("://")
    address, mark, _ = rest.partition("?")
    if "@" in address:
        address = "...@" + address.rpartition("@")[2]
    return f"{scheme}://{address}{'?...' if mark else ''}"


def _pattern(forms: Collection[str]) -> re.Pattern[str]:
    """Matches the longest of these; nothing where there are none."""
    if not forms:
        return _NOTHING
    longest_first = sorted(forms, key=len, reverse=True)
    return re.compile("|".join(map(_literal, longest_first)), re.IGNORECASE)


def _all_forms(values: Iterable[str]) -> set[str]:
    return {form for value in values for form in _forms(str(value)) if len(form) >= _SHORTEST}


def _forms(value: str) -> Iterator[str]:
    """A value, its words (a scheme stands before a token), and how they may be written."""
    for plain in {value.strip(), *value.split()[1:], *_from_basic(value)}:
        yield from (plain, quote(plain, safe=""), quote_plus(plain), html.escape(plain))
        yield json.dumps(plain)[1:-1]


def _from_basic(value: str) -> list[str]:
    """User and password of a Basic authorization as they are before base64, and the password."""
    scheme, _, encoded = value.strip().partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        pair = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return []
    user, _, password = pair.partition(":")
    return [pair, password or user]


def _literal(form: str) -> str:
    literal = re.escape(form)
    return literal if len(form) > _SHORT else rf"(?<!\w){literal}(?!\w)"


def _is_harmless(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
