"""OTLP JSON in files, as collectors, their rotation and people leave them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.otlp_json.test_both_ways import BARE, FULL, SPAN_ID, START
from tracing.otlp_json import LeftOut, OtlpJsonError, dumps, encode, read_spans
from tracing.otlp_json.packed import read_lines


@pytest.mark.parametrize("content", [dumps([FULL]), json.dumps(encode([FULL]), indent=2), "\n\n"])
def test_reads_a_file_of_one_object(tmp_path: Path, content: str) -> None:
    """One object on one line, one over many lines, and no object at all."""
    path = tmp_path / "trace.json"
    path.write_text(content, encoding="utf-8")
    assert list(read_spans(path)) == ([FULL] if content.strip() else [])


def test_reads_a_file_of_many_objects(tmp_path: Path) -> None:
    """One object per line, blank lines between them."""
    path = tmp_path / "traces.jsonl"
    path.write_text(f"\ufeff{dumps([FULL])}\n\n{dumps([BARE])}\n{dumps([])}", encoding="utf-8")
    assert list(read_spans(path)) == [FULL, BARE]


BAD_ID = dumps([BARE]).replace(SPAN_ID.hex(), "xyz")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"resourceSpans": [}', "line 1: not JSON: Expecting value at column 20"),
        (b"{}\n\n{,\n", "line 3: not JSON: Expecting property name enclosed in double quotes"),
        (b'{\n "a": 1\n "b": 2}', "line 3: not JSON: Expecting ',' delimiter at column 2"),
        (b"\x1f\x8b\x08\xff", "line 1: damaged or cut off: Compressed file ended before"),
        (b"\x0a\xff\x8b\x08\xff", "line 2: not JSON: not text"),
        (b"{}\n[]", "line 2: expected an object with resourceSpans, got a list"),
        (b'{"data": [], "total": 0}', "line 1: no resourceSpans here, only 'data', 'total'"),
        (b'{"resourceSpans": 5}', "line 1: resourceSpans is a number, not a list"),
        (b'{"resourceSpans": ["x"]}', "line 1: a string in place of an object with resource"),
        (BAD_ID.encode(), "line 1: spanId 'xyz' is not 16 hex digits"),
        (
            dumps([BARE]).replace(f'"{START}"', '"noon"').encode(),
            "line 1: startTimeUnixNano 'noon' is not an integer",
        ),
        (b"[" * 200_000, "line 1: not JSON: nested too deeply"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, content: bytes, problem: str) -> None:
    """One clear error tells which file, which line and what is wrong."""
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(OtlpJsonError) as caught:
        list(read_spans(path))
    assert str(caught.value).startswith(f"{path}, {problem}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The system's reason stands behind the file's name."""
    with pytest.raises(OtlpJsonError) as caught:
        list(read_spans(tmp_path / "none.json"))
    assert str(caught.value) == f"{tmp_path / 'none.json'}: No such file or directory"


LINE = dumps([FULL])
PRETTY = json.dumps(encode([FULL]), indent=2)


@pytest.mark.parametrize(
    ("content", "spans", "said"),
    [
        (f"{LINE}\n{LINE[:150]}", 1, "1 line; the first: line 2: not JSON: "),
        (f"{LINE[150:]}\n{LINE}\n", 1, "1 line; the first: line 1: not JSON: "),
        (f"{LINE[150:]}\n{LINE}\n{LINE[:9]}", 1, "2 lines; the first: line 1: not JSON: "),
        (f"{LINE}\n{BAD_ID}\n{LINE}", 2, "1 span; the first: line 2: spanId 'xyz' is not 16"),
        (f"{LINE}\n[1]\n{{}}", 1, "1 object; the first: line 2: expected an object with"),
        (f"{PRETTY}\n{PRETTY}", 2, ""),
        (f"{PRETTY}{LINE}", 2, ""),
        (f"{LINE}{LINE}\n{LINE}", 3, ""),
        (f"{LINE}{LINE[:99]}\n{LINE}", 2, "1 piece; the first: line 1: not JSON: "),
        (f"{PRETTY[:400]}\n{PRETTY}\n{PRETTY[:400]}", 1, "2 pieces; the first: line 2"),
        (f"{LINE}\n\0\0\0\0\n{LINE}", 2, "1 line; the first: line 2: not JSON: not text"),
    ],
)
def test_what_is_cut_costs_no_more_than_itself(
    tmp_path: Path, content: str, spans: int, said: str
) -> None:
    """A file that a collector still writes or has rotated, lines or objects over many lines."""
    path = tmp_path / "cut.jsonl"
    path.write_text(content)
    left_out = LeftOut()
    assert list(read_spans(path, left_out)) == [FULL] * spans
    assert str(left_out).startswith(said) if said else not left_out.counts


def test_a_file_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    """The first reason stands for all."""
    path = tmp_path / "bad.json"
    path.write_text(f"{BAD_ID}\nnonsense\n")
    with pytest.raises(OtlpJsonError, match="line 1: spanId 'xyz' is not 16 hex digits"):
        list(read_spans(path, LeftOut()))


def test_gzip_is_told_by_its_beginning(tmp_path: Path) -> None:
    """Whatever the file is called; members behind each other are one file."""
    path = tmp_path / "traces.json"
    path.write_bytes(gzip.compress(f"{LINE}\n".encode()) * 2)
    assert list(read_spans(path)) == [FULL, FULL]


def test_a_packed_file_that_is_cut_gives_what_is_whole(tmp_path: Path) -> None:
    """The end of it is one thing left out."""
    many = [dumps([FULL._replace(name=f"{n * 7919:x}")]) for n in range(2_000)]
    packed = gzip.compress("\n".join(many).encode())
    path, left_out = tmp_path / "cut.gz", LeftOut()
    path.write_bytes(packed[: len(packed) // 2])
    assert 500 < len(list(read_spans(path, left_out))) < 1_500
    assert left_out.counts == {"the rest of the file": 1}


def test_zstd_as_a_stream_and_as_the_collector_frames_it(tmp_path: Path) -> None:
    """A stream, a stream that is cut, and messages compressed one by one behind their lengths."""
    library = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    zstd = pytest.importorskip(library, reason=f"{library} is not installed")
    path, left_out = tmp_path / "traces.zst", LeftOut()
    path.write_bytes(zstd.compress(f"{LINE}\n{LINE}".encode()))
    assert list(read_spans(path)) == [FULL, FULL]
    message = zstd.compress(LINE.encode())
    framed = len(message).to_bytes(4, "big") + message
    path.write_bytes(framed * 3 + framed[:-9])
    assert list(read_spans(path, left_out)) == [FULL] * 3
    assert str(left_out) == (
        "the rest of the file; the first: line 4: damaged or cut off:"
        " the last message is not all there"
    )


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="it is in the standard library")
def test_zstd_without_its_library_says_what_to_install(tmp_path: Path) -> None:
    """One sentence with the mend."""
    path = tmp_path / "traces.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + b"rest")
    code = (
        "import sys; sys.modules['backports'] = None\n"
        "from pathlib import Path; from tracing.otlp_json import read_spans, OtlpJsonError\n"
        "try: list(read_spans(Path(sys.argv[1])))\n"
        "except OtlpJsonError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert "pip install backports.zstd" in done.stdout
    assert done.stderr == ""


def test_standard_input_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` names it."""
    path = tmp_path / "in.jsonl"
    path.write_text(f"{LINE}\n{LINE}\n")
    with path.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert list(read_spans(Path("-"))) == [FULL, FULL]


def test_text_of_another_encoding(tmp_path: Path) -> None:
    """UTF-16, as a shell on Windows writes it; and bytes that are no UTF-8 inside a text."""
    path = tmp_path / "utf16.json"
    path.write_text(LINE, encoding="utf-16")
    assert list(read_spans(path)) == [FULL]
    path.write_bytes(LINE.encode().replace("Grüße".encode(), b"Gr\xfc"))
    [span] = read_spans(path)
    assert span.attributes["text"] == "Gr\ufffd 🎉"


def test_a_line_without_end_is_bounded(tmp_path: Path) -> None:
    """A line comes cut where it is too long, so that its reader can refuse it."""
    path = tmp_path / "long.json"
    path.write_bytes(gzip.compress(b"x" * 10_000_000))
    lines = read_lines(path, max_chars=1_000)
    assert len(next(lines)) == 1_001
