"""Other instrumentations below a turn, as real packages: what is seen of it in Langfuse."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dialects import langfuse_rules as langfuse
from tests.fakes import ROOT
from tests.integration.openai_server import MODEL, TOKENS, OpenAIServer, openai_server
from tests.integration.programs import require
from tests.langfuse_server import LangfuseServer
from tests.workers import CARD

pytestmark = pytest.mark.integration

OF_MODELS = {
    "openinference": "openinference.instrumentation.openai",
    "openllmetry": "opentelemetry.instrumentation.openai.v1",
    "langfuse": "langfuse-sdk",
}
"""The scopes of those that record calls to models."""
OF_HTTP = {f"opentelemetry.instrumentation.{name}" for name in ("aiohttp_client", "httpx")} | {
    "opentelemetry.instrumentation.requests"
}


@pytest.fixture
def provider() -> Iterator[OpenAIServer]:
    """Who answers."""
    with openai_server() as server:
        yield server


ALL = " ".join(OF_MODELS)


@pytest.mark.parametrize(
    ("who", "model", "detail"),
    [
        *((who, "plugin", "call") for who in OF_MODELS),
        *((ALL, model, "call") for model in ("plugin", "own")),
        (ALL, "own", "full"),
    ],
)
def test_a_call_that_others_record_too(
    tmp_path: Path, provider: OpenAIServer, who: str, model: str, detail: str
) -> None:
    """Each token once, each span once, masked, in one call of one session; no orphan."""
    with LangfuseServer() as server:
        environ = {
            **os.environ,
            **{f"LANGFUSE_{key.upper()}": told for key, told in server.settings.items()},
            "INSTRUMENTED": who,
            "OPENAI_URL": provider.url,
            "TRACING_DIR": str(tmp_path),
            "TRACING_BACKEND": "langfuse",
            "TRACING_LANGFUSE_DETAIL": detail,
            **({"OWN_MODEL": "1"} if model == "own" else {}),
            "PYTHONPATH": str(ROOT),
        }
        run = [require("instrumentations"), sys.executable, "-m"]
        done = subprocess.run(
            [*run, "tests.integration.instrumented_call"],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        [root] = [s for s in server.spans.values() if s.name == "call default_agent"]
        spans = server.trace(root.trace_id)  # the client's warm-up is no call
    sent = Counter((span.trace_id, span.span_id) for span in server.versions)
    assert {server.spans[key].name for key, times in sent.items() if times > 1} == set()
    assert CARD not in str(server.versions)
    assert server.claimed == []
    for name, value in (("session.id", "order-7"), ("user.id", "ann")):
        assert {span.attributes[f"langfuse.{name}"] for span in spans} == {value}
    shown = langfuse.show(spans)
    ids = {one.id for one in shown.observations}
    assert [one.name for one in shown.observations if one.parent not in ids] == [
        "call default_agent"
    ]
    assert len(provider.asked) == 3
    assert shown.total_tokens == 3 * TOKENS
    counting = [one for one in shown.observations if one.model]
    assert [(one.type, one.model, one.total_tokens) for one in counting] == [
        ("GENERATION", MODEL, TOKENS)
    ] * 3
    scopes = {one.span.scope_name for one in shown.observations}
    assert scopes == {"livekit-agents", *OF_HTTP, *(OF_MODELS[one] for one in who.split())}
    [tool] = shown.of_type("tool")
    assert {one.span.scope_name for one in shown.observations if one.parent == tool.id} > OF_HTTP
