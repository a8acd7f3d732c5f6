"""What waits is measured in a process of its own, whatever becomes of it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import RecordingServer, draining, otlp_backend, run_python, until
from tests.heard.calls import BEGAN, TURNS, both, written
from tracing.deliver.flush import flush_spool
from tracing.deliver.measuring import Measuring
from tracing.deliver.status import take_notices
from tracing.heard.measuring import measure_all
from tracing.heard.waiting import (
    Waiting,
    WaitingTurn,
    leave,
    left,
    read,
    remove_strays,
    sounds,
    take,
)
from tracing.span import Span
from tracing.spool.records import END, read_records
from tracing.spool.segments import segment_paths

TRACE = "0123456789abcdef0123456789abcdef"
IDS = [f"{number:016x}" for number in (1, 2, 3)]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A spool's directory."""
    path = tmp_path / "spool" / "mine"
    path.mkdir(parents=True)
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What LiveKit left of a call."""
    return written(tmp_path_factory.mktemp("job") / "audio.ogg", both())


def wait(spool: Path, recording: Path, **changes: Any) -> Waiting:
    """Leave a call to be measured, whose recording is a link to one."""
    sounds(spool).mkdir(parents=True, exist_ok=True)
    sound = sounds(spool) / f"{changes.get('trace_id', TRACE)}.ogg"
    with contextlib.suppress(FileNotFoundError, FileExistsError):
        os.link(recording, sound)
    left_there = waiting(sound.name, **changes)
    leave(spool, left_there)
    return left_there


def waiting(sound: str, **changes: Any) -> Waiting:
    """A call that waits."""
    turns = [WaitingTurn(span_id, told) for span_id, told in zip(IDS, TURNS, strict=True)]
    shared = {"session.id": "room/job", "user.id": "caller"}
    found = {
        "trace_id": TRACE,
        "sound": sound,
        "began": BEGAN,
        "turns": turns,
        "runs": [(BEGAN, BEGAN)],
        "shared": shared,
        "resource": {"service.name": "agent"},
        "labels": {"langfuse": {"tags": ["a"]}},
        **changes,
    }
    return Waiting(**found)


def spans_in(spool: Path) -> Iterator[Span]:
    """What is in its segments."""
    for path in segment_paths(spool):
        for record in read_records(path.read_bytes()):
            if record.kind == END and record.span:
                yield record.span


def test_each_turn_gets_a_span_below_it(spool: Path, recording: Path) -> None:
    """In the call's trace, with whose call it is; as long as the wait that was heard."""
    wait(spool, recording)
    assert measure_all(spool) == []
    greeting, answer, _ = found = list(spans_in(spool))
    assert [span.parent_span_id.hex() for span in found] == IDS
    assert {(s.trace_id.hex(), s.name, s.scope_name) for s in found} == {
        (TRACE, "heard", "livekit-tracing.heard")
    }
    assert answer.attributes["session.id"] == "room/job"
    assert answer.resource == {"service.name": "agent"}
    latency = answer.attributes["turn.heard_latency_seconds"]
    assert answer.duration_seconds == pytest.approx(latency, abs=1e-6)
    assert answer.end_time_unix_nano / 1e9 == pytest.approx(BEGAN + 7.0, abs=0.011)
    assert greeting.duration_seconds == 0.0
    assert (left(spool), [*sounds(spool).iterdir()]) == ([], [])
    assert recording.exists()


def test_a_repeat_is_the_same_span(spool: Path, recording: Path) -> None:
    """Whoever is killed between writing and noting it measures again."""
    for _ in "12":
        wait(spool, recording)
        measure_all(spool)
    first, again = [[*spans_in(spool)][part] for part in (slice(0, 3), slice(3, 6))]
    assert first == again


@pytest.mark.parametrize("name", ["../../elsewhere.ogg", "/etc/hostname"])
def test_only_what_waits_is_read_and_deleted(spool: Path, recording: Path, name: str) -> None:
    """Whatever a file names."""
    elsewhere = spool / "elsewhere.ogg"
    os.link(recording, elsewhere)
    leave(spool, waiting(name))
    assert len(measure_all(spool)) == 1
    assert elsewhere.exists()


def test_what_cannot_be_measured_costs_a_sentence(spool: Path, tmp_path: Path) -> None:
    """And is not tried again."""
    broken = tmp_path / "broken.ogg"
    broken.write_bytes(b"OggS" + bytes(5000))
    wait(spool, broken)
    wait(spool, tmp_path / "gone.ogg", trace_id="f" * 32)
    (spool / "heard" / f"{TRACE}-0.0.json").write_text('{"trace_id": 7}')
    said = sorted(measure_all(spool))
    assert len(said) == 3
    assert all(sentence.startswith("the recording of call ") for sentence in said)
    assert said[2].startswith(
        f"the recording of call {'f' * 32} was not measured: it cannot be read"
    )
    assert (left(spool), list(spans_in(spool)), [*sounds(spool).iterdir()]) == ([], [], [])


def test_what_ends_its_process_is_tried_three_times(spool: Path, recording: Path) -> None:
    """A file that makes a decoder crash does not make it crash for ever."""
    wait(spool, recording)
    for _ in "123":
        assert take(left(spool)[0])[1] is False  # and then it is killed
    [sentence] = measure_all(spool)
    assert "it failed 3 times before" in sentence
    assert left(spool) == []


def test_numbers_and_ids_are_all_that_waits(spool: Path, recording: Path) -> None:
    """For its owner alone, and as it was left."""
    left_there = wait(spool, recording)
    [path] = left(spool)
    assert read(path) == left_there
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert {
        type(v) for turn in json.loads(path.read_bytes())["turns"] for v in turn["told"].values()
    } <= {
        float,
        bool,
    }


def test_the_drainer_has_it_measured_and_delivers_it(spool: Path, recording: Path) -> None:
    """By a process of its own; a flush waits for it."""
    wait(spool, recording)
    with RecordingServer() as server, draining(spool, otlp_backend(server.url)):
        assert flush_spool(spool, 30.0)
        assert sorted(span.parent_span_id.hex() for span in server.accepted) == IDS
    assert left(spool) == []


def test_a_drainer_says_what_could_not_be_measured(spool: Path, tmp_path: Path) -> None:
    """To whichever agent logs it."""
    wait(spool, tmp_path / "gone.ogg")
    with RecordingServer() as server, draining(spool, otlp_backend(server.url)):
        notices = until(lambda: take_notices(spool))
    [(_, text)] = notices
    assert text.startswith(f"the recording of call {TRACE} was not measured: it cannot be read")


def test_a_process_that_takes_too_long_is_ended(spool: Path, recording: Path) -> None:
    """By the clock of who started it; what it had not done waits."""
    sounds(spool).mkdir(parents=True)
    os.mkfifo(sounds(spool) / "never.ogg")  # who opens it waits
    leave(spool, waiting("never.ogg"))
    now = [0.0]
    measuring = Measuring(spool, lambda text: None, clock=lambda: now[0])
    measuring.tend()
    now[0] = 1000.0
    deadline = time.monotonic() + 20
    while measuring._process is not None and time.monotonic() < deadline:
        measuring.tend()
        time.sleep(0.01)
    assert measuring._process is None


def test_the_oldest_gives_way_with_its_sound_where_nobody_measures(spool: Path) -> None:
    """So a spool does not fill; whoever leaves one too many is told."""
    sounds(spool).mkdir(parents=True)
    given_up = []
    for number in range(202):
        sound = sounds(spool) / f"{number}.ogg"
        sound.write_bytes(b"sound")
        given_up.append(leave(spool, waiting(sound.name)))
    assert given_up == [0] * 200 + [1, 1]
    awaited = {read(path).sound for path in left(spool)}
    assert awaited == {path.name for path in sounds(spool).iterdir()}
    assert len(awaited) == 200


def test_a_sound_that_nothing_waits_for_goes_in_time(spool: Path, recording: Path) -> None:
    """A job that was killed put it there; one that just ends may still say what it is for."""
    wait(spool, recording)
    for name, age_seconds in (("of_a_killed_job.ogg", 7200.0), ("of_one_that_ends.ogg", 1.0)):
        (sounds(spool) / name).write_bytes(b"sound")
        os.utime(sounds(spool) / name, (time.time() - age_seconds,) * 2)
    remove_strays(spool, time.time() + 1800.0)
    left_there = {path.name for path in sounds(spool).iterdir()}
    assert left_there == {f"{TRACE}.ogg", "of_one_that_ends.ogg"}
    remove_strays(spool, time.time() + 7200.0)
    assert {path.name for path in sounds(spool).iterdir()} == {f"{TRACE}.ogg"}


def test_two_processes_do_not_measure_the_same(spool: Path, recording: Path) -> None:
    """Whose drainer was replaced goes on alone."""
    from tracing.spool.locks import FileLock

    wait(spool, recording)
    lock = FileLock.take(spool / "heard" / "measuring.lock")
    assert lock is not None
    code = "import sys; from tracing.heard.__main__ import main; sys.exit(main())"
    assert run_python(code, spool) == ""
    assert len(left(spool)) == 1
    lock.release()
    run_python(code, spool)
    assert left(spool) == []
