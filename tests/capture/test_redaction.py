"""Redaction: what carries content, and what is left of a span without it or behind a mask."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import make_span
from tracing.capture.redaction import MASK_FAILED, Redaction
from tracing.span import Event, Link, Span
from tracing.spool.losses import Ledger

SECRET = "the secret text"


def redaction(
    tmp_path: Path, mask: Callable[[str], str] | None = None, **options: Any
) -> tuple[Redaction, Ledger]:
    """A redaction, and who counts its failures."""
    ledger = Ledger(tmp_path)
    return Redaction(ledger, mask=mask, **options), ledger


def everything_with(secret: Any) -> Span:
    """A span that holds a value wherever a span can hold one."""
    return make_span(
        1,
        attributes={"lk.pii.user_input": secret, "lk.job_id": "j"},
        events=(
            Event("gen_ai.user.message", 1, {"content": secret}),
            Event("exception", 2, {"exception.message": secret, "exception.type": "E"}),
            Event("other", 3, {"lk.pii.text": secret, "number": 1}),
        ),
        links=(Link(b"t" * 16, b"s" * 8, {"lk.pii.text": secret, "number": 1}),),
        status_code=2,
        status_message=secret,
    )


WITHHELD = make_span(
    1,
    attributes={"lk.job_id": "j"},
    events=(
        Event("[withheld]", 1, {}),
        Event("exception", 2, {"exception.message": "[withheld]", "exception.type": "E"}),
        Event("[withheld]", 3, {"number": 1}),
    ),
    links=(Link(b"t" * 16, b"s" * 8, {"number": 1}),),
    status_code=2,
    status_message="[withheld]",
)


def test_span_without_content_keeps_its_shape(tmp_path: Path) -> None:
    """Attributes, events, links and the status' words are stripped; numbers and types stay."""
    ours, ledger = redaction(tmp_path)
    assert ours.apply(everything_with(SECRET), withhold=True) == WITHHELD
    assert dict(ledger.counts) == {}


def test_nothing_is_changed_without_a_reason(tmp_path: Path) -> None:
    """Without a demand and a mask the very same span passes."""
    ours, _ = redaction(tmp_path)
    span, resource = everything_with(SECRET), {"own": SECRET}
    assert ours.apply(span, withhold=False) is span
    assert ours.attributes(resource, withhold=False) is resource
    assert ours.document({"a": SECRET}) == {"a": SECRET}


def hide(text: str) -> str:
    """A mask, as a user writes it."""
    return text.replace("secret", "***")


def test_mask_is_applied_to_every_text(tmp_path: Path) -> None:
    """Wherever a span holds one: also within lists and maps, events, links, names, the status."""
    ours, ledger = redaction(tmp_path, hide)
    values = {"text": SECRET, "list": [SECRET, 5, ["secret"]], "map": {"k": SECRET}, "n": 5}
    span = make_span(1, SECRET, attributes=values, events=(Event(SECRET, 1, values),))
    span = span._replace(
        links=(Link(b"t" * 16, b"s" * 8, values),), status_message=SECRET, resource=values
    )
    hidden = "the *** text"
    masked = {"text": hidden, "list": [hidden, 5, ["***"]], "map": {"k": hidden}, "n": 5}
    assert ours.apply(span, withhold=False) == span._replace(
        name=hidden,
        attributes=masked,
        events=(Event(hidden, 1, masked),),
        links=(Link(b"t" * 16, b"s" * 8, masked),),
        status_message=hidden,
        resource=masked,
    )
    assert ours.attributes(values, withhold=False) == masked
    assert ours.document({"turns": [values]}) == {"turns": [masked]}
    assert dict(ledger.counts) == {}


def test_mask_leaves_livekits_own_names_alone(tmp_path: Path) -> None:
    """They are the same in every call, and all that is made of a call hangs on them."""
    ours, _ = redaction(tmp_path, lambda text: "***")
    span = make_span(1, "agent_turn", attributes={}, events=(Event("generation", 1, {}),))
    masked = ours.apply(span, withhold=False)
    assert (masked.name, masked.events[0].name) == ("agent_turn", "generation")


def test_mask_sees_texts_in_bytes(tmp_path: Path) -> None:
    """A text that came as bytes does not pass by the mask."""
    ours, _ = redaction(tmp_path, hide)
    masked = ours.apply(make_span(1, attributes={"bytes": SECRET.encode()}), withhold=False)
    assert masked.attributes == {"bytes": b"the *** text"}


def broken(text: str) -> str:
    """A mask that fails, with what it was to hide in its words."""
    raise ValueError(f"cannot mask {text}")


@pytest.mark.parametrize(
    "mask", [broken, lambda text: None, lambda text: text.encode(), lambda text: 5, print]
)
def test_what_a_mask_gives_no_text_for_is_withheld_and_counted(tmp_path: Path, mask: Any) -> None:
    """Whether it fails, or returns what is no text: the value never passes, nor a form of it."""
    ours, ledger = redaction(tmp_path, mask)
    span = make_span(1, attributes={"a": SECRET, "b": ["x", 1], "empty": ""}, resource={})
    masked = ours.apply(span._replace(name="agent_turn"), withhold=False)
    assert masked.attributes == {"a": MASK_FAILED, "b": [MASK_FAILED, 1], "empty": ""}
    assert dict(ledger.counts) == {"the mask failed, so the value was withheld": 2}


def test_mask_works_on_what_is_left(tmp_path: Path) -> None:
    """With both, content goes and the rest is masked."""
    ours, _ = redaction(tmp_path, hide)
    span = make_span(1, attributes={"lk.pii.text": SECRET, "lk.agent_name": SECRET})
    assert ours.apply(span, withhold=True).attributes == {"lk.agent_name": "the *** text"}


class Clock:
    """A clock that goes on as a mask takes its time."""

    def __init__(self, *took: float) -> None:
        self.now = 0.0
        self._took = list(took)

    def __call__(self) -> float:
        return self.now

    def mask(self, text: str) -> str:
        """A mask that takes as long as it is told."""
        self.now += self._took.pop(0)
        return text


async def test_a_mask_that_holds_the_voice_loop_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its time is added up; above 50 ms for one span it is said, where there is a loop."""
    clock = Clock(0.04, 0.06, 0.07)
    ours, _ = redaction(tmp_path, clock.mask, clock=clock)
    span = make_span(1, "agent_turn", attributes={"a": "x"}, resource={})
    for _ in range(3):
        ours.apply(span, withhold=False)
    assert ours.mask_seconds == pytest.approx(0.17)
    assert caplog.messages == [
        "the mask took 60 ms of the voice loop for one span, 0.1 s in all until now: "
        "nothing is heard or said meanwhile, so make it faster"
    ]


def test_a_slow_mask_off_the_voice_loop_is_not_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for it."""
    clock = Clock(0.3)
    ours, _ = redaction(tmp_path, clock.mask, clock=clock)
    ours.apply(make_span(1, "agent_turn", attributes={"a": "x"}, resource={}), withhold=False)
    assert (ours.mask_seconds, caplog.messages) == (pytest.approx(0.3), [])


@pytest.mark.parametrize(("mask", "withhold"), [(hide, False), (None, True)])
def test_an_error_is_told_without_its_words(
    tmp_path: Path, mask: Callable[[str], str] | None, withhold: bool
) -> None:
    """Its type and its place are enough to mend it."""
    ours, _ = redaction(tmp_path, mask)
    try:
        broken(SECRET)
    except ValueError as error:
        told = ours.told(error, withhold=withhold)
    lines = "".join(traceback.format_exception(told))
    assert "in broken" in lines
    assert lines.endswith("\nValueError: [withheld]\n")
    assert SECRET not in lines


def test_an_error_is_told_as_it_is_where_nothing_is_hidden(tmp_path: Path) -> None:
    """The very same one."""
    ours, error = redaction(tmp_path)[0], ValueError(SECRET)
    assert ours.told(error, withhold=False) is error
