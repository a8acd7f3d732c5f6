"""LiveKit's report of a session: kept with its call, redacted like it, off the voice loop."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tests.workers import CARD, TYPED, heard, offline_job
from tracing import cli, names, stamps
from tracing.capture.redaction import Redaction
from tracing.capture.session_report import SessionReports, bare_report
from tracing.span import Span
from tracing.spool.losses import Ledger
from tracing.store.store import Store

SAID = ("evening", "table", "welcome", "booked", "moment", "guests", CARD)


def session_span(directory: Path) -> Span:
    """The only session's span in the store."""
    with Store(directory / "calls.db", read_only=True) as store:
        (call,) = store.calls()
        (span,) = [s for s in store.spans(call.trace_id) if s.name == names.AGENT_SESSION]
    return span


def test_a_jobs_report_is_kept_with_its_call(tmp_path: Path) -> None:
    """A file for the user alone that the session's span names, masked as the spans are."""
    directory = tmp_path / "d"
    with offline_job(directory) as worker:
        assert "tracing-metrics" not in heard(worker, "answered")["threads"]
        heard(worker, "stopped")
    (path,) = (directory / "reports").iterdir()
    span = session_span(directory)
    assert path.name == f"{span.trace_id.hex()}-{span.span_id.hex()}.json"
    assert span.attributes[stamps.CALL_REPORT] == path.name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    text = path.read_text()
    assert CARD not in text
    report = json.loads(text)
    messages = [item for item in report["chat_history"]["items"] if item["type"] == "message"]
    assert [(item["role"], *item["content"]) for item in messages] == [
        ("user", "Good evening."),
        ("assistant", "You are welcome, [card]."),
        ("user", "A table for two, please."),
        ("assistant", "One moment."),
        ("assistant", "It is booked."),
        ("user", "Thank you."),
        ("assistant", "You are welcome, [card]."),
    ]
    assert report["close_reason"] == "CR_USER_INITIATED"
    assert report["user_turns"] == 3
    check_transcript(directory, report)


def check_transcript(directory: Path, report: dict[str, Any]) -> None:
    """The command line shows the conversation, and the report."""
    shown = CliRunner().invoke(cli.app, ["transcript", "--dir", str(directory)]).stdout
    lines = [line.split(maxsplit=1)[1] for line in shown.splitlines()[1:-1]]
    assert [line for line in lines if line.startswith("user")] == [f"user    {t}" for t in TYPED]
    assert [line for line in lines if line.startswith("agent")] == [
        "agent   You are welcome, [card].",
        "agent   One moment.",
        "agent   It is booked.",
        "agent   You are welcome, [card].",
    ]
    (tool,) = [line for line in lines if line.startswith("tool")]
    assert tool.startswith('tool    book({"guests": 2}) -> booked for 2')
    assert shown.splitlines()[-1].startswith("closed CR_USER_INITIATED · user turns 3")
    as_json = CliRunner().invoke(cli.app, ["transcript", "--json", "--dir", str(directory)])
    assert json.loads(as_json.stdout)["reports"] == [report]


def test_a_report_without_content_has_no_word_of_what_was_said(tmp_path: Path) -> None:
    """The times, the numbers and the tool's name are left."""
    directory = tmp_path / "d"
    with offline_job(directory, TRACING_CAPTURE_CONTENT="false") as worker:
        heard(worker, "stopped")
    (path,) = (directory / "reports").iterdir()
    text = path.read_text()
    assert [word for word in SAID if word in text] == []
    report = json.loads(text)
    assert {"room", "events", "audio_recording_path"} & report.keys() == set()
    kinds = [(item["type"], item.get("role")) for item in report["chat_history"]["items"]]
    assert kinds.count(("message", "assistant")) == 4
    assert kinds.count(("function_call", None)) == 1
    assert report["user_turns"] == 3


def test_a_killed_job_has_no_report(tmp_path: Path) -> None:
    """Its call is there all the same."""
    directory = tmp_path / "d"
    with offline_job(directory, JOB_ENDS="kill") as worker:
        heard(worker, "stopped")
    assert not (directory / "reports").exists()
    assert stamps.CALL_REPORT not in session_span(directory).attributes


def test_a_report_that_cannot_be_written_is_said(tmp_path: Path, caplog: Any, recwarn: Any) -> None:
    """And disturbs nobody."""
    tmp_path.joinpath("reports").write_text("a file in the way")
    redaction = Redaction(Ledger(tmp_path))

    class Report:
        def to_dict(self) -> dict[str, Any]:
            return {"room": "r"}

    SessionReports(tmp_path, redaction).write("a-b.json", Report(), withhold=False)
    for thread in threading.enumerate():
        if thread.name == "tracing-report":
            thread.join(10)
    assert caplog.messages == ["the report of a session could not be kept"]


def test_what_is_withheld_of_a_report() -> None:
    """Only what is known to carry no content is left of an item."""
    report = {
        "job_id": "AJ_1",
        "room": "Anna's room",
        "events": [{"transcript": "hello"}],
        "audio_recording_path": "/tmp/anna.ogg",
        "usage": [{"input_tokens": 3}],
        "chat_history": {
            "items": [
                {"type": "message", "role": "user", "content": ["hello"], "created_at": 1.0},
                {"type": "function_call", "name": "book", "arguments": "{}", "extra": {"a": "b"}},
                {"type": "agent_config_update", "instructions": "be kind", "created_at": 2.0},
                {"type": "agent_handoff", "old_agent_id": "a", "new_agent_id": "b"},
            ]
        },
    }
    assert bare_report(report) == {
        "job_id": "AJ_1",
        "usage": [{"input_tokens": 3}],
        "chat_history": {
            "items": [
                {"type": "message", "role": "user", "created_at": 1.0},
                {"type": "function_call", "name": "book"},
                {"type": "agent_config_update", "created_at": 2.0},
                {"type": "agent_handoff", "old_agent_id": "a", "new_agent_id": "b"},
            ]
        },
    }
