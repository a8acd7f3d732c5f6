"""A TRACING_DIR that others can write: what is kept goes into a directory of our own below it."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.fakes import call, run_python
from tracing import ConfigError, setup_tracer
from tracing.capture.current import current_capture
from tracing.cli import app
from tracing.config.load import load_settings
from tracing.config.settings import backends_of
from tracing.places import data_directory
from tracing.store.reports import find_reports, write_report
from tracing.store.store import Store

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory that anybody can write, as a container's volume is."""
    path = tmp_path / "volume"
    path.mkdir()
    path.chmod(0o777)
    return path


@pytest.fixture
def volume() -> Iterator[Path]:
    """The same where every user can come to it, which pytest's own directories are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def modes_below(directory: Path) -> dict[str, int]:
    """The mode of every directory, by its name."""
    return {p.name: stat.S_IMODE(p.stat().st_mode) for p in directory.iterdir() if p.is_dir()}


def test_store_and_recordings_are_below(in_thread: None, shared: Path, server: Any) -> None:
    """Nothing of a call lies where somebody else could put a file in its place."""
    handle = setup_tracer(["local", "otlp"], directory=shared, endpoint=server.url)
    call()
    assert handle.flush(20)
    assert modes_below(shared) == {"spool": 0o700, "private": 0o700}
    assert [path.name for path in shared.iterdir() if path.is_file()] == []
    with Store(shared / "private" / "calls.db", read_only=True) as store:
        assert len(list(store.calls())) == 1
    capture = current_capture()
    assert capture is not None
    assert capture.reports is not None
    assert capture.reports._directory == shared / "private" / "reports"
    keys = {"public_key": "pk-lf-1", "secret_key": "sk-lf-1"}
    settings = load_settings("langfuse", directory=shared, recording=True, environ={}, **keys)  # type: ignore[arg-type]
    [media] = [one for one in backends_of(settings) if one.carries == "recordings"]
    assert media.sender_options["directory"] == str(shared / "private" / "recordings")


def test_what_others_left_there_is_not_read(in_thread: None, shared: Path, tmp_path: Path) -> None:
    """A link in the store's place leads nowhere; the doctor says that it is there."""
    target = tmp_path / "theirs.db"
    target.touch()
    (shared / "calls.db").symlink_to(target)
    handle = setup_tracer("local", directory=shared)
    call()
    assert handle.flush(20)
    assert target.read_bytes() == b""
    said = CliRunner().invoke(app, ["doctor", "--dir", str(shared)])
    assert said.exit_code == 1
    assert f"{shared / 'calls.db'} is not read, for others can write there" in said.output.replace(
        "\n", ""
    )
    assert CliRunner().invoke(app, ["report", "--dir", str(shared)]).exit_code == 0


def test_calls_stay_where_they_are_when_the_mode_is_mended(in_thread: None, shared: Path) -> None:
    """The doctor's own advice loses nobody's calls."""
    handle = setup_tracer("local", directory=shared)
    call()
    assert handle.flush(20)
    handle.shutdown()
    shared.chmod(0o700)
    assert data_directory(shared) == shared / "private"
    said = CliRunner().invoke(app, ["report", "--json", "--dir", str(shared)])
    assert '"trace_id"' in said.output


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o1755])
def test_directory_that_only_its_owner_writes_is_used_itself(tmp_path: Path, mode: int) -> None:
    """Who may look is the user's to say, and the store's file is closed to them."""
    path = tmp_path / "mine"
    path.mkdir()
    path.chmod(mode)
    assert data_directory(path) == path


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o722])
def test_directory_that_others_write_is_not(tmp_path: Path, mode: int) -> None:
    """Whoever they are, and also where they may not delete what is there."""
    path = tmp_path / "theirs"
    path.mkdir()
    path.chmod(mode)
    assert data_directory(path) == path / "private"


@pytest.mark.parametrize("place", ["private", "spool"])
def test_link_in_place_of_a_private_directory_is_refused(
    shared: Path, tmp_path: Path, place: str
) -> None:
    """Others may have put it there; nothing is written through it."""
    (tmp_path / "elsewhere").mkdir()
    (shared / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError) as caught:
        setup_tracer("local", directory=shared)
    assert caught.value.problems == (
        f"TRACING_DIR: {shared / place} is a symbolic link; give a directory of your own",
    )
    assert list((tmp_path / "elsewhere").iterdir()) == []


AS_ANOTHER_USER = """
import os, sys
from livekit.agents.telemetry import tracer
from livekit.agents.worker import AgentServer
import tracing.deliver.drainer, tracing.deliver.senders.local
from tracing import ConfigError, setup_tracer
os.setuid(1000)  # whoever that is need not be able to read our Python
os.environ["TRACING_DRAINER"] = "thread"
try:
    handle = setup_tracer("local", directory=sys.argv[1])
except ConfigError as error:
    print(*error.problems)
else:
    with tracer.start_as_current_span("job_entrypoint"):
        pass
    print(handle.flush(20))
sys.stdout.flush()
os._exit(0)
"""


@as_root
def test_volume_of_root_that_anybody_can_write(volume: Path) -> None:
    """The usual container: root made the volume, the agent runs as user 1000."""
    assert run_python(AS_ANOTHER_USER, volume, cwd=Path("/")) == "True\n"
    owners = {path.name: path.stat().st_uid for path in volume.iterdir()}
    assert owners == {"spool": 1000, "private": 1000}
    assert modes_below(volume) == {"spool": 0o700, "private": 0o700}
    assert stat.S_IMODE((volume / "private" / "calls.db").stat().st_mode) == 0o600


@as_root
@pytest.mark.parametrize("place", ["private", "spool"])
def test_directory_that_another_user_made_there_is_refused(volume: Path, place: str) -> None:
    """With a sentence that says whose it is."""
    (volume / place).mkdir()
    os.chown(volume / place, 12345, 12345)
    assert run_python(AS_ANOTHER_USER, volume, cwd=Path("/")) == (
        f"TRACING_DIR: {volume / place} belongs to user 12345, not to 1000; "
        "give a directory of your own\n"
    )


STORE_FILES = ["calls.db", "calls.db-wal", "calls.db-shm", "calls.db-journal"]


@pytest.mark.parametrize("name", STORE_FILES)
def test_store_is_not_opened_through_a_link(tmp_path: Path, name: str) -> None:
    """Neither to write nor to read, nor what SQLite keeps beside it."""
    target = tmp_path / "theirs"
    target.touch()
    (tmp_path / name).symlink_to(target)
    for read_only in (False, True):
        with pytest.raises(OSError, match="is a symbolic link, which others may have put there"):
            Store(tmp_path / "calls.db", read_only=read_only)
    assert target.read_bytes() == b""


@pytest.mark.parametrize("name", STORE_FILES)
def test_store_in_whose_place_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    """A pipe would be waited for, without an end."""
    os.mkfifo(tmp_path / name)
    for read_only in (False, True):
        with pytest.raises(OSError, match="is no file, which others may have put there"):
            Store(tmp_path / "calls.db", read_only=read_only)


OPEN = """
import os, sys
from pathlib import Path
from tracing.store.store import Store
os.setuid(1000)
for read_only in (False, True):
    try:
        Store(Path(sys.argv[1]), read_only=read_only)
    except OSError as error:
        print(error)
"""


@as_root
def test_store_of_another_user_is_refused(volume: Path) -> None:
    """It would be theirs to read."""
    path = volume / "calls.db"
    path.touch()
    path.chmod(0o666)
    os.chown(path, 12345, 12345)
    said = f"{path} belongs to user 12345, not to 1000: move it away\n"
    assert run_python(OPEN, path, cwd=Path("/")) == said * 2


def test_set_up_refuses_a_store_that_is_none_of_ours(tmp_path: Path) -> None:
    """Before the first call, with a sentence."""
    (tmp_path / ".tracing").mkdir(mode=0o700)
    (tmp_path / ".tracing" / "calls.db").symlink_to(tmp_path / "theirs")
    with pytest.raises(ConfigError) as caught:
        setup_tracer("local")
    assert caught.value.problems == (
        f"TRACING_DIR: {tmp_path / '.tracing' / 'calls.db'} is a symbolic link, which others may "
        "have put there: move it away",
    )
    assert not (tmp_path / "theirs").exists()


def test_report_that_is_a_link_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And none is written through one."""
    reports = tmp_path / "reports"
    write_report(reports / "ab-1.json", {"job": 1})
    (tmp_path / "theirs.json").write_text("{}")
    (reports / "ab-2.json").symlink_to(tmp_path / "theirs.json")
    assert find_reports(tmp_path, "ab") == [{"job": 1}]
    assert "ab-2.json is a symbolic link, which others may have put there" in caplog.text
    (reports / "ab-3.new").symlink_to(tmp_path / "theirs.json")
    with pytest.raises(OSError, match="symbolic link"):
        write_report(reports / "ab-3.json", {"job": 3})
    assert (tmp_path / "theirs.json").read_text() == "{}"
