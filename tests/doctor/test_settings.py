"""What the doctor says of settings: value, source, use; and of the files that hold them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tracing.config.load import load_settings
from tracing.config.settings import ConfigError
from tracing.doctor.examine import examine
from tracing.doctor.findings import Finding
from tracing.doctor.settings import look_at_files, look_at_given, look_at_problems

SECRET = "sk-lf-5678-very-secret"


def test_every_value_has_its_source_and_no_secret_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process, each file, the arguments; what is not used, and what is overruled, is said."""
    (tmp_path / ".env.local").write_text(
        f"LANGFUSE_PUBLIC_KEY=pk-lf-1\nLANGFUSE_SECRET_KEY={SECRET}\nLANGFUSE_RELEASE=file\n"
        f"OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer {SECRET}\n"
    )
    (tmp_path / ".env").write_text("LANGFUSE_PUBLIC_KEY=pk-lf-1\nLANGFUSE_RELEASE=other\n")
    monkeypatch.setenv("LANGFUSE_RELEASE", "process")
    monkeypatch.setenv("LANGFUSE_BASE_URL", f"https://lf.example?key={SECRET}")
    monkeypatch.setenv("LANGFUSE_HOST", "https://older.example")
    arguments = {"user_id": "ada", "mask": str.lower, "tags": ["a", "b"], "timeout": 3}
    settings = load_settings(tags=["a", "b"], timeout=3)
    found = list(look_at_given(settings, arguments))
    file, process = f"from {tmp_path / '.env.local'}", "from the environment"
    code, unused = "from the arguments of setup_tracer", "is used by no backend that is chosen"
    assert [(one.state, one.line) for one in found] == [
        ("ok", f"user_id=: ada {code}"),
        ("ok", f"mask=: a method_descriptor {code}"),
        ("ok", f"tags=: a, b {code}"),
        ("ok", f"timeout=: 3 {code}"),
        ("ok", f"LANGFUSE_PUBLIC_KEY: pk-lf-1 {file}"),
        ("ok", f"LANGFUSE_SECRET_KEY: [secret] of 22 characters {file}"),
        ("ok", f"LANGFUSE_BASE_URL: https://lf.example?... {process}"),
        ("note", f"LANGFUSE_HOST: https://older.example {process}, {unused}: leave it out"),
        ("ok", f"LANGFUSE_RELEASE: process {process}"),
        (
            "note",
            f"LANGFUSE_RELEASE: another value in {tmp_path / '.env.local'} does not count, that of "
            "the environment does: leave one of them out",
        ),
        (
            "note",
            f"LANGFUSE_RELEASE: another value in {tmp_path / '.env'} does not count, that of the "
            "environment does: leave one of them out",
        ),
        (
            "note",
            f"OTEL_EXPORTER_OTLP_HEADERS: [secret] of {21 + len(SECRET)} characters {file}, "
            f"{unused}: leave it out",
        ),
    ]
    assert SECRET not in str(found)


PROBLEMS: Mapping[str, tuple[Mapping[str, str], list[str]]] = {
    "swapped": (
        {"LANGFUSE_PUBLIC_KEY": SECRET, "LANGFUSE_SECRET_KEY": "pk-lf-1"},
        ["LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are swapped: exchange them"],
    ),
    "of another kind": (
        {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "AKIA-" + SECRET},
        [
            "LANGFUSE_SECRET_KEY is of the wrong kind: it has to begin with 'sk-lf-'; "
            "copy it from Langfuse under Settings, API Keys"
        ],
    ),
    "one is missing": (
        {"LANGFUSE_SECRET_KEY": SECRET},
        [
            "LANGFUSE_PUBLIC_KEY is not set: set it, or pass public_key=; "
            "the key pair is in Langfuse under Settings, API Keys"
        ],
    ),
    "gRPC": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{SECRET}@localhost:4317"},
        [
            "OTEL_EXPORTER_OTLP_ENDPOINT has port 4317, where collectors speak gRPC: give the "
            "HTTP port, 4318 on most; if it does speak HTTP, set "
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
        ],
    ),
}
"""By fault: what is set, and each problem with its mend."""


@pytest.mark.parametrize("fault", PROBLEMS)
def test_settings_that_cannot_work_are_told_with_the_rest(fault: str, tmp_path: Path) -> None:
    """One line each; what needs no settings is looked at all the same."""
    environ, problems = PROBLEMS[fault]
    found = examine(lambda: load_settings(environ=environ), tmp_path)
    told = [one.line for one in found if one.state == "mend" and one.name == "settings"]
    assert told == [f"settings: {problem}" for problem in problems]
    assert {"directory", "spool", "store", "livekit-agents"} <= {one.name for one in found}
    assert SECRET not in str(found)


def test_problem_without_a_mend_is_a_line_too() -> None:
    """Whatever a backend of one's own says."""
    [found] = look_at_problems(ConfigError(["nothing works"]))
    assert found == Finding("settings", "mend", "nothing works")


def _not_there(path: Path) -> None:
    """Leave the directory empty."""


FILES: Mapping[str, tuple[Callable[[Path], object], Callable[[Path], list[Finding]]]] = {
    "not there": (_not_there, lambda path: []),
    "read": (
        lambda path: path.write_text("LANGFUSE_RELEASE=1\nOPENAI_API_KEY=x\nTRACING_SCORES=all\n"),
        lambda path: [
            Finding(path.name, "ok", f"{path} is read: LANGFUSE_RELEASE, TRACING_SCORES")
        ],
    ),
    "nothing of ours in it": (
        lambda path: path.write_text("OPENAI_API_KEY=x\n"),
        lambda path: [
            Finding(path.name, "ok", f"{path} is read: nothing in it is a setting of tracing")
        ],
    ),
    "lines that are none": (
        lambda path: path.write_text("LANGFUSE_RELEASE: 1\nexport A=1 # one\n-x y\n"),
        lambda path: [
            Finding(
                path.name,
                "mend",
                f"{path} has on line 1, 3 no NAME=VALUE, which is left out",
                "write it as NAME=VALUE",
            )
        ],
    ),
    "a directory": (
        lambda path: path.mkdir(),
        lambda path: [Finding(path.name, "note", f"{path} is not read: it is no regular file")],
    ),
    "a pipe": (
        os.mkfifo,
        lambda path: [Finding(path.name, "note", f"{path} is not read: it is no regular file")],
    ),
    "UTF-16": (
        lambda path: path.write_text("LANGFUSE_RELEASE=1", encoding="utf-16"),
        lambda path: [
            Finding(
                path.name,
                "mend",
                f"{path} is not read: it is not in UTF-8",
                "save it as UTF-8 text",
            )
        ],
    ),
}
"""By case: how `.env.local` is, and what is said."""


@pytest.mark.parametrize("case", FILES)
def test_file_is_told_to_be_read_or_why_not(case: str, tmp_path: Path) -> None:
    """A file that is not heard is what people look for longest."""
    make, said = FILES[case]
    path = tmp_path / ".env.local"
    make(path)
    assert list(look_at_files()) == said(path)


def test_file_above_the_working_directory_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`load_dotenv` may find it, from where the agent's module is."""
    (tmp_path / ".env.local").write_text("LANGFUSE_RELEASE=1\n")
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    text = f"{tmp_path / '.env.local'} is not read: it is above the working directory"
    how = "start the agent where the file is, or move the file to where it starts"
    assert list(look_at_files()) == [Finding(".env.local", "note", text, how)]


def test_files_that_are_switched_off_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By python-dotenv's own variable."""
    (tmp_path / ".env").write_text("LANGFUSE_RELEASE=1\n")
    monkeypatch.setenv("PYTHON_DOTENV_DISABLED", "true")
    text = f"{tmp_path / '.env'} is not read: PYTHON_DOTENV_DISABLED is set"
    assert list(look_at_files()) == [Finding(".env", "note", text)]
