"""Disks that fill up, refuse, or damage what they hold."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL_BYTES = 4 * 2**20
OWN_BYTES = 64 * 2**20
FLIPPED_BYTES = 20


class Unavailable(Exception):
    """This machine does not let us make such a disk."""


@contextmanager
def prepared(kind: str, directory: Path) -> Iterator[Path]:
    """The directory on a disk of the wanted kind, while the block runs."""
    if kind == "full":
        with _mounted(directory, f"size={FULL_BYTES}"):
            yield directory
    elif kind == "own":
        with _of_its_own(directory):
            yield directory
    elif kind == "read-only":
        with _mounted(directory, "size=65536,ro"):
            yield directory
    else:
        yield directory


@contextmanager
def _mounted(directory: Path, options: str) -> Iterator[None]:
    directory.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs", str(directory)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unavailable(f"cannot mount a tmpfs: {error}") from error
    if done.returncode:
        raise Unavailable(f"cannot mount a tmpfs: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=False, capture_output=True)


@contextmanager
def _of_its_own(directory: Path) -> Iterator[None]:
    """A file system that can be frozen: one in a file."""
    image = directory.with_name("disk.img")
    directory.mkdir(mode=0o700)
    with image.open("wb") as file:
        file.truncate(OWN_BYTES)
    for command in (["mkfs.ext4", "-q", str(image)], ["mount", "-o", "loop", image, directory]):
        try:
            subprocess.run([*map(str, command)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Unavailable(f"cannot mount a file system of its own: {error}") from error
    directory.chmod(0o700)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=False, capture_output=True)


def damage(kind: str, directory: Path) -> None:
    """Damage the segments below the directory, as a crash or a bad disk does."""
    segments = sorted(directory.rglob("*.seg"))
    if kind == "torn":
        newest = max(segments, key=lambda path: path.stat().st_size)
        with newest.open("r+b") as file:
            file.truncate(newest.stat().st_size - 100)
    if kind == "corrupt":
        for segment in segments:
            _flip(segment)
        (directory / "0000000000000.1-aaaaaa.000001.seg").write_bytes(random.randbytes(5_000))


def _flip(segment: Path) -> None:
    """Flip one bit in each of `FLIPPED_BYTES` places, far enough apart to hit separate records."""
    data = bytearray(segment.read_bytes())
    stride = max(len(data) // FLIPPED_BYTES, 1)
    for start in range(0, len(data) - stride + 1, stride):
        data[start + random.randrange(stride // 2 + 1)] ^= 1 << random.randrange(8)
    segment.write_bytes(data)
