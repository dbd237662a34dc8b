"""A server on this machine that gives a file, and misbehaves when it is told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What is served, how, and what was asked for.

    Attributes:
        content: the file, whatever its name.
        ranges: whether the server can begin in the middle.
        drops: after so many bytes each of the next connections is dropped; afterwards none.
        statuses: what the next requests are answered, instead of the file.
        location: where redirects lead.
        says_length: whether the length is said.
        pause: seconds between pieces of 64 kB.
        asked: the ranges asked for, "" where none was.
    """

    content: bytes
    ranges: bool = True
    drops: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    location: str = ""
    says_length: bool = True
    pause: float = 0.0
    asked: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(content: bytes) -> Iterator[Served]:
    """Serve a file at ``url`` for the length of a block."""
    served = Served(content)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            served.asked.append(wanted)
            if served.statuses:
                self.refuse(served.statuses.pop(0))
                return
            first = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted and served.ranges else 0
            size = len(served.content)
            if first and first >= size:
                self.refuse(416, {"Content-Range": f"bytes */{size}"})
                return
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
            if served.says_length:
                self.send_header("Content-Length", str(size - first))
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            last = first + served.drops.pop(0) if served.drops else size
            with_pauses = range(first, min(last, size), 1 << 16)
            try:
                for place in with_pauses:
                    self.wfile.write(served.content[place : min(place + (1 << 16), last)])
                    time.sleep(served.pause)
            except OSError:
                pass

        def refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            extra = {"Location": served.location} if 300 <= status < 400 else {}
            for key, value in {"Content-Length": "0", **extra, **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}/weights.pth"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
