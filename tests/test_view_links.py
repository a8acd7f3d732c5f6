"""Where else the viewer's calls are shown: from one variable, or from where Langfuse is."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tracing.cli import app
from tracing.commands.view_links import view_links
from tracing.config.load import load_settings
from tracing.config.settings import ConfigError

JAEGER = "http://127.0.0.1:16686/trace/{trace_id}"

FOUND: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("nothing is known", {}, {}),
    ("one", {"TRACING_VIEW_LINKS": f"Jaeger={JAEGER}"}, {"Jaeger": JAEGER}),
    (
        "several, with spaces and a query",
        {"TRACING_VIEW_LINKS": f" Jaeger = {JAEGER} , Our UI=https://x/?id={{trace_id}}&a=b,"},
        {"Jaeger": JAEGER, "Our UI": "https://x/?id={trace_id}&a=b"},
    ),
    (
        "Langfuse's address",
        {"LANGFUSE_BASE_URL": "https://us.cloud.langfuse.com/project/x"},
        {"Langfuse": "https://us.cloud.langfuse.com/trace/{trace_id}"},
    ),
    (
        "its older name",
        {"LANGFUSE_HOST": "http://langfuse:3000/"},
        {"Langfuse": "http://langfuse:3000/trace/{trace_id}"},
    ),
    (
        "its keys alone",
        {"LANGFUSE_PUBLIC_KEY": "pk-lf-1"},
        {"Langfuse": "https://cloud.langfuse.com/trace/{trace_id}"},
    ),
    (
        "a password goes into no page",
        {"LANGFUSE_BASE_URL": "https://user:hidden@langfuse.example"},
        {"Langfuse": "https://langfuse.example/trace/{trace_id}"},
    ),
    ("an address that is none", {"LANGFUSE_BASE_URL": "javascript:alert(1)"}, {}),
    (
        "what is given comes first",
        {"TRACING_VIEW_LINKS": f"Jaeger={JAEGER}", "LANGFUSE_PUBLIC_KEY": "pk-lf-1"},
        {"Jaeger": JAEGER},
    ),
]


@pytest.mark.parametrize(
    ("environ", "links"), [case[1:] for case in FOUND], ids=[case[0] for case in FOUND]
)
def test_links_by_name(environ: dict[str, str], links: dict[str, str]) -> None:
    """An address with the place of the trace's id."""
    assert view_links(environ) == links


@pytest.mark.parametrize(
    "given",
    [
        "Jaeger",
        "Jaeger=",
        f"={JAEGER}",
        "Jaeger=http://127.0.0.1:16686/",
        "Jaeger=127.0.0.1/{trace_id}",
        "Bad=javascript:alert('{trace_id}')",
        "Bad=data:text/html,{trace_id}",
        "Bad=ftp://x/{trace_id}",
        "Bad=http:///{trace_id}",
        "Bad=http://[/{trace_id}",
        "Bad=http://x/\x01{trace_id}",
    ],
)
def test_what_is_no_address_is_refused(given: str) -> None:
    """With the variable, and an example of what it takes; every one of them is listed."""
    with pytest.raises(ConfigError) as raised:
        view_links({"TRACING_VIEW_LINKS": f"Good={JAEGER},{given}"})
    assert "TRACING_VIEW_LINKS holds" in str(raised.value)
    assert "such as Jaeger=http://127.0.0.1:16686/trace/{trace_id}" in str(raised.value)


def test_agents_do_not_call_it_unused() -> None:
    """It may stand in the same file as their own variables."""
    environ = {"TRACING_VIEW_LINKS": f"Jaeger={JAEGER}", "TRACING_BACKEND": "local"}
    assert load_settings(environ=environ).unused == ()


def test_the_viewer_says_what_is_wrong_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of every other setting, and it ends."""
    monkeypatch.setenv("TRACING_VIEW_LINKS", "Jaeger=ftp://x/{trace_id}")
    done = CliRunner().invoke(app, ["view", "--no-browser"])
    assert (done.exit_code, done.output.count("TRACING_VIEW_LINKS holds 'Jaeger'")) == (2, 1)
