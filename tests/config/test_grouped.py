"""Backends given as settings: what each is told, alone or beside others."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from tracing import Backend, ConfigError, Langfuse, Local, Otlp
from tracing.config import labels, langfuse, otlp
from tracing.config.backends import OTLP_HTTP
from tracing.config.langfuse import DIALECT
from tracing.config.load import BackendArguments, load_settings
from tracing.config.settings import backends_of

KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1234", "LANGFUSE_SECRET_KEY": "sk-lf-5678"}
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("grouped", "flat"),
    [
        (
            Langfuse(environment="staging", scores="all"),
            {"environment": "staging", "scores": "all"},
        ),
        (Langfuse(public_key="pk-lf-9", timeout=2), {"public_key": "pk-lf-9", "timeout": 2}),
        (Langfuse(scores=False), {"scores": False}),
        (Langfuse(tags=["a"], cost={"m": {"s": 1}}), {"tags": ["a"], "cost": {"m": {"s": 1}}}),
        (
            Otlp(endpoint="http://other:1", headers="a=b"),
            {"endpoint": "http://other:1", "headers": "a=b"},
        ),
        (Otlp(dialect="langfuse", release="7"), {"dialect": "langfuse", "release": "7"}),
        (Otlp(compression="none"), {"compression": "none"}),
    ],
)
def test_settings_say_the_same_as_arguments(grouped: Any, flat: dict[str, Any]) -> None:
    """What is not given comes from the same variables."""
    environ = {**KEYS, **ENDPOINT}
    name = "langfuse" if isinstance(grouped, Langfuse) else "otlp"
    assert load_settings([grouped, "local"], environ=environ) == load_settings(
        [name, "local"], environ=environ, **flat
    )


RECORDING: list[tuple[str, Any, dict[str, Any], bool, list[bool]]] = [
    ("not unless it is asked for", ["langfuse", "local"], {}, False, []),
    ("for both", ["langfuse", "local"], {"recording": True}, True, [True]),
    ("the store alone", "local", {"recording": True}, True, []),
    ("the store's settings", Local(recording=True), {}, True, []),
    ("Langfuse's beside the store", [Langfuse(recording=True), "local"], {}, True, [True]),
    ("the store's beside Langfuse", ["langfuse", Local(recording=True)], {}, True, []),
    ("Langfuse alone", "langfuse", {"recording": True}, True, [False]),
    ("an endpoint takes none", "otlp", {}, False, []),
    (
        "never where content is withheld",
        ["langfuse", "local"],
        {"recording": True, "capture_content": False},
        False,
        [],
    ),
]


@pytest.mark.parametrize(
    ("backend", "arguments", "wanted", "kept"),
    [case[1:] for case in RECORDING],
    ids=[case[0] for case in RECORDING],
)
def test_recordings_go_where_they_are_asked_for(
    backend: Any, arguments: dict[str, Any], wanted: bool, kept: list[bool]
) -> None:
    """Whether they are wanted, and whether what uploads them leaves them for the store."""
    settings = load_settings(backend, environ={**KEYS, **ENDPOINT}, **arguments)
    uploads = [one for one in backends_of(settings) if one.carries == "recordings"]
    assert settings.wants_recordings is wanted
    assert [one.sender_options["keep"] for one in uploads] == kept
    if not arguments:
        return
    by_variable = {"TRACING_RECORDING": str(arguments["recording"])}
    others = {name: value for name, value in arguments.items() if name != "recording"}
    environ = {**KEYS, **ENDPOINT, **by_variable}
    assert load_settings(backend, environ=environ, **others).backends == settings.backends


def test_two_endpoints_are_two_backends() -> None:
    """Each with its own name, headers and compression, and one spool for both."""
    settings = load_settings(
        [
            Otlp(endpoint="http://one:4318", headers={"a": "1"}),
            Otlp(endpoint="http://two:4318", compression="none"),
            "local",
        ],
        environ={},
    )
    shown = [(b.name, b.url, dict(b.headers), b.compression) for b in backends_of(settings)[:4]]
    assert shown == [
        ("otlp", "http://one:4318/v1/traces", {"a": "1"}, "gzip"),
        ("otlp-logs", "http://one:4318/v1/logs", {"a": "1"}, "gzip"),
        ("otlp-2", "http://two:4318/v1/traces", {}, "none"),
        ("otlp-2-logs", "http://two:4318/v1/logs", {}, "none"),
    ]
    assert list(settings.backends) == ["otlp", "otlp-2", "local"]


def test_variables_are_for_the_endpoint_that_names_none() -> None:
    """The environment's credentials never go to another endpoint."""
    environ = {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret"}
    settings = load_settings([Otlp(endpoint="http://two:4318"), Otlp()], environ=environ)
    told = {backend.url: dict(backend.headers) for backend in backends_of(settings)}
    assert told == {
        "http://two:4318/v1/traces": {},
        "http://two:4318/v1/logs": {},
        "http://collector:4318/v1/traces": {"authorization": "secret"},
        "http://collector:4318/v1/logs": {"authorization": "secret"},
    }


def test_metrics_go_with_the_variables_of_several_endpoints() -> None:
    """Never the environment's credentials to an endpoint that was given in code."""
    environ = {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret"}
    two = [Otlp(endpoint="http://one:1"), Otlp()]
    metrics = load_settings(two, environ=environ, metrics=True).metrics
    assert metrics is not None
    assert (metrics.url, dict(metrics.headers)) == (
        "http://collector:4318/v1/metrics",
        {"authorization": "secret"},
    )
    with pytest.raises(ConfigError, match="metrics are on and have nowhere to go"):
        load_settings([Otlp(endpoint="http://one:1")] * 2, environ={}, metrics=True)


def test_labels_come_from_variables_for_every_endpoint() -> None:
    """They are no secret of one of them."""
    environ = {**ENDPOINT, "LANGFUSE_RELEASE": "7"}
    two = [Otlp(endpoint="http://one:1", dialect="langfuse"), Otlp()]
    found = backends_of(load_settings(two, logs=False, environ=environ))
    assert [backend.dialect_options.get("release") for backend in found] == ["7", None]


def test_keys_of_the_environment_are_for_the_project_that_names_no_server() -> None:
    """Of several; one alone takes them for its server, as ever."""
    own = Langfuse(base_url="http://own:3000")
    assert backends_of(load_settings(own, environ=KEYS))[0].tenant == "pk-lf-1234"
    with pytest.raises(ConfigError, match="LANGFUSE_PUBLIC_KEY is not set"):
        load_settings([Langfuse(), own], environ=KEYS)


def test_two_projects_are_two_backends() -> None:
    """Each with its own tenant, scores included."""
    two = Langfuse(public_key="pk-lf-two", secret_key="sk-lf-two")
    found = backends_of(load_settings([Langfuse(), two], environ=KEYS))
    assert [(b.name, b.tenant, b.beside) for b in found] == [
        ("langfuse", "pk-lf-1234", ""),
        ("langfuse-scores", "pk-lf-1234", "langfuse"),
        ("langfuse-2", "pk-lf-two", ""),
        ("langfuse-2-scores", "pk-lf-two", "langfuse-2"),
    ]


def test_names_are_unique_whoever_gave_them() -> None:
    """Each name stands for acknowledgements of its own."""
    own = Backend("otlp", OTLP_HTTP, url="http://mine:1")
    settings = load_settings(["otlp", own, own], environ=ENDPOINT)
    assert [b.name for b in backends_of(settings)] == ["otlp", "otlp-logs", "otlp-2", "otlp-3"]


@pytest.mark.parametrize("wrong", [Langfuse, 5, None, object(), {"name": "otlp"}])
def test_what_is_no_backend_is_a_problem(wrong: Any) -> None:
    """A class in place of settings, too."""
    with pytest.raises(ConfigError, match="give one of 'langfuse', 'otlp', 'local', 'console'"):
        load_settings(["local", wrong], environ={})


def test_arguments_belong_to_backends_given_by_name() -> None:
    """Beside settings they would be taken and not used."""
    with pytest.raises(ConfigError, match="tags= goes with a backend that is given by name"):
        load_settings([Langfuse()], environ=KEYS, tags=["a"])
    with pytest.raises(ConfigError, match="tags= goes with"):
        load_settings([Langfuse(), "local"], environ=KEYS, tags=["a"])
    both = load_settings([Langfuse(), "otlp"], environ={**KEYS, **ENDPOINT}, compression="none")
    assert (
        both.backends["otlp"]
        == load_settings("otlp", environ=ENDPOINT, compression="none").backends["otlp"]
    )


def test_an_argument_that_there_is_none_of_is_a_type_error() -> None:
    """As for any function."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'tag'"):
        load_settings(environ={}, tag="a")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "backend",
    [
        Backend("mine", "no.such.module:Sender"),
        Backend("mine", "json:NoSuchName"),
        Backend("mine", "json"),
        Backend("mine", "__main__:Sender"),
        Backend("mine", OTLP_HTTP, dialect="json:no_such_dialect"),
    ],
)
def test_a_backend_of_ones_own_has_to_be_importable(backend: Backend) -> None:
    """The drainer imports it in a process of its own."""
    with pytest.raises(ConfigError, match=r"backend 'mine' names .* give 'package.module:name'"):
        load_settings([backend], environ={})


@pytest.mark.parametrize(
    ("backend", "told"),
    [
        (Backend("../up", OTLP_HTTP), "has a name that no file can have"),
        (Backend("", OTLP_HTTP), "has a name that no file can have"),
        (Backend("mine", OTLP_HTTP, sender_options={"path": Path("x")}), "is not JSON"),
        (Backend("mine", OTLP_HTTP, dialect=DIALECT, dialect_options={"x": 1}), "cannot be had"),
    ],
)
def test_what_the_drainer_could_not_use_is_a_problem(backend: Backend, told: str) -> None:
    """Before anything is set up, not in the drainer's log."""
    with pytest.raises(ConfigError, match=told):
        load_settings([backend], environ={})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"timeout_seconds": "soon"}, "timeout= is 'soon'"),
        ({"timeout_seconds": True}, "timeout= is True"),
        ({"sample_rate": 20}, "sample_rate= is 20: give a positive number up to 1"),
        ({"compression": "zstd"}, "compression is 'zstd'"),
        ({"compression": False}, "compression is 'false'"),
        ({"headers": {"a": None}}, "headers= holds a NoneType for 'a'"),
        ({"headers": ["a"]}, "headers= is a list"),
        ({"certificate": "/there/is/none"}, "certificate= is '/there/is/none'"),
        ({"client_key": "/there/is/none"}, "client_key= is given without client_certificate="),
    ],
    ids=str,
)
def test_fields_of_a_backend_of_ones_own_are_checked(wrong: dict[str, Any], told: str) -> None:
    """As those of ours are."""
    with pytest.raises(ConfigError, match=told):
        load_settings([Backend("mine", OTLP_HTTP, url="http://mine:1", **wrong)], environ={})


def test_names_of_what_goes_beside_are_taken() -> None:
    """Two backends of one name would share acknowledgements."""
    own = Backend("langfuse-scores", OTLP_HTTP, url="http://mine:1")
    with pytest.raises(ConfigError, match="two backends are called 'langfuse-scores'"):
        load_settings([Langfuse(), own], environ=KEYS)


def test_password_of_a_url_becomes_a_header() -> None:
    """It is in no log and no status file."""
    own = Backend("mine", OTLP_HTTP, url="http://user:secret@host:1/v1/traces")
    (found,) = backends_of(load_settings([own], environ={}))
    assert found.url == "http://host:1/v1/traces"
    assert found.headers["authorization"].startswith("Basic ")


def test_arguments_are_fields_with_the_same_types() -> None:
    """What `setup_tracer` takes for a backend by name, its settings have."""
    ours: dict[str, Any] = {}
    for kind in (Langfuse, Otlp):
        ours |= get_type_hints(kind)
    arguments = get_type_hints(BackendArguments)
    assert arguments.keys() - ours.keys() == set()
    missing = ours.keys() - arguments.keys()
    by_variable = {"client_certificate", "client_key", "logs_endpoint", "logs_headers"}
    assert missing == by_variable  # or as settings
    assert {
        name: kind
        for name, kind in arguments.items()
        if kind not in (ours[name], ours[name] | None)
    } == {}


@pytest.mark.parametrize("module", [langfuse, otlp, labels])
def test_every_field_says_what_it_is(module: Any) -> None:
    """A string behind each field of the settings, as editors show it."""
    tree = ast.parse(Path(inspect.getfile(module)).read_text())
    for kind in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for index, node in enumerate(kind.body):
            if isinstance(node, ast.AnnAssign):
                following = kind.body[index + 1]
                assert isinstance(following, ast.Expr), ast.unparse(node)
                assert isinstance(following.value, ast.Constant), ast.unparse(node)


def test_settings_show_no_secret() -> None:
    """They may be printed and logged."""
    asked = (
        Langfuse(secret_key="sk-lf-5678", base_url="http://u:5678@h"),
        Otlp(headers={"authorization": "5678"}, endpoint="http://u:5678@h"),
        Backend("mine", OTLP_HTTP, url="http://u:5678@h", sender_options={"key": "5678"}),
    )
    assert "5678" not in repr(asked)
    with pytest.raises(ConfigError) as caught:
        load_settings([asked, {"headers": "5678"}], environ={})  # type: ignore[list-item]
    assert "5678" not in str(caught.value)
