"""Pictures of the pages for the documents: `python -m tests.view.pictures`.

Runs the demo's call (about a minute, without account or network), opens it in Chromium, and writes
`docs/pictures/`. Needs `apt-get install chromium`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.fakes import ROOT
from tests.view.test_browser import CHROMIUM, served
from tracing.places import data_directory
from tracing.store.store import Store
from tracing.view.library import Library

PICTURES = ROOT / "docs" / "pictures"


def main() -> int:
    """Write the pictures; 1 where there is no Chromium."""
    if CHROMIUM is None:
        sys.stderr.write("there is no chromium: apt-get install chromium\n")
        return 1
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            [sys.executable, "agent_entry.py", "demo", "--backend", "local"],
            cwd=ROOT,
            env={**os.environ, "TRACING_DIR": directory},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        path = data_directory(Path(directory)) / "calls.db"
        with (
            Store(path, read_only=True) as store,
            served(Library(store, ".tracing/calls.db")) as url,
        ):
            _take(url, next(store.calls()).trace_id)
    return 0


def _take(url: str, trace_id: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, address, height in (
            ("call", f"/calls/{trace_id}", 1000),
            ("turn", f"/calls/{trace_id}?turn=4", 900),
        ):
            page = browser.new_page(viewport={"width": 1280, "height": height})
            page.goto(url + address)
            page.wait_for_selector("#turns")
            page.screenshot(path=str(PICTURES / f"{name}.png"))
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
