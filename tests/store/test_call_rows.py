"""What a list of calls shows of each, and how calls are chosen."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from tests.store.calls import SECOND, START, call
from tracing.store.call_rows import CallSummary
from tracing.store.store import Store


def test_calls_are_summarised_from_their_spans(path: Path) -> None:
    """What is learnt late fills in; a session's first, provisional id gives way."""
    trace_id = call(1).trace_id
    early = call(
        1,
        name="job_entrypoint",
        end_time_unix_nano=0,
        attributes={"session.id": "session-00000000"},
    )
    session = call(
        1,
        span_id=b"session_",
        end_time_unix_nano=START + 60 * SECOND,
        attributes={
            "session.id": "room/job",
            "user.id": "alice",
            "lk.agent_label": "Greeter",
            "lk.agent_name": "clinic",
        },
    )
    request = call(
        1,
        span_id=b"request_",
        name="llm_request",
        attributes={
            "session.id": "room/job",
            "gen_ai.request.model": "openai/gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
        },
    )
    expected = CallSummary(
        trace_id.hex(),
        session_id="room/job",
        user_id="alice",
        agent="clinic",
        models=("gpt-4o-2024-08-06", "openai/gpt-4o"),
        started_unix_nano=START + SECOND,
        ended_unix_nano=START + 60 * SECOND,
        is_call=True,
    )
    with Store(path) as store:
        for span in (early, session, request, early):
            store.add([span])
        assert list(store.calls()) == [expected]
    other = path.with_name("other.db")
    with Store(other) as store:
        store.add([request, session, early])
        assert list(store.calls()) == [expected]


def test_a_nameless_agent_is_called_by_its_label(path: Path) -> None:
    """The default dispatch has an empty name; the label of the session's first agent stands in."""
    labelled = {"lk.agent_name": "", "lk.agent_label": "Greeter"}
    with Store(path) as store:
        store.add([call(1, attributes=labelled)])
        assert [found.agent for found in store.calls()] == ["Greeter"]


def test_traces_of_other_code_are_no_calls(path: Path) -> None:
    """What else the process traces is kept, but not listed among the calls."""
    request = call(1, name="GET /health")
    with Store(path) as store:
        store.add([request, call(2)])
        assert [int(found.trace_id, 16) for found in store.calls()] == [2]
        assert store.spans(request.trace_id.hex()) == [request]


def test_calls_are_chosen_by_time_agent_and_model(path: Path) -> None:
    """Newest first; agent and model are patterns, and a model fits without its maker."""

    def of(agent: str, model: str) -> dict[str, str]:
        return {"lk.agent_name": agent, "gen_ai.request.model": model}

    with Store(path) as store:
        store.add([call(1, attributes=of("clinic", "openai/gpt-4o"))])
        store.add([call(2, attributes=of("clinic-eu", "gpt-4o-mini"))])
        store.add([call(3)])

        def found(**chosen: object) -> list[int]:
            return [int(c.trace_id, 16) for c in store.calls(**chosen)]  # type: ignore[arg-type]

        assert found() == [3, 2, 1]
        assert found(since=at(2)) == [3, 2]
        assert found(until=at(2)) == [1]
        assert found(since=at(2), until=at(3)) == [2]
        assert found(agent="clinic") == [1]
        assert found(agent="clinic*") == [2, 1]
        assert found(model="gpt-4o") == [1]
        assert found(model="gpt-4o*", agent="clinic-eu") == [2]


def at(number: int) -> datetime:
    """When call `number` started."""
    return datetime.fromtimestamp(START // SECOND + number, timezone.utc)
