"""What holds for every scenario of every LiveKit version that is recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tracing import names
from tracing.dialects.langfuse import LangfuseDialect
from tracing.span import Span

from . import langfuse_rules as langfuse
from .recorded import LATEST, VERSIONS, recorded, scenarios, stamped

EVERY = [(version, scenario) for version in VERSIONS for scenario in scenarios(version)]
SHOWN = {
    *("user turn", "agent turn", "call", "llm call", "realtime call", "speech", "attempt"),
    *("fallback", "session closed by an error", "recovery probe", "discarded reply"),
    *("handoff to billing", "handoff to get_name", "handoff to host"),
    *("get_weather", "book_table", "transfer_to_billing"),
    *("reserve", "note_name", "look_for_table"),
}


def translate(span: Span) -> Span:
    translated = LangfuseDialect(detail="full")(span)
    assert translated is not None
    return translated


@pytest.mark.parametrize(("version", "scenario"), EVERY)
def test_order_times_and_tree_are_untouched(version: str, scenario: str) -> None:
    """Only names and attributes change; late metrics are the one exception."""
    for span in stamped(scenario, version):
        if span.name == "realtime_metrics":
            continue
        kept = translate(span)._replace(name=span.name, attributes={}, events=(), links=())
        assert kept == span._replace(attributes={}, events=(), links=())


@pytest.mark.parametrize(("version", "scenario"), EVERY)
def test_one_generation_per_call_to_a_model(version: str, scenario: str) -> None:
    """And nothing else a model but speech in its units; tokens are those that metrics report."""
    spans = stamped(scenario, version)
    trace = langfuse.show([translate(span) for span in spans])
    calls = {span.span_id for span in spans if span.name in ("llm_request", "realtime_inference")}
    if scenario == "custom_llm_node" and version == LATEST:
        calls |= {span.span_id for span in spans if span.name == "llm_node"}
    if scenario.startswith("realtime") and version != LATEST:
        reports = [s for s in spans if "lk.realtime_model_metrics" in s.attributes]
        calls |= {span.span_id for span in reports}
    generations = trace.of_type("generation")
    assert {shown.id for shown in generations} == {span_id.hex() for span_id in calls}
    others = [o for o in trace.observations if o.model and o not in generations]
    assert all(o.usage.keys() & {"characters", "milliseconds"} for o in others)
    assert trace.total_tokens == sum(_reported(span) for span in spans)


def _reported(span: Span) -> int:
    for key in ("lk.llm_metrics", "lk.realtime_model_metrics"):
        if key in span.attributes:
            return int(json.loads(str(span.attributes[key]))["total_tokens"])
    return 0


@pytest.mark.parametrize(("version", "scenario"), EVERY)
def test_plumbing_is_hidden_without_model_and_content(version: str, scenario: str) -> None:
    """What is shown has a name that says what happened; the rest is at level DEBUG."""
    for span in stamped(scenario, version):
        shown = langfuse.observation(translate(span), langfuse.V4_WITH_PII)
        if shown.level == "DEBUG":
            assert shown.model is None or shown.name == "recovery probe"
            assert (shown.input, shown.output) == (None, None) or shown.type == "GENERATION"
        else:
            assert shown.name in {*SHOWN, f"call {_agent(span)}"}


def _agent(span: Span) -> str:
    return str(translate(span).attributes.get("langfuse.trace.name"))


@pytest.mark.parametrize(("version", "scenario"), EVERY)
def test_by_default_what_a_person_sees_is_sent_below_the_nearest(
    version: str, scenario: str
) -> None:
    """All that is seen in full, in the same order from above; no orphan, and one root."""
    spans = stamped(scenario, version)
    dialect = LangfuseDialect()
    sent = langfuse.show([s for span in spans if (s := dialect(span))]).observations
    full = langfuse.show([translate(span) for span in spans]).observations
    by_id = {one.id: one for one in sent}
    assert {o.id for o in full if o.level != "DEBUG"} <= by_id.keys()
    assert {o.name for o in sent if o.level == "DEBUG"} <= {"speech"}  # of which nothing was made
    assert [one.name for one in sent if one.parent not in by_id] == [
        one.name for one in full if not one.parent
    ]
    above = {one.id: one.parent for one in full}
    kinds = {span.span_id.hex(): span.name for span in spans}
    for one in sent:
        parent = above[one.id]
        while parent and parent != one.parent:
            assert parent not in by_id or kinds[parent] in names.INNER
            parent = above[parent]
        assert parent == one.parent


@pytest.mark.parametrize(("version", "scenario"), EVERY)
def test_nothing_is_read_but_what_we_wrote(version: str, scenario: str) -> None:
    """Servers that guess differently show the same: input, output, names, levels, usage."""
    spans = [translate(span) for span in stamped(scenario, version)]
    of_v4, with_pii = langfuse.show(spans), langfuse.show(spans, langfuse.V4_WITH_PII)
    assert of_v4 == with_pii
    legacy = langfuse.show(spans, langfuse.LEGACY)
    for ours, theirs in zip(of_v4.observations, legacy.observations, strict=True):
        assert (ours.name, ours.type, ours.level, ours.input, ours.output) == (
            *(theirs.name, theirs.type, theirs.level, theirs.input, theirs.output),
        )


@pytest.mark.parametrize("scenario", scenarios())
def test_without_any_stamp_nothing_breaks(scenario: str) -> None:
    """Spans that were never part of a running call of ours, such as a replayed file's."""
    for span in recorded(scenario):
        assert translate(span).attributes["langfuse.observation.type"]


JUNK = ("", "x", 1, -1.5, float("nan"), True, b"\xff", ["a"], "[]", "null", "[1]")
JUNK += ('{"metadata": 1, "ttfb": "x", "audio_duration": "x"}', '{"input_token_details": [1]}')
JUNK += ('{"prompt_tokens": "x", "output_token_details": {"text_tokens": null}}', '[{"role": 1}]')


@pytest.mark.parametrize("junk", JUNK, ids=repr)
@pytest.mark.parametrize("scenario", ["tools", "realtime_late", "llm_fallback"])
def test_whatever_the_attributes_hold_the_span_survives(scenario: str, junk: Any) -> None:
    """A LiveKit to come, or a value cut off by a limit, costs what it says and not the span."""
    dialect = LangfuseDialect(cost={"x": {"seconds": 1.0, "input": 1.0}}, detail="full")
    for span in stamped(scenario):
        for changed in ({}, {"gen_ai.request.model": "x"}):
            attributes = {**dict.fromkeys(span.attributes, junk), **changed}
            translated = dialect(span._replace(attributes=attributes))
            assert translated is not None
            assert all(
                type(v) in (str, int, float, bool, bytes, list)
                for v in (translated.attributes.values())
            )


def test_withheld_content_stays_withheld() -> None:
    """No text of the call is anywhere, while tokens, names and errors are."""
    translated = [translate(span) for span in stamped("withheld")]
    sent = json.dumps([[s.name, *map(str, s.attributes.values())] for s in translated])
    for secret in ("Oslo", "Sunny", "Book a table", "restaurant.", "database"):
        assert secret not in sent
    trace = langfuse.show(translated)
    assert (trace.total_tokens, trace.level) == (530, "ERROR")
