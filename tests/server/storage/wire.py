"""The line between: a port that passes everything on, until it is told to cut it or to fall silent."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_PIECE = 64 * 1024


@dataclass
class Wire:
    """
    cut_down, cut_up  bytes from, and to, the server after which a connection is cut; 0: never
    cuts              how many connections are cut
    silent            nothing comes from the server any more
    silent_after      a request with these bytes is passed on, and then it is silent
    lose_answer_to    the first request with these bytes is passed on, its answer is not
    """

    url: str = ""
    cut_down: int = 0
    cut_up: int = 0
    cuts: int = 0
    silent: bool = False
    silent_after: bytes = b""
    lose_answer_to: bytes = b""
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextlib.contextmanager
def wire_to(url: str) -> Iterator[Wire]:
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 80
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        open_now: set[socket.socket] = set()
        thread = threading.Thread(target=_accept, args=(listener, (host, port), wire, open_now), daemon=True)
        thread.start()
        try:
            yield wire
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for one in list(open_now):
                _end(one)
            thread.join(5)


def _accept(listener: socket.socket, upstream: tuple[str, int], wire: Wire, open_now: set[socket.socket]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        wire.connections += 1
        server = socket.create_connection(upstream)
        open_now |= {client, server}
        line = _Line(client, server, wire)
        threading.Thread(target=line.up, daemon=True).start()
        threading.Thread(target=line.down, daemon=True).start()


class _Line:
    def __init__(self, client: socket.socket, server: socket.socket, wire: Wire) -> None:
        self._client = client
        self._server = server
        self._wire = wire
        self._loses = False

    def up(self) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := self._client.recv(_PIECE):
                wanted = self._wire.lose_answer_to
                if wanted and wanted in piece:
                    self._wire.lose_answer_to = b""
                    self._loses = True
                self._wire.silent |= bool(self._wire.silent_after) and self._wire.silent_after in piece
                self._server.sendall(piece)
                passed += len(piece)
                if self._is_cut(passed, self._wire.cut_up):
                    break
        self._close()

    def down(self) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := self._server.recv(_PIECE):
                if self._loses:
                    break
                if self._wire.silent:
                    continue
                self._client.sendall(piece)
                passed += len(piece)
                if self._is_cut(passed, self._wire.cut_down):
                    break
        self._close()

    def _is_cut(self, passed: int, limit: int) -> bool:
        with self._wire.lock:
            if not limit or passed < limit or not self._wire.cuts:
                return False
            self._wire.cuts -= 1
            return True

    def _close(self) -> None:
        for one in (self._client, self._server):
            _end(one)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
