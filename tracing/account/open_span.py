"""An open span of a call, as far as its neighbours ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracing.account.said import Said
from tracing.account.told.prompts import Prompt


class OpenSpan:
    """A span that has not ended, as far as those below it ask; most are asked for nothing."""

    number = 0
    failed_below = False
    is_preemptive = False
    is_probe = False
    scope: Any = None
    """The session or turn that it is in, which `Call` knows; that of its parent at first."""
    parent: OpenSpan | None = None
    steps: Sequence[Said] = ()
    """Of an `agent_turn`: the text of each generation."""
    speaking: Sequence[int] = ()
    """Of an `agent_turn`: when the agent began to be heard."""
    shown_parent = 0
    """The nearest span above that is none of `names.INNER`, where the parent is one; else 0."""
    prompt: Prompt | None = None
    """Of an `llm_request` or a `realtime_inference`: what it was asked with."""
    request: OpenSpan | None = None
    """The `llm_request` that it is in, or is."""
    span_id = 0
    """Of an `llm_request`."""
    holds_model_calls = False
    """Another instrumentation counts what was used below it."""
    used: Mapping[str, int] = {}
    """Of a call to a model: the tokens that those inside it counted."""
    counts: bool | None = None
    """Of an `llm_request` that ended: whether it has counted what was used."""
    error_type: str | None = None
    """Of a `session_close`: the error that it was for, once it ended."""
