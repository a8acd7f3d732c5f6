"""A table in the terminal after each turn: its parts, and what its models reported."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from tracing import names, stamps
from tracing.account.measured import Measured
from tracing.account.turns.latency import parts_of
from tracing.account.turns.turn import Turn, metrics, named
from tracing.read.used import in_words
from tracing.safe_text import printable
from tracing.span import Attributes

Row = tuple[str, str]

_FACTS = (
    (stamps.TURN_LATENCY, "User to agent", "s"),
    (stamps.TURN_HEARD_LATENCY, "Heard, from sound to sound", "s"),
    (stamps.TURN_SPEECH_TAIL, "  speech tail", "s"),
    (stamps.TURN_VOICE_LEAD_IN, "  voice's lead-in", "s"),
    (stamps.TURN_FIRST_OUTPUT, "First output", "s"),
    (stamps.TURN_OVERLAP, "Gained by preemptive generation", "s"),
    (stamps.TURN_TTFS, "Time to first sentence", "s"),
    (stamps.TURN_TTFB, "TTS until first audio", "s"),
    (stamps.TURN_PLAYBACK_LATENCY, "Playback latency", "s"),
    (stamps.TURN_TTS_CHARACTERS, "TTS characters", ""),
    (stamps.TURN_TOOL_CALLS, "Tool calls", ""),
    (stamps.TURN_TOOL_FAILURES, "Tool failures", ""),
    (stamps.TURN_RETRIES, "Retries", ""),
    (stamps.TURN_FALLBACKS, "Fallbacks", ""),
)


class TurnTable:
    """Prints the tables in a thread of its own, so that drawing never holds up the call."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._printer = ThreadPoolExecutor(1, thread_name_prefix="tracing-table")

    def turn_ended(self, turn: Turn, stamped: Attributes) -> None:
        """Print a turn's tables."""
        self._print(lambda: Group(*turn_tables(turn, stamped)))

    def session_ended(self, stamped: Attributes) -> None:
        """Print the summary."""
        self._print(lambda: summary_table(stamped))

    def close(self) -> None:
        """Wait until all is printed."""
        self._printer.shutdown()

    def _print(self, render: Callable[[], RenderableType]) -> None:
        with contextlib.suppress(RuntimeError):  # closed, or the interpreter ends
            self._printer.submit(lambda: self._console.print(render()))


def turn_tables(turn: Turn, stamped: Attributes) -> Iterator[Table]:
    """A turn's own table, and one for each request to its LLM or realtime model."""
    title = f"Turn {stamped[stamps.TURN_NUMBER]!s} · {stamped[stamps.TURN_KIND]!s}"
    for key, word in (
        (stamps.TURN_BARGED_IN, "barged in"),
        (stamps.TURN_OVER_BUDGET, "over budget"),
    ):
        title += f" · {word}" if stamped.get(key) else ""
    yield _table(title, _turn_rows(stamped))
    for measured in metrics(named(turn.steps, names.LLM_REQUEST), names.LLM_METRICS):
        yield _table("LLM", _llm_rows(measured))
    realtime = named(turn.steps, names.REALTIME_INFERENCE, names.REALTIME_METRICS)
    for measured in metrics(realtime, names.REALTIME_METRICS_JSON):
        yield _table("Realtime model", _realtime_rows(measured))


def summary_table(stamped: Attributes) -> Table:
    """A session's summary."""
    return _table("Call", _call_rows(stamped))


def _call_rows(stamped: Attributes) -> Iterator[Row]:
    for key, value in stamped.items():
        if key == stamps.CALL_USAGE:
            yield from in_words(value)
        else:
            yield key[len(stamps.CALL) :], _shown(value)


def _table(title: str, rows: Iterator[Row]) -> Table:
    table = Table(title=_text(title), box=box.ROUNDED, title_justify="left")
    table.add_column("Metric", style="green")
    table.add_column("Value", justify="right")
    for name, value in rows:
        table.add_row(_text(name), _text(value))
    return table


def _text(words: str) -> str:
    """Words that Rich takes for no markup, and a terminal for no command."""
    return escape(printable(words))


def _turn_rows(stamped: Attributes) -> Iterator[Row]:
    for key, label, unit in _FACTS:
        if key in stamped:
            yield label, f"{_shown(stamped[key])}{unit and ' ' + unit}"
        if key == stamps.TURN_FIRST_OUTPUT:
            for name, seconds in parts_of(stamped).items():
                yield f"  {name}", f"{seconds:.3f} s"


def _llm_rows(measured: Measured) -> Iterator[Row]:
    yield from _request_rows(measured, "Time to first token")
    yield "Prompt tokens", str(measured.count("prompt_tokens"))
    yield "  cached", str(measured.count("prompt_cached_tokens"))
    yield "Completion tokens", str(measured.count("completion_tokens"))
    yield from _total_rows(measured)


def _realtime_rows(measured: Measured) -> Iterator[Row]:
    yield from _request_rows(measured, "Time to first audio token")
    sent, made = measured.part("input_token_details"), measured.part("output_token_details")
    yield "Input tokens", str(measured.count("input_tokens"))
    for kind in ("audio", "text", "image", "cached"):
        yield f"  {kind}", str(sent.count(f"{kind}_tokens"))
    yield "Output tokens", str(measured.count("output_tokens"))
    for kind in ("audio", "text"):
        yield f"  {kind}", str(made.count(f"{kind}_tokens"))
    yield from _total_rows(measured)


def _request_rows(measured: Measured, first: str) -> Iterator[Row]:
    yield "Model", measured.part("metadata").text("model_name") or measured.text("label")
    yield "Request", measured.text("request_id")
    if at := measured.number("timestamp"):
        yield "Time", datetime.fromtimestamp(at).strftime("%H:%M:%S")
    lasted, ttft = measured.number("duration"), measured.number("ttft")
    if lasted is not None:
        yield "Duration", f"{lasted:.3f} s"
    yield first, f"{ttft:.3f} s" if ttft is not None else "none came"
    yield "Cancelled", "yes" if measured.is_true("cancelled") else "no"


def _total_rows(measured: Measured) -> Iterator[Row]:
    yield "Total tokens", str(measured.count("total_tokens"))
    yield "Tokens per second", f"{measured.number('tokens_per_second') or 0:.1f}"


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
