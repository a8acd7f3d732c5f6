"""Which of the spans around one call to a model counts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tracing import names, stamps
from tracing.account.foreign.reading import is_model_call, names_model, tokens_of
from tracing.account.open_span import OpenSpan
from tracing.span import Attributes, Span, as_number

_MAX_DEPTH = 32
_LIVEKITS_TOKENS = (f"{names.USAGE}input_tokens", f"{names.USAGE}output_tokens")


class ModelCalls:
    """Tells of each span whether it counts: the outermost does, of those that can.

    That is LiveKit's request where it can name the model, else another instrumentation's. Those
    inside end first, as a rule, with the counts: they are kept for the one outside, and are its
    own where it ends without any. `open_span` and `opened` have open spans by their id.
    """

    def __init__(
        self,
        open_span: Callable[[bytes], Span | None],
        opened: Mapping[int, OpenSpan],
    ) -> None:
        self._open_span = open_span
        self._opened = opened

    def ended(self, span: Span, opened: OpenSpan) -> Attributes:
        """What is told of another instrumentation's span that ends."""
        if not is_model_call(span.attributes):
            return {}
        own = tokens_of(span.attributes)
        if opened.holds_model_calls:
            counts_too = own or names_model(span.attributes)
            return {stamps.HOLDS_MODEL_CALLS: True} if counts_too else {}
        used, around = own or opened.used, self._call_around(span)
        above = around or self._request_of(opened)
        if around is None:
            _tell_above(opened, is_counted=bool(used), is_of_framework=above is None)
        if above is not None:
            above.used = _added(above.used, used)
            return {stamps.COUNTED_ABOVE: True}
        return {} if own else as_usage(used)

    def request_ended(self, span: Span, opened: OpenSpan) -> Attributes:
        """What is told of LiveKit's request that ends."""
        own = any(span.attributes.get(key) for key in _LIVEKITS_TOKENS)
        opened.counts = _names_livekits_model(span.attributes) and bool(own or opened.used)
        if opened.holds_model_calls:
            return {stamps.HOLDS_MODEL_CALLS: True}
        return {} if own else as_usage(opened.used)

    def _call_around(self, span: Span) -> OpenSpan | None:
        """Another instrumentation's call to a model, by its name, that is open around this one."""
        parent_id = span.parent_span_id
        for _ in range(_MAX_DEPTH):
            above = self._open_span(parent_id)
            if above is None or above.scope_name == names.SCOPE:
                return None
            opened = self._opened.get(as_number(parent_id))
            if opened is not None and _is_named_call(above.attributes):
                return opened
            parent_id = above.parent_span_id
        return None

    def _request_of(self, opened: OpenSpan) -> OpenSpan | None:
        """LiveKit's request around it, if it counts: one that ended without usage does not."""
        request = opened.request
        if request is None or request.counts is False:
            return None
        if request.counts:
            return request
        asked = self._open_span(request.span_id.to_bytes(8, "big"))
        return request if asked is not None and _names_livekits_model(asked.attributes) else None


def _is_named_call(attributes: Attributes) -> bool:
    return is_model_call(attributes) and names_model(attributes)


def as_usage(used: Mapping[str, int]) -> Attributes:
    """Counts as the attributes that OpenTelemetry has for them."""
    return {names.USAGE + name: count for name, count in used.items()}


def _names_livekits_model(attributes: Attributes) -> bool:
    """Whether LiveKit knows which model it asks; of a framework it does not."""
    return names.text(attributes, names.REQUEST_MODEL) not in ("", "unknown")


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> Mapping[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


def _tell_above(opened: OpenSpan, *, is_counted: bool, is_of_framework: bool) -> None:
    """Let the spans around the outermost call know, up to LiveKit's request.

    One that turns out to be a call itself, at its end, is the same; so is a framework's request.
    """
    above = opened.parent
    while above is not None and above is not opened.request:
        above.holds_model_calls = above.holds_model_calls or is_counted
        above = above.parent
    if above is not None and is_of_framework:
        above.holds_model_calls = True
