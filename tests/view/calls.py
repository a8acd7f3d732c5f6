"""Calls for the pages: recorded ones, and one in which every word is hostile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tracing import names, stamps
from tracing.otlp_json import read_spans
from tracing.read.sources import FromSpans, RecordedFiles
from tracing.span import AttributeValue, Span
from tracing.store.call_rows import CallSummary, summarize
from tracing.view.library import Call, Library, call_of

RECORDINGS = Path(__file__).parents[1] / "recordings"
TOOLS = RECORDINGS / "1.8.9" / "tools.json"
VOICE = RECORDINGS / "1.8.9" / "voice.json"

SCRIPT = "<script>window.broken=1</script>"
ATTRIBUTE = '"><img src=x onerror="window.broken=1">'
RIGHT_TO_LEFT = "\u202e\u0645\u0631\u062d\u0628\u0627\u202c"
HOSTILE = f"{SCRIPT}{ATTRIBUTE}{RIGHT_TO_LEFT}\x1b[2J"

_KEPT = ("turn.kind", "lk.stt.events", "lk.eou.outcome", "lk.interruption.source")


def library(*files: Path) -> Library:
    """The calls of recorded files."""
    return Library(RecordedFiles(files), "recorded")


def only_call(path: Path) -> Call:
    """The call of a file."""
    spans = list(read_spans(path))
    found = RecordedFiles([path])
    trace_id = next(found.calls()).trace_id
    mine = [span for span in spans if span.trace_id.hex() == trace_id]
    return call_of(mine)


def hostile(spans: Iterable[Span]) -> list[Span]:
    """The same spans with a hostile word at the end of every text and in every tool's name."""
    return [
        span._replace(
            status_message=HOSTILE,
            scope_version=HOSTILE,
            attributes={_key(key): _value(key, value) for key, value in span.attributes.items()},
        )
        for span in spans
    ]


def _key(key: str) -> str:
    return f"{key}{HOSTILE}" if key.startswith("turn.part_seconds.tool.") else key


def _value(key: str, value: AttributeValue) -> AttributeValue:
    if not isinstance(value, str) or key in _KEPT or value[:1] in "[{":
        return value
    return f"{value} {HOSTILE}"


def with_tools(call: Call, count: int) -> list[Span]:
    """The same in which the first tool is one of so many at once; every seventh fails."""
    tool = next(span for span in call.recorded if span.name == names.FUNCTION_TOOL)
    more = [
        tool._replace(
            span_id=number.to_bytes(8, "big"),
            start_time_unix_nano=tool.start_time_unix_nano + number * 1_000_000,
            attributes={
                **tool.attributes,
                names.TOOL_NAME: f"look_up_number_{number}",
                names.TOOL_IS_ERROR: number % 7 == 0,
            },
        )
        for number in range(1, count)
    ]
    return [*call.recorded, *more]


def cut(call: Call, at_seconds: float) -> list[Span]:
    """What is known of a call while it goes on."""
    now = call.tree.start_time_unix_nano + int(at_seconds * 1e9)
    return [
        span if span.end_time_unix_nano <= now else _open(span)
        for span in call.recorded
        if span.start_time_unix_nano < now
    ]


def _open(span: Span) -> Span:
    """As it was before it ended: what it brought is not known."""
    brought = (*names.TOOL_OUTPUT, *names.RESPONSE_TEXT)
    left = {
        key: value
        for key, value in span.attributes.items()
        if key not in brought and not key.startswith(stamps.TURN)
    }
    return span._replace(end_time_unix_nano=0, attributes=left)


def killed(call: Call, at_seconds: float) -> list[Span]:
    """What is known of a call whose process died, when recovery has closed what was open."""
    died = {"error.type": "process_died", "tracing.recovered.reason": "killed"}
    at = call.tree.start_time_unix_nano + int(at_seconds * 1e9)
    return [
        span
        if span.end_time_unix_nano
        else span._replace(
            end_time_unix_nano=at, status_code=2, attributes={**span.attributes, **died}
        )
        for span in cut(call, at_seconds)
    ]


class Given(FromSpans):
    """A source of one call."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = list(spans)

    def calls(self, **_: object) -> Iterator[CallSummary]:
        """That call."""
        return iter(summarize(self._spans))

    def spans(self, trace_id: str) -> list[Span]:
        """Its spans."""
        return self._spans
