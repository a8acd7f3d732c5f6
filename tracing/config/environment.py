"""The environment variables that settings are read from, and how their values are read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

VIEW_LINKS = "TRACING_VIEW_LINKS"
"""Read by the viewer alone."""

VARIABLES: Mapping[str, str] = {
    "TRACING_BACKEND": "langfuse, otlp, local, console, or several with commas",
    "TRACING_DIR": "where the spool and the local store live; default .tracing",
    "TRACING_CAPTURE_CONTENT": "false: no transcripts, messages, tool payloads leave the process",
    "LIVEKIT_TELEMETRY_ALLOW_PII": "LiveKit's own; 0 or false: as TRACING_CAPTURE_CONTENT=false",
    "TRACING_LOGS": "log lines of a call are recorded from: warning (default), info; or false",
    "TRACING_LANGFUSE_LOG_EVENTS": "true: warnings and errors are events of their spans, too",
    "TRACING_INPUT_DELTA": "true: each LLM call records only the messages new since the last one",
    "TRACING_SPOOL_MIB": "disk that undelivered spans may take, in MiB; default 256",
    "TRACING_MAX_AGE_DAYS": "undelivered spans are dropped after so many days; default 7",
    "TRACING_DRAINER": "process (default) or thread: where spans are delivered from",
    "TRACING_WRITE": "direct (default) or thread: who waits for the disk, and what SIGKILL costs",
    "TRACING_STOP_SECONDS": "what a stopping worker gives the drain; default 5",
    "TRACING_METRICS": "true: export metrics, to an OTLP endpoint and never to Langfuse",
    "TRACING_OTLP_DIALECT": "plain (default), or langfuse: for a collector that forwards to it",
    "TRACING_LANGFUSE_DETAIL": "call (default): what a person sees in Langfuse; full: every span",
    "TRACING_SCORES": "scores of turns and calls in Langfuse: true (default), false, or all",
    "TRACING_RECORDING": "true: Langfuse and the local store get a session's audio",
    VIEW_LINKS: "NAME=ADDRESS with {trace_id}, several with commas: links of the viewer",
    "LANGFUSE_PUBLIC_KEY": "pk-lf-...",
    "LANGFUSE_SECRET_KEY": "sk-lf-...",
    "LANGFUSE_BASE_URL": "region or own server; default https://cloud.langfuse.com",
    "LANGFUSE_HOST": "the older name of LANGFUSE_BASE_URL",
    "LANGFUSE_TRACING_ENVIRONMENT": "Langfuse environment of the traces, such as production",
    "LANGFUSE_RELEASE": "release of your agent",
    "LANGFUSE_TIMEOUT": "seconds for one request; default 10",
    "LANGFUSE_OTEL_COMPRESSION": "gzip (default) or none",
    "LANGFUSE_SAMPLE_RATE": "share of the traces that Langfuse gets, 0 to 1; default 1",
    "LANGFUSE_TRACING_ENABLED": "false: Langfuse gets nothing",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "base URL; /v1/traces, /v1/logs, /v1/metrics are appended",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "full URL, taken as it is",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "full URL for log lines, taken as it is",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "full URL for metrics, taken as it is",
    "OTEL_EXPORTER_OTLP_HEADERS": "key=value,key=value",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "the same, for log lines alone",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "the same, for metrics alone",
    "OTEL_METRIC_EXPORT_INTERVAL": "milliseconds between exports of metrics; default 5000",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf is the only one spoken",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip (default) or none",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "seconds for one request; default 10",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "path of a CA bundle",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "path of a client certificate",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY": "path of the client certificate's key",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": "the same, for traces alone",
    "OTEL_SDK_DISABLED": "true: record nothing",
}
"""Every variable that is read here, with what it takes. The OpenTelemetry SDK itself reads
OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES and OTEL_TRACES_SAMPLER(_ARG)."""


_OURS = "TRACING_"
_NEARLY: Mapping[str, float] = {_OURS: 0.9, "OTEL_EXPORTER_": 0.88, "LANGFUSE_": 0.8}
"""By prefix: how similar, as difflib has it, a name is that was meant to be one of `VARIABLES`."""
_OPENTELEMETRYS = re.compile(
    r"OTEL_EXPORTER_OTLP_(?:(?:TRACES|LOGS|METRICS)_)?"
    r"(?:PROTOCOL|TIMEOUT|COMPRESSION|INSECURE|CERTIFICATE|CLIENT_CERTIFICATE|CLIENT_KEY)"
)
"""Its own names that are like ours: another exporter of the process may read them."""

_WORDS: Mapping[object, bool] = {
    **dict.fromkeys((True, "true", "1", "yes", "on"), True),
    **dict.fromkeys((False, "false", "0", "no", "off"), False),
}
"""What a flag may be, with what it means; 1 and 0 are True and False."""


def unquoted(text: str) -> str:
    """A value without the quotes that `docker --env-file` and the like leave around it."""
    text = text.strip()
    quote = text[:1]
    if len(text) > 1 and quote in ("'", '"') and text.find(quote, 1) == len(text) - 1:
        return text[1:-1].strip()
    return text


def as_flag(given: object) -> bool | None:
    """What a flag says, in a word too: a text is not a yes. None for what says neither."""
    word = unquoted(given).lower() if isinstance(given, str) else given
    return _WORDS.get(word) if isinstance(word, (bool, int, str)) else None


def may_be_meant(name: str) -> bool:
    """Whether it is one of `VARIABLES`, or of their prefixes, so that it may be one misspelt."""
    return name in VARIABLES or name.startswith(tuple(_NEARLY))


def _meant_by(name: str) -> str:
    """The variable that a name nearly is; "" for one that is right, or of somebody else."""
    if name in VARIABLES or _OPENTELEMETRYS.fullmatch(name):
        return ""
    nearly = (how for prefix, how in _NEARLY.items() if name.startswith(prefix))
    return next(iter(get_close_matches(name, VARIABLES, 1, next(nearly, 1.0))), "")


class Environment:
    """Reads variables and gathers the problems found while doing so."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._asked_for: set[str] = set()
        self.problems: list[str] = []
        self.remarks: list[str] = []
        """What works, and would be better otherwise: with the mend."""
        self.misspelt: list[str] = []
        """Variables of others' prefixes that nothing reads, in place of one that is not set."""

    def text(self, *names: str) -> str:
        """The first of these variables that has a value; "" where none has."""
        self._asked_for.update(names)
        return next((value for name in names if (value := self.peek(name))), "")

    def peek(self, name: str) -> str:
        """The value of a variable that by this alone is not used yet; "" where it has none."""
        assert name in VARIABLES, name
        return unquoted(self._environ.get(name, ""))

    def named(self, *names: str) -> str:
        """Which of these variables has a value; the first of them where none has."""
        return next((name for name in names if self.peek(name)), names[0])

    def unused(self) -> list[str]:
        """The variables that have a value which nothing asked for."""
        read = {*self._asked_for, VIEW_LINKS}
        return [name for name in VARIABLES if name not in read and self.peek(name)]

    def check_spelling(self) -> None:
        """Note a name that is nearly one: with our prefix a problem, for it may protect people."""
        for name in self._environ:
            meant = _meant_by(name)
            text = f"{name} is set, which nothing reads: {meant} is meant?"
            if meant and name.startswith(_OURS):
                self.problems.append(text)
            elif meant and not self.peek(meant):
                self.misspelt.append(text)

    def number(self, name: str, default: float, *more: str, **bounds: Any) -> float:
        """A number within the bounds of `check_number`; anything else is a problem."""
        found, text = self.named(name, *more), self.text(name, *more)
        return self.check_number(found, text, default, **bounds) if text else default

    def check_number(
        self,
        name: str,
        given: object,
        default: float,
        *,
        zero: bool = False,
        most: float = math.inf,
    ) -> float:
        """The positive number given under a name, or 0 where `zero` says so; else a problem."""
        try:
            value = float(str(given))
        except ValueError:
            value = -1.0
        if (0 < value < math.inf or (zero and value == 0)) and value <= most:
            return value
        limit = f" up to {most:g}" if value > most else ""
        self.problems.append(
            f"{name} is {shown(given)}: give a positive number{limit}, such as {default:g}"
        )
        return default

    def flag(self, name: str, *, default: bool) -> bool:
        """true or false; anything else is a problem."""
        text = self.text(name)
        return self.check_flag(name, text, default=default) if text else default

    def check_flag(self, name: str, given: object, *, default: bool) -> bool:
        """The flag given under a name; anything else is a problem."""
        flag = as_flag(given)
        if flag is None:
            given = given.lower() if isinstance(given, str) else given
            self.problems.append(f"{name} is {shown(given)}: give true or false")
        return default if flag is None else flag

    def flag_or(self, argument: str, given: object, name: str, *, default: bool) -> bool:
        """The flag given as an argument, else what a variable says."""
        if given is None:
            return self.flag(name, default=default)
        return self.check_flag(argument, given, default=default)

    def check_text(self, name: str, given: object) -> str:
        """The text given under a name; "" for None, and anything else is a problem."""
        if given is not None and not isinstance(given, str):
            self.problems.append(f"{name} is a {type(given).__name__}: give a text")
        return unquoted(given) if isinstance(given, str) else ""

    def check_texts(self, name: str, given: object) -> tuple[str, ...]:
        """The list of texts given under a name; a text alone is a problem, as is anything else."""
        texts = tuple(given) if isinstance(given, (list, tuple, set, frozenset)) else None
        others = None if texts is None else [text for text in texts if not isinstance(text, str)]
        if texts is None or others:
            found = f"holds {shown(others[0])}" if others else f"is {shown(given)}"
            self.problems.append(f"{name} {found}: give a list of texts, such as ['a']")
            return ()
        return texts

    def without_variables(self) -> Environment:
        """One in which nothing is set, and which gathers its problems here."""
        return self._only({})

    def without_otlp(self) -> Environment:
        """One without the variables of the OTLP exporter, which gathers its problems here."""
        kept = {
            name: value
            for name, value in self._environ.items()
            if not name.startswith("OTEL_EXPORTER_OTLP_")
        }
        return self._only(kept)

    def _only(self, environ: Mapping[str, str]) -> Environment:
        part = Environment(environ)
        part.problems, part.remarks = self.problems, self.remarks
        part._asked_for = self._asked_for
        return part

    def choice(self, name: str, default: Any, accepted: Sequence[str]) -> Any:
        """One of a closed set; anything else is a problem."""
        text = self.text(name).lower() or default
        if text in accepted:
            return text
        self.problems.append(f"{name} is {text!r}: give {' or '.join(accepted)}")
        return default


def shown(given: object) -> str:
    """A wrong value as a problem may show it: of what is no plain value its type alone."""
    plain = given is None or isinstance(given, (bool, int, float, str))
    return repr(given) if plain else f"a {type(given).__name__}"
