"""Headers as people have them: a table of what is given to what is sent, or why it is refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing.config.environment import Environment
from tracing.config.http.headers import read_headers

VARIABLE = "OTEL_EXPORTER_OTLP_HEADERS"
BASIC = {"authorization": "Basic abc=="}


def read(given: Any = None, **environ: str) -> tuple[dict[str, str], list[str]]:
    """What is sent of an argument or a variable, and what is said of it."""
    env = Environment(environ)
    return read_headers(given, env, VARIABLE), env.problems


SENT: list[tuple[str, dict[str, str]]] = [
    ("", {}),
    ("Authorization=Basic abc==", BASIC),
    ("Authorization=Basic%20abc%3D%3D", BASIC),
    (" Authorization = Basic abc== ", BASIC),
    ('"Authorization=Basic abc=="', BASIC),
    ("'Authorization=Basic abc=='", BASIC),
    ('Authorization="Basic abc=="', BASIC),
    ("Authorization: Basic abc==", BASIC),
    ("Authorization:Basic abc==", BASIC),
    ('"Authorization: Basic abc=="', BASIC),
    ("x-a=1, x-b=a=b,", {"x-a": "1", "x-b": "a=b"}),
    ('"x-a=1","x-b=2"', {"x-a": "1", "x-b": "2"}),
    ("x-a=1,x-b: 2", {"x-a": "1", "x-b": "2"}),
    ("x-url=http://a:1/b", {"x-url": "http://a:1/b"}),
    ("x-list=a%2Cb%3Bc", {"x-list": "a,b;c"}),
    ("accept=text/html;q", {"accept": "text/html;q"}),
    ("x-empty=", {"x-empty": ""}),
]


@pytest.mark.parametrize(("text", "sent"), SENT, ids=[text for text, _ in SENT])
def test_headers_are_sent_as_they_were_meant(text: str, sent: dict[str, str]) -> None:
    """From a variable and from an argument."""
    assert read(**{VARIABLE: text}) == (sent, [])
    assert read(text) == (sent, [])


GIVE = "give key=value,key=value"
REFUSED: list[tuple[Any, str]] = [
    ("very-secret", f"headers= has an entry without '=', entry 1: {GIVE}"),
    ("a=1,very-secret", f"headers= has an entry without '=', entry 2: {GIVE}"),
    ("Basic very-secret==", f"headers= has no header's name in entry 1: {GIVE}"),
    ("x key=very-secret", f"headers= has no header's name in entry 1: {GIVE}"),
    ('{"a": "very-secret"}', f"headers= has no header's name in entry 1: {GIVE}"),
    ("=very-secret", f"headers= has no header's name in entry 1: {GIVE}"),
    (
        "a=very-secret;b=2",
        "headers= has a ';' in entry 1: separate entries with commas, and write a semicolon in "
        "a value as %3B",
    ),
    (
        "a: very-secret; b: 2",
        "headers= has a ';' in entry 1: separate entries with commas, and write a semicolon in "
        "a value as %3B",
    ),
    ("a=very-secret,A=2", "headers= names 'a' twice: give it once"),
    ({"a": "very-secret", "A": "2"}, "headers= names 'A' twice: give it once"),
    ("a=very%0Asecret", "headers= holds for 'a' what HTTP cannot carry: copy it again"),
    ("a=very-secret…", "headers= holds for 'a' what HTTP cannot carry: copy it again"),
    ({"a": "very\nsecret"}, "headers= holds for 'a' what HTTP cannot carry: copy it again"),
    ({"a": None}, "headers= holds a NoneType for 'a': give a text, or leave it out"),
    ({"a": True}, "headers= holds a bool for 'a': give a text, or leave it out"),
    ({"a": b"very-secret"}, "headers= holds a bytes for 'a': give a text, or leave it out"),
    ({"x key": "1"}, "headers= has a key that is no header's name: give texts as keys"),
    ({1: "1"}, "headers= has a key that is no header's name: give texts as keys"),
    (["a=very-secret"], f"headers= is a list: give a mapping, or {GIVE.removeprefix('give ')}"),
]


@pytest.mark.parametrize(("given", "problem"), REFUSED, ids=[str(given) for given, _ in REFUSED])
def test_what_cannot_be_sent_is_refused_without_its_value(given: Any, problem: str) -> None:
    """With the mend; a value may be a secret."""
    _, problems = read(given)
    assert problems == [problem]
    assert "very" not in problem


def test_variable_is_named_in_its_problem() -> None:
    """An argument is no part of it then."""
    assert read(**{VARIABLE: "very-secret"})[1] == [
        f"{VARIABLE} has an entry without '=', entry 1: {GIVE}"
    ]


def test_mapping_keeps_its_names() -> None:
    """Numbers are texts."""
    assert read({"X-Own": 5, "Authorization": "Basic a,b;c=d"}) == (
        {"X-Own": "5", "Authorization": "Basic a,b;c=d"},
        [],
    )


NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.sampled_from(["=", ": ", " = "]))
def test_encoded_headers_come_out_whole(headers: dict[str, str], between: str) -> None:
    """Whatever a value holds, URL-encoded it is sent."""
    text = ",".join(f"{name}{between}{quote(value, safe='')}" for name, value in headers.items())
    assert read(text) == (headers, [])


@given(st.text(st.sampled_from("ab:=;, '\"%{}"), max_size=16))
def test_no_entry_is_dropped(text: str) -> None:
    """Each that is not blank is sent, or something is said."""
    headers, problems = read(text)
    entries = [entry for entry in text.split(",") if entry.strip(" '\"")]
    assert problems or len(headers) >= len(entries)
