"""A live call against a Langfuse: what is filed while it goes on, and what is there at its end."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.dialects import langfuse_rules
from tests.fakes import until
from tests.langfuse_server import LangfuseServer
from tests.workers import CARD, TYPED, heard, offline_job

NAMES = {"session_id": "order-7", "user_id": "ann"}


def test_live_call_is_one_session_of_one_user_from_the_first_byte(tmp_path: Path) -> None:
    """Named after its first answer, and found while it goes on: no version says anything else."""
    with LangfuseServer() as server:
        variables = {f"LANGFUSE_{key.upper()}": told for key, told in server.settings.items()}
        chosen = {"TRACING_BACKEND": "langfuse", "JOB_NAMES": json.dumps(NAMES), **variables}
        with offline_job(tmp_path, "12", **chosen) as worker:
            heard(worker, "answered")
            until(lambda: any(not span.parent_span_id for span in server.versions), seconds=40)
            [provisional] = [span for span in server.versions if not span.parent_span_id]
            heard(worker, "stopped")
            root = provisional.trace_id, provisional.span_id
            until(lambda: server.spans[root] != provisional, seconds=40)
        for attribute, filed in (
            ("langfuse.session.id", {"order-7"}),
            ("langfuse.user.id", {"ann"}),
            ("langfuse.trace.name", {provisional.attributes["langfuse.trace.name"]}),
        ):
            assert server.filed(attribute) == filed, attribute
        assert TYPED[0] in str(provisional.attributes["langfuse.observation.input"])
        assert CARD not in str(server.versions)
        assert server.claimed == []
        repeated = {key: n for key, n in _versions(server).items() if n > 1}
        assert repeated == {root: 2}
        shown = langfuse_rules.show(list(server.spans.values())).observations
        seen = [one for one in shown if one.level != "DEBUG"]
        print(
            f"{len(server.spans)} observations sent, {len(seen)} seen, {len(server.scores)} scores"
        )
        assert 0 < len(seen) <= len(server.spans)


def test_a_killed_call_has_its_conversation_on_the_root(tmp_path: Path) -> None:
    """All that was said by the last answer, in the one version that there is of it."""
    with LangfuseServer() as server:
        variables = {f"LANGFUSE_{key.upper()}": told for key, told in server.settings.items()}
        chosen = {"TRACING_BACKEND": "langfuse", "JOB_ENDS": "kill", **variables}
        with offline_job(tmp_path, "1.5", **chosen) as worker:
            heard(worker, "stopped")
            until(lambda: any(not span.parent_span_id for span in server.versions), seconds=40)
        [root] = [span for span in server.versions if not span.parent_span_id]
        given = json.loads(str(root.attributes["langfuse.observation.input"]))
        said = [message["content"] for message in given if message["role"] == "user"]
        assert said == list(TYPED)
        assert json.loads(str(root.attributes["langfuse.observation.output"])) == {
            "role": "assistant",
            "content": "You are welcome, [card].",
        }
        assert root.attributes["langfuse.observation.level"] == "ERROR"


@pytest.mark.parametrize("sdk", ["before", "after"])
def test_langfuses_own_sdk_adds_to_the_call_and_repeats_nothing(tmp_path: Path, sdk: str) -> None:
    """Its observation is below the tool, once, masked, in the call's session."""
    with LangfuseServer() as server:
        variables = {f"LANGFUSE_{key.upper()}": told for key, told in server.settings.items()}
        chosen = {"TRACING_BACKEND": "langfuse", "JOB_SDK": sdk, **variables}
        with offline_job(tmp_path, **chosen) as worker:
            heard(worker, "stopped")
            until(lambda: "charge" in {span.name for span in server.versions}, seconds=40)
            [trace_id] = {s.trace_id for s in server.versions if s.name == "charge"}
            until(lambda: any(not s.parent_span_id for s in server.trace(trace_id)), seconds=40)
            worker.kill()
            _, log = worker.communicate()
        assert {n for (trace, _), n in _versions(server).items() if trace == trace_id} == {1}
        assert CARD not in str(server.versions)
        by_name = {span.name: span for span in server.spans.values()}
        charged = by_name["charge"]
        tool = server.spans[charged.trace_id, charged.parent_span_id]
        assert tool.attributes["langfuse.observation.type"] == "tool"
        in_call = server.trace(trace_id)
        assert len({span.attributes["langfuse.session.id"] for span in in_call}) == 1
        assert not any("langfuse.internal.is_app_root" in span.attributes for span in in_call)
        assert by_name["warm_up"].trace_id != trace_id
        [said] = {line for line in log.splitlines() if "sends this process's spans" in line}
        assert "LangfuseSpanProcessor" in said


def _versions(server: LangfuseServer) -> Counter[tuple[bytes, bytes]]:
    return Counter((span.trace_id, span.span_id) for span in server.versions)
