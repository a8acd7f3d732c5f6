"""What an application says of a call, within bounds."""

from __future__ import annotations

import json
import logging

import pytest

from tracing.account.told.words import (
    MAX_CHARACTERS,
    MAX_EVENTS,
    MAX_METADATA,
    MAX_NAME,
    MAX_SCORES,
    MAX_TAGS,
    MAX_TEXT,
    Words,
)
from tracing.span import Attributes


def test_tags_and_metadata_add_up_and_the_last_outcome_counts() -> None:
    """As attributes of the root; whoever wants all tags hears of them at each new one."""
    heard: list[list[str]] = []
    words = Words(tagged=heard.append)
    words.tag(["vip", "b", "vip", ""])
    words.tag(["a"])
    words.describe({"plan": "gold", "seats": 2, "is_new": False, "parts": ["x", "y"]})
    words.describe({"plan": "silver"})
    words.conclude("lost")
    words.conclude("booked")
    assert words.on_root == {
        "call.tags": ["a", "b", "vip"],
        "call.metadata.plan": "silver",
        "call.metadata.seats": 2,
        "call.metadata.is_new": False,
        "call.metadata.parts": ["x", "y"],
        "call.outcome": "booked",
    }
    assert heard == [["b", "vip"], ["a", "b", "vip"]]


def test_each_score_keeps_its_time_and_comment() -> None:
    """Also where a name is said again."""
    words = Words()
    words.score("csat", 4, "", 1_500_000_000)
    words.score("csat", 5, "better", 2_500_000_000)
    words.score("mood", "glad", "", 3_000_000_000)
    assert json.loads(str(words.on_root["call.scores"])) == [
        {"name": "csat", "value": 4, "time": 1.5},
        {"name": "csat", "value": 5, "comment": "better", "time": 2.5},
        {"name": "mood", "value": "glad", "time": 3.0},
    ]


def test_every_text_is_masked_before_it_is_cut() -> None:
    """Half a number would be found by no mask."""

    def mask(value: object) -> object:
        if isinstance(value, list):
            return [mask(one) for one in value]
        return value.replace("4111", "[card]") if isinstance(value, str) else value

    words = Words(mask)
    lost = words.tag(["4111", "x" * (MAX_NAME - 2) + "4111"])
    words.describe({"card": "4111", "cards": ["4111"]})
    words.conclude("paid by 4111")
    words.score("paid", "4111", "by 4111", 0)
    assert lost == 1
    assert "4111" not in str(words.on_root)
    assert "4" not in str(words.on_root["call.tags"])
    assert str(words.on_root).count("[card]") == 6


def test_what_is_over_a_bound_is_left_out_and_counted() -> None:
    """What was said before stays, and a name that is known can still be changed."""
    words = Words()
    assert words.tag(f"tag {n}" for n in range(MAX_TAGS + 3)) == 3
    assert words.describe({f"name {n}": n for n in range(MAX_METADATA + 2)}) == 2
    assert words.describe({"name 0": "again"}) == 0
    assert words.describe({"name 1": "x" * (MAX_TEXT + 1)}) == 1
    assert words.describe({"n" * (MAX_NAME + 1): 1, "name 2": ["x" * MAX_TEXT, "y"]}) == 2
    lost = sum(words.score("csat", 1, "", 0) for _ in range(MAX_SCORES + 4))
    assert lost == 4
    kept = words.on_root
    assert len(kept["call.tags"]) == MAX_TAGS  # type: ignore[arg-type]
    assert kept["call.metadata.name 0"] == "again"
    assert kept["call.metadata.name 1"] == "x" * MAX_TEXT
    assert len(json.loads(str(kept["call.scores"]))) == MAX_SCORES


def test_all_texts_of_a_call_have_one_bound() -> None:
    """A value that is replaced counts no longer, so that one name can be said for hours."""
    words = Words()
    for _ in range(3 * MAX_CHARACTERS // MAX_TEXT):
        assert words.describe({"state": "x" * MAX_TEXT}) == 0
    fit = MAX_CHARACTERS // MAX_TEXT
    assert sum(words.score("s", "x" * MAX_TEXT, "", 0) for _ in range(fit + 5)) >= 5
    assert len(str(words.on_root)) < 1.2 * MAX_CHARACTERS


def test_an_event_is_kept_with_its_span_until_the_root_ends() -> None:
    """On the span with all that it may have: a text that is too long is cut, and masked first."""
    words = Words(lambda value: value.replace("4111", "#") if isinstance(value, str) else value)
    given = {"card": "4111", "long": "4111" * MAX_TEXT, "seats": [1, 2]}
    on_span = words.happened("booked", given, 7, "ab")
    assert on_span == {"card": "4111", "long": "#" * MAX_TEXT, "seats": [1, 2]}
    [kept] = json.loads(str(words.until_end["call.events"]))
    assert kept == {
        "span": "ab",
        "name": "booked",
        "time": 7,
        "attributes": {"card": "#", "long": "#" * MAX_TEXT, "seats": [1, 2]},
    }
    assert words.on_root == {}
    assert sum(words.happened("tick", {}, 8, "ab") is None for _ in range(MAX_EVENTS)) == 1


@pytest.mark.parametrize(
    ("said", "theirs", "kept", "is_said"),
    [
        ("", {"call.outcome": "fail", "call.outcome_reason": "r"}, ["fail", "r"], False),
        ("success", {}, ["success", None], False),
        ("fail", {"call.outcome": "fail", "call.outcome_reason": "r"}, ["fail", "r"], False),
        ("booked", {"call.outcome": "success", "call.outcome_reason": "r"}, ["booked", "r"], False),
        ("success", {"call.outcome": "fail", "call.outcome_reason": "r"}, ["success", None], True),
    ],
)
def test_a_call_has_one_outcome(
    said: str,
    theirs: Attributes,
    kept: list[str | None],
    is_said: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The application's goes before the tagger's; that one contradicts the other is logged."""
    words = Words()
    if said:
        words.conclude(said)
    beside = words.beside(theirs)
    found = {**beside, **words.at_end(beside)}
    assert [found.get("call.outcome"), found.get("call.outcome_reason")] == kept
    assert bool(caplog.record_tuples) is is_said
    assert not is_said or caplog.records[0].levelno == logging.WARNING


def test_the_root_has_the_tags_of_both() -> None:
    """The application's, and those of LiveKit's tagger; nothing is taken after that."""
    words = Words()
    words.tag(["vip"])
    assert words.at_end({"call.tags": ["lk.success", "a"]}) == {
        "call.tags": ["a", "lk.success", "vip"]
    }
    assert words.is_over
