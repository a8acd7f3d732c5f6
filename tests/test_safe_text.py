"""What may leave: no secret in any form, and nothing that a terminal or a log obeys."""

from __future__ import annotations

import base64
import html
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing import safe_text
from tracing.safe_text import STRUCK, get_logger, keep_secret, printable, safe

KEY = "sk-lf-5678/very+secret=="
ODD = "\u0130\u0131\u017f\u212a\u00df"
"""Letters whose other case is an odd one."""


@pytest.fixture(autouse=True)
def nothing_is_known() -> Iterator[None]:
    """The secrets of one test are no secrets of the next."""
    before = safe_text._known
    safe_text._known = safe_text._Known()
    yield
    safe_text._known = before


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("POST http://h:4318/v1/traces answered 401", "POST http://h:4318/v1/traces answered 401"),
        ("https://user:pass@h/v1", "https://...@h/v1"),
        ("http://us er:pa@ss@h", "http://us er:pa@ss@h"),
        ("http://u:p@ss@h:1", "http://...@h:1"),
        ("http://u:pa/ss@h:x", "http://...@h:x"),
        ("see https://h/v1?key=1&b=2, then", "see https://h/v1?... then"),
        ("https://h/v1?signature", "https://h/v1?..."),
        (
            "failed with url: /v1/traces?key=1 (Caused by)",
            "failed with url: /v1/traces?... (Caused by)",
        ),
        ("is it so? yes=no", "is it so? yes=no"),
        ("what is 1=1?", "what is 1=1?"),
    ],
)
def test_passwords_and_queries_of_urls_are_struck(text: str, shown: str) -> None:
    """Whether the URL can be read or not; text that is no URL stays."""
    assert safe(text) == shown


@pytest.mark.parametrize(
    "write",
    [
        str,
        str.upper,
        json.dumps,
        quote_plus,
        html.escape,
        repr,
        lambda text: quote(text, safe=""),
        lambda text: f"Authorization: Bearer {text}",
        lambda text: f'{{"authorization":["Bearer {text}"]}}',
    ],
)
def test_known_secret_is_struck_in_every_form(write: Callable[[str], str]) -> None:
    """As a server gives it back: as it is, in JSON, in HTML, in a URL."""
    keep_secret([f"Bearer {KEY}"])
    assert "5678" not in safe(f"it was {write(KEY)} that came")


def test_basic_authorization_is_struck_with_what_is_in_it() -> None:
    """User and password may come back as they were typed."""
    encoded = base64.b64encode(f"pk-lf-1:{KEY}".encode()).decode()
    keep_secret([f"Basic {encoded}"])
    assert safe(f"a Basic {encoded} b") == f"a {STRUCK} b"
    assert safe(f"a {encoded} b pk-lf-1:{KEY} c {KEY} d") == f"a {STRUCK} b {STRUCK} c {STRUCK} d"
    assert safe("of pk-lf-1") == "of pk-lf-1"  # a public key tells who, and opens nothing


def test_short_secret_is_struck_where_it_stands_alone() -> None:
    """A password like `open` is no reason to strike parts of other words."""
    keep_secret(["open", "abc", "", "  "])
    assert safe("open the reopened abc; open=open") == (
        f"{STRUCK} the reopened abc; {STRUCK}={STRUCK}"
    )


@given(
    secrets=st.lists(st.text(f"aiks{ODD}1-", min_size=4, max_size=9), max_size=3),
    words=st.lists(st.text(f"aiksAIKS{ODD}1- ", max_size=6), max_size=4),
    at=st.integers(0, 3),
)
def test_no_secret_is_overlooked(secrets: list[str], words: list[str], at: int) -> None:
    """What is struck is what the pattern of all forms strikes, in any case of any letter."""
    keep_secret(secrets)
    for secret in (*secrets, ""):
        for written in (secret, secret.upper(), secret.lower(), secret.swapcase()):
            text = "".join((*words[:at], written, *words[at:]))
            assert safe(text) == safe_text._known.pattern.sub(STRUCK, text)


def test_no_other_character_is_taken_for_one_of_ascii() -> None:
    """`re.IGNORECASE` has no more of them than we know."""
    ascii_letter = re.compile("[a-z]", re.IGNORECASE)
    found = ascii_letter.findall("".join(map(chr, range(128, 0x110000))))
    assert "".join(found) == safe_text._TAKEN_FOR_ASCII


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("a\r\nb\tc\x00\x7f\x9b", r"a\r\nb\tc\x00\x7f\x9b"),
        ("left\u202eright\u2066\ufeff", r"left\u202eright\u2066\ufeff"),
        ("\u2028\u2029\ud800", r"\u2028\u2029\ud800"),
        ("Grüße, 你好, कर\u200dना, 👩\u200d🚀, a\u00a0b", None),
    ],
)
def test_control_characters_are_shown(text: str, shown: str | None) -> None:
    """Languages and emoji stay as they are written."""
    assert printable(text) == (text if shown is None else shown)


@given(st.text(), st.sampled_from(["", "\n", "\n\t"]))
def test_nothing_is_left_that_is_obeyed(text: str, keep: str) -> None:
    """For any text at all, and again makes no difference."""
    shown = safe(text, keep=keep)
    left = {one for one in shown if not one.isprintable()}
    assert all(one in keep or safe_text._is_harmless(one) for one in left)
    assert safe(shown, keep=keep) == shown


def test_log_records_are_safe() -> None:
    """Template, arguments and traceback; a foreign line break forges no line."""
    keep_secret([KEY])
    stream = io.StringIO()
    logger = get_logger("tracing.a_test")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        try:
            raise ValueError(f"no {KEY}\x1b[2J")
        except ValueError as error:
            logger.exception("two\nlines of %s, %d, %s", f"{KEY}\nforged", 3, error)
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    first, second, *traceback, last = stream.getvalue().splitlines()
    assert (first, second) == (
        "two",
        rf"lines of {STRUCK}\nforged, 3, no {STRUCK}\x1b[2J",
    )
    assert traceback[0] == "Traceback (most recent call last):"
    assert last == rf"ValueError: no {STRUCK}\x1b[2J"
