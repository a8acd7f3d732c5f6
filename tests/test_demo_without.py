"""The demo where its speech recogniser cannot be had, as on Python 3.14."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.fakes import ROOT

HIDING = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda n, *more: None if n == "pocketsphinx" else find_spec(n, *more)
"""
"""What Python runs before everything else: a machine without that one package."""


def test_what_is_missing_is_said_in_a_sentence(tmp_path: Path) -> None:
    """Before the call begins, with what to do, and as status 2."""
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "agent_entry.py", "demo"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "TRACING_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    said = done.stderr.splitlines()
    assert said[0].startswith("The demo understands its caller by pocketsphinx, which is not here.")
    assert [line for line in said if "Traceback" in line] == []
