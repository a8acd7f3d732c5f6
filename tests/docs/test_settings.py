"""docs/settings.md and `.env.local.example` say what the settings say, and it is so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.docs.settings import DOCUMENT, OF_OTHERS, Setting, groups, markdown
from tests.fakes import ROOT
from tracing import Langfuse, Local, Otlp
from tracing.config.environment import VARIABLES
from tracing.config.load import BackendArguments, load_settings
from tracing.config.registry import REGISTRY

NOT_IN_EXAMPLE: Mapping[str, str] = {
    "OTEL_TRACES_SAMPLER_ARG": "goes with OTEL_TRACES_SAMPLER",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "for some backends of metrics alone",
    "HTTPS_PROXY": "of the machine",
    "HTTP_PROXY": "of the machine",
    "ALL_PROXY": "of the machine",
    "NO_PROXY": "of the machine",
    "PYTHON_DOTENV_DISABLED": "would switch off the file that it stands in",
}
"""Variables that `.env.local.example` does not have, and why."""


def test_document_is_what_the_settings_say() -> None:
    """After a change of a docstring, an argument or a variable: `python -m tests.docs.settings`."""
    assert DOCUMENT.read_text() == markdown()


def test_every_argument_has_one_line() -> None:
    """Each has words; those that a backend given by name takes are fields of its settings."""
    found = [(group.title, setting.name) for group in groups() for setting in group.settings]
    assert [name for name, times in Counter(found).items() if times > 1] == []
    assert [
        setting for group in groups() for setting in group.settings if not setting.meaning
    ] == []
    assert {name for _, name in found} >= BackendArguments.__annotations__.keys()
    owners = {word for group in groups() for word in re.findall(r"`(\w+)`", group.title)}
    assert owners >= {getattr(settings, "__name__", "") for settings in REGISTRY.values()}


def test_example_file_has_every_variable() -> None:
    """Each once, but for those that have a reason; and none that nobody reads."""
    lines = [line.lstrip("# ") for line in (ROOT / ".env.local.example").read_text().splitlines()]
    names = [line.partition("=")[0] for line in lines if "=" in line]
    named = Counter(name for name in names if name.isupper() and name.isascii())
    assert [name for name, times in named.items() if times > 1] == []
    assert {*named} == {*VARIABLES, *OF_OTHERS} - NOT_IN_EXAMPLE.keys()
    assert NOT_IN_EXAMPLE.keys() <= {*VARIABLES, *OF_OTHERS}


KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-0", "LANGFUSE_SECRET_KEY": "sk-lf-0"}
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
VALUES: Mapping[str, tuple[str, str]] = {
    "backend": ("console", "local"),
    "directory": ("/one", "/other"),
    "capture_content": ("false", "true"),
    "logs": ("info", "false"),
    "metrics": ("true", "false"),
    "log_events": ("true", "false"),
    "logs_endpoint": ("http://one:4318/v1/logs", "http://other:4318/v1/logs"),
    "logs_headers": ("a=1", "b=2"),
    "public_key": ("pk-lf-1", "pk-lf-2"),
    "secret_key": ("sk-lf-1", "sk-lf-2"),
    "base_url": ("https://one.example", "https://other.example"),
    "compression": ("none", "gzip"),
    "timeout": ("3", "4"),
    "certificate": ("one.pem", "other.pem"),
    "client_certificate": ("one.pem", "other.pem"),
    "client_key": ("one.pem", "other.pem"),
    "sample_rate": ("0.25", "0.5"),
    "scores": ("false", "all"),
    "recording": ("true", "false"),
    "endpoint": ("http://one:4318", "http://other:4318"),
    "headers": ("a=1", "b=2"),
    "dialect": ("langfuse", "plain"),
    "environment": ("one", "other"),
    "release": ("one", "other"),
    "detail": ("full", "call"),
}
"""Of each argument that a variable can give: what is to win, and what is not."""

OWNERS: Mapping[str, Any] = {"Langfuse": Langfuse, "Otlp": Otlp, "Local": Local}
WINNERS = [
    (group.title.strip("`").partition("`")[0], setting, number)
    for group in groups()
    for setting in group.settings
    for number in range(len(setting.variables))
]


@pytest.mark.parametrize(
    ("owner", "setting", "number"),
    WINNERS,
    ids=[f"{owner}.{setting.name}-{number}" for owner, setting, number in WINNERS],
)
def test_what_is_named_first_wins(
    owner: str, setting: Setting, number: int, tmp_path: Path
) -> None:
    """The argument before all of its variables, and each of these before those behind it."""
    for name in VALUES["certificate"]:
        (tmp_path / name).touch()
    this, that = VALUES[setting.name]
    beside = {"client_certificate": "one.pem"} if setting.name == "client_key" else {}
    behind = {name: _as_variable(name, that) for name in setting.variables[number:]}
    load = partial(_load, owner, setting.name)
    by_argument = load({setting.name: this, **beside}, behind)
    first = setting.variables[number]
    assert load(beside, {**behind, first: _as_variable(first, this)}) == by_argument
    assert load(beside, behind) != by_argument


def _as_variable(name: str, value: str) -> str:
    """One variable is taken as it is, where others have a path appended."""
    return f"{value}/v1/traces" if name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" else value


def _load(owner: str, name: str, arguments: Mapping[str, str], environ: Mapping[str, str]) -> Any:
    """What is in force of a setting, or of all settings, whatever named the backend."""
    given: dict[str, Any] = {**arguments}
    if owner in OWNERS:
        base = {} if owner == "Local" else KEYS if owner == "Langfuse" else ENDPOINT
        found = load_settings([OWNERS[owner](**given)], environ={**base, **environ})
        [backend] = found.backends.values()
        return getattr(backend, name)
    wanted = given.pop("backend", None)
    base = ENDPOINT if environ.keys() & {"TRACING_METRICS"} else {}
    settings = load_settings(wanted, environ={**base, **environ}, **given)
    return replace(settings, chosen_by="", unused=())
