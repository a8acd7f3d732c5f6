"""Acknowledgements: one file per backend, and what all of them together have taken."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from tracing.spool.acks import DONE, Acks, acknowledged_offset, settle_acks


def test_unknown_segment_is_acknowledged_up_to_nothing(tmp_path: Path) -> None:
    """A backend begins at the start of a segment that it has seen nothing of."""
    assert Acks(tmp_path, "otlp").offset("a.seg") == 0


def test_acknowledged_offsets_are_read_by_the_next_drainer(tmp_path: Path) -> None:
    """What is acknowledged is on disk when `acknowledge` returns, for its owner alone."""
    Acks(tmp_path, "otlp").acknowledge({"a.seg": 10, "b.seg": DONE})
    Acks(tmp_path, "otlp").acknowledge({"a.seg": 20})
    path = tmp_path / "acks" / "otlp.json"
    assert json.loads(path.read_text()) == {"a.seg": 20, "b.seg": DONE}
    assert Acks(tmp_path, "otlp").offset("a.seg") == 20
    assert [stat.S_IMODE(p.stat().st_mode) for p in (path.parent, path)] == [0o700, 0o600]


def test_backends_acknowledge_for_themselves(tmp_path: Path) -> None:
    """One backend's yes is not another's."""
    Acks(tmp_path, "otlp").acknowledge({"a.seg": 10})
    assert Acks(tmp_path, "langfuse").offset("a.seg") == 0


def test_offsets_of_deleted_segments_are_forgotten(tmp_path: Path) -> None:
    """The file does not grow with every segment there ever was."""
    acks = Acks(tmp_path, "otlp")
    acks.acknowledge({"a.seg": DONE, "b.seg": 5})
    acks.forget(["b.seg"])
    assert json.loads((tmp_path / "acks" / "otlp.json").read_text()) == {"b.seg": 5}


def test_offsets_of_another_spool_are_adopted(tmp_path: Path) -> None:
    """What the same backend took of a spool that is taken over is not sent again."""
    Acks(tmp_path / "old", "otlp").acknowledge({"a.seg": 10})
    acks = Acks(tmp_path / "new", "otlp")
    acks.acknowledge({"b.seg": 20})
    acks.adopt(Acks(tmp_path / "old", "otlp"))
    assert json.loads((tmp_path / "new" / "acks" / "otlp.json").read_text()) == {
        "a.seg": 10,
        "b.seg": 20,
    }


def test_damaged_file_means_nothing_is_acknowledged(tmp_path: Path) -> None:
    """Spans are rather sent twice than never."""
    (tmp_path / "acks").mkdir()
    for content in ("", "{", "[1]", '{"a.seg": "x"}', "null"):
        (tmp_path / "acks" / "otlp.json").write_text(content)
        assert Acks(tmp_path, "otlp").offset("a.seg") == 0, content


def test_offsets_that_cannot_be_saved_live_on_in_memory(tmp_path: Path) -> None:
    """A full disk does not make a drainer send the same spans for ever."""
    (tmp_path / "acks").write_text("a file is in the way")
    acks = Acks(tmp_path, "otlp")
    acks.acknowledge({"a.seg": 10})
    assert acks.offset("a.seg") == 10


def test_all_backends_together_have_what_the_slowest_has(tmp_path: Path) -> None:
    """A segment is needed from the smallest offset on, and no more when all are done."""
    fast, slow = Acks(tmp_path, "fast"), Acks(tmp_path, "slow")
    fast.acknowledge({"a.seg": 30, "b.seg": DONE, "c.seg": DONE, "d.seg": 5})
    slow.acknowledge({"a.seg": 20, "b.seg": 7, "c.seg": DONE})
    offsets = {name: acknowledged_offset(tmp_path, f"{name}.seg") for name in "abcde"}
    assert offsets == {"a": 20, "b": 7, "c": 2**62, "d": 0, "e": 0}


def test_acknowledgements_of_what_is_switched_off_hold_nothing_back(tmp_path: Path) -> None:
    """What is delivered to no more is not waited for, and what is new is."""
    Acks(tmp_path, "langfuse").acknowledge({"a.seg": 100})
    Acks(tmp_path, "langfuse-scores").acknowledge({"a.seg": 10})
    assert acknowledged_offset(tmp_path, "a.seg") == 10
    settle_acks(tmp_path, ["langfuse"])
    assert acknowledged_offset(tmp_path, "a.seg") == 100
    settle_acks(tmp_path, ["langfuse", "langfuse-media"])
    assert acknowledged_offset(tmp_path, "a.seg") == 0
