"""A backend that costs next to nothing: `python -m bench.sink` takes everything, counts later.

It prints its port. `GET /stats` answers what came since the last `GET /stats`: requests, bytes
on the wire, bytes uncompressed, spans, and the time of the last arrival. `--hang` never answers.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
import zlib
from typing import Any

_bodies: list[tuple[float, bool, bytes]] = []


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hang", action="store_true", help="take requests and never answer")
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=(connection, options.hang), daemon=True).start()


def _serve(connection: socket.socket, hang: bool) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, connection.makefile("rb", buffering=1 << 18) as stream:
        while request := stream.readline():
            headers = dict(_headers(stream))
            body = stream.read(int(headers.get("content-length", 0)))
            if request.startswith(b"GET /stats"):
                connection.sendall(_response(json.dumps(_stats()).encode()))
                continue
            if hang:
                time.sleep(600)
            zipped = headers.get("content-encoding") == "gzip"
            _bodies.append((time.time(), zipped, body))
            connection.sendall(_response(b""))


def _headers(stream: Any) -> Any:
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        yield name.lower(), value.strip()


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def _stats() -> dict[str, float]:
    taken, _bodies[:] = list(_bodies), []
    raw = [zlib.decompress(body, 31) if zipped else body for _, zipped, body in taken]
    return {
        "requests": len(taken),
        "wire_bytes": sum(len(body) for _, _, body in taken),
        "raw_bytes": sum(map(len, raw)),
        "spans": sum(map(count_spans, raw)),
        "last_at": max((at for at, _, _ in taken), default=0.0),
    }


def count_spans(request: bytes) -> int:
    """Spans of an `ExportTraceServiceRequest`, found by skipping over everything else."""
    spans = 0
    for start, end in _children(request, 0, len(request), 1):
        for scope_start, scope_end in _children(request, start, end, 2):
            spans += sum(1 for _ in _children(request, scope_start, scope_end, 2))
    return spans


def _children(data: bytes, at: int, end: int, wanted: int) -> Any:
    """The extents of the length-delimited fields with the wanted number."""
    while at < end:
        key, at = _varint(data, at)
        if key & 7 == 2:
            length, at = _varint(data, at)
            if key >> 3 == wanted:
                yield at, at + length
            at += length
        elif key & 7 == 0:
            _, at = _varint(data, at)
        else:
            at += 8 if key & 7 == 1 else 4


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value, at
        shift += 7


if __name__ == "__main__":
    main()
