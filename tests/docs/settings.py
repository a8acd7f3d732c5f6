"""`python -m tests.docs.settings` writes docs/settings.md from the settings themselves.

The text of a setting is the docstring of its field, or its line in the docstring of the function
that takes it. What comes after "; else " is where it comes from when it is not given: variables,
the first that is set, and the default.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import textwrap
from collections import abc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from livekit.agents import AgentSession
from typing_extensions import Unpack

from tracing import Langfuse, Local, Otlp, observe, setup_tracer, span
from tracing.config.backends import BackendSettings
from tracing.config.environment import VARIABLES
from tracing.config.labels import TraceLabels
from tracing.config.load import BackendArguments
from tracing.config.registry import REGISTRY

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"

OF_OTHERS: Mapping[str, str] = {
    "LIVEKIT_URL": "LiveKit: the server that an agent answers for",
    "LIVEKIT_API_KEY": "LiveKit: its key; LiveKit Inference goes by it, too",
    "LIVEKIT_API_SECRET": "LiveKit: the key's secret",
    "OTEL_SERVICE_NAME": "the OpenTelemetry SDK: `service.name` on the resource",
    "OTEL_RESOURCE_ATTRIBUTES": "the OpenTelemetry SDK: more of the resource, `key=value,...`",
    "OTEL_TRACES_SAMPLER": "the OpenTelemetry SDK: which traces are recorded at all",
    "OTEL_TRACES_SAMPLER_ARG": "the OpenTelemetry SDK: the sampler's share",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "the OpenTelemetry SDK: see metrics.md",
    "HTTPS_PROXY": "the proxy for https addresses, as `requests` reads it; small letters, too",
    "HTTP_PROXY": "the same for http addresses",
    "ALL_PROXY": "the same for both",
    "NO_PROXY": "names, networks and ports that are reached without one",
    "PYTHON_DOTENV_DISABLED": "python-dotenv: 1: neither `.env.local` nor `.env` is read",
}
"""What others read, and what our calls depend on."""

_NAMES = {
    **{name: object if isinstance(kind, str) else kind for name, kind in vars(span).items()},
    "Unpack": Unpack,
}
"""What annotations name that is there for type checkers alone, or refers to itself."""

_SIGNAL = re.compile(r"(OTEL_EXPORTER_OTLP_)\[(TRACES_)\](\w+)")
"""How OpenTelemetry writes two variables at once: the signal's own is read first."""
_ELSE = re.compile(r"(?P<meaning>.*); else (?P<otherwise>.*)", re.DOTALL)
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_ITEM = re.compile(r"^- `(\w+)`: ", re.MULTILINE)


@dataclass(frozen=True)
class Setting:
    """One argument: its name and type, what it means, and what it is when it is not given."""

    name: str
    kind: str
    meaning: str
    otherwise: str

    @property
    def variables(self) -> list[str]:
        """The variables that it comes from, the first that is set."""
        return _VARIABLE.findall(self.otherwise)


@dataclass(frozen=True)
class Group:
    """What takes some settings: its heading, what to know of all, and the settings."""

    title: str
    told: str
    settings: list[Setting]


def groups() -> list[Group]:
    """Every argument that there is, each in one group."""
    shared = _of_fields(TraceLabels)
    names = {setting.name for setting in shared}
    return [
        Group("`setup_tracer`", SETUP.format(not_by_name()), _of_function(setup_tracer)),
        Group("`Langfuse`", _told(Langfuse), _of_fields(Langfuse, names)),
        Group("`Otlp`", _told(Otlp), _of_fields(Otlp, names)),
        Group("`Langfuse` and `Otlp`: labels", LABELS, shared),
        Group("`Local`", _told(Local), _of_fields(Local)),
        Group("`Console`", _told(REGISTRY["console"]), []),
        Group("`observe`", OBSERVE, _of_function(observe)),
    ]


def not_by_name() -> str:
    """The fields of settings that are no argument of `setup_tracer`."""
    known = BackendArguments.__annotations__
    names = dict.fromkeys(
        field.name for owner in (Langfuse, Otlp, Local) for field in fields(owner)
    )
    return " and ".join(f"`{name}`" for name in names if name not in known)


def _told(owner: Any) -> str:
    return _coded(" ".join(str(inspect.getdoc(owner)).split()))


def _of_function(function: Callable[..., Any]) -> list[Setting]:
    told = _items(str(inspect.getdoc(function)))
    hints = get_type_hints(function, localns=_NAMES)
    parameters = inspect.signature(function).parameters
    assert list(told) == list(parameters), f"{function.__name__}: one line for each argument"
    return [_setting(name, hints[name], told[name]) for name in parameters]


def _items(docstring: str) -> dict[str, str]:
    """The list in a docstring: what it says of each argument."""
    [_, *found] = _ITEM.split(docstring)
    return {name: text.partition("\n\n")[0] for name, text in zip(*[iter(found)] * 2, strict=True)}


def _of_fields(owner: type, without: set[str] | None = None) -> list[Setting]:
    told = {name: text for base in owner.__mro__[-2::-1] for name, text in _docstrings(base)}
    hints = get_type_hints(owner)
    return [
        _setting(field.name, hints[field.name], told[field.name])
        for field in fields(owner)
        if field.name not in (without or ())
    ]


def _docstrings(owner: type) -> Iterator[tuple[str, str]]:
    """What stands below each field of a class."""
    [body] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(body, ast.ClassDef)
    for field, below in zip(body.body, body.body[1:], strict=False):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            yield field.target.id, str(below.value.value)  # type: ignore[attr-defined]


def _setting(name: str, hint: Any, text: str) -> Setting:
    text = _SIGNAL.sub(r"\1\2\3, \1\3", " ".join(text.split()).rstrip("."))
    found = _ELSE.fullmatch(text)
    if found is None:
        return Setting(name, _kind(hint), text, "")
    return Setting(name, _kind(hint), found["meaning"], found["otherwise"])


def _kind(hint: Any) -> str:
    """A type as a person writes it; that an argument may be None goes without saying."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_kind(part) for part in parts if part is not NoneType))
    if origin is Literal:
        return " or ".join(f'`"{word}"`' for word in parts)
    if origin is abc.Callable:
        [takes, gives] = parts
        return f"function, {', '.join(map(_kind, takes))} -> {_kind(gives)}"
    if origin is abc.Mapping and parts[1] is not str:
        return "mapping of mappings" if get_origin(parts[1]) is abc.Mapping else "mapping"
    if origin is not None:
        return _KINDS.get(origin, origin.__name__)
    return _KINDS.get(hint, f"`{hint.__name__}`")


_KINDS: Mapping[Any, str] = {
    str: "text",
    bool: "bool",
    float: "number",
    abc.Mapping: "mapping of texts",
    abc.Sequence: "list",
    abc.Iterable: "list of texts",
    os.PathLike: "path",
    BackendSettings: "settings",
    AgentSession: "`AgentSession`",
    Unpack: "see below",
}


def markdown() -> str:
    """The whole document."""
    found = groups()
    parts = [HEAD, *(_section(group) for group in found), _variables(found), _of_others()]
    return "\n".join(parts)


def _section(group: Group) -> str:
    rows = [
        f"| `{one.name}` | {one.kind} | {_coded(one.meaning)} | {_coded(one.otherwise)} |"
        for one in group.settings
    ]
    table = ["| argument | type | | when not given |", "|---|---|---|---|", *rows, ""]
    return "\n".join([f"## {group.title}", "", group.told, "", *(table if rows else [])])


def _variables(found: list[Group]) -> str:
    before = {
        name: [
            f"`{_owner(group)}{setting.name}`"
            for group in found
            for setting in group.settings
            if name in setting.variables
        ]
        for name in VARIABLES
    }
    rows = [
        f"| `{name}` | {_coded(text)} | {', '.join(before[name])} |"
        for name, text in VARIABLES.items()
    ]
    head = ["## Environment variables", "", ENVIRONMENT, ""]
    return "\n".join([*head, "| variable | | goes after |", "|---|---|---|", *rows, ""])


def _owner(group: Group) -> str:
    kinds = re.findall("[A-Z]\\w+", group.title)
    return f"{kinds[0]}." if len(kinds) == 1 else ""


def _of_others() -> str:
    rows = [f"| `{name}` | {text} |" for name, text in OF_OTHERS.items()]
    return "\n".join(["## Read by others", "", "| variable | |", "|---|---|", *rows, ""])


def _coded(text: str) -> str:
    """Names of variables as code, and nothing that a table takes for its own."""
    text = re.sub(r"(?<![`\w])([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\*?(?:_\*)?)(?![`\w])", r"`\1`", text)
    return text.replace("|", "\\|")


SETUP = """\
Once per process, where the agent's module is imported. A backend that is given by name takes the
fields of `Langfuse`, `Otlp` and `Local` below as arguments here, too, but for
{}: `setup_tracer("langfuse", environment="staging")`."""

LABELS = """\
What is said of every trace in Langfuse. For `Otlp` they count with `dialect="langfuse"`;
`environment` is on the resource of its spans in any case."""

OBSERVE = """\
Once per session; optional. What is wrong here is said in the log, and the call goes on."""

ENVIRONMENT = """\
An empty value is no value. A name that is nearly one of `TRACING_*` is a problem; what is set and
not used is said in the line that says where spans go. The last column has the arguments that go
before the variable."""

HEAD = """\
<!-- Written by `python -m tests.docs.settings`: change the docstrings, not this file. -->
# Settings

An argument goes before `TRACING_*`, that before the vendor's own variables (`LANGFUSE_*`), those
before `OTEL_*`, and those before the default; "when not given" has them in this order. Variables
come from the process, else from `.env.local`, else from `.env`, in the working directory and then
beside the main script. Every problem is in one `ConfigError`, at set-up.

What a command takes, it says itself: `python -m tracing report --help`.
"""


if __name__ == "__main__":
    DOCUMENT.write_text(markdown())
